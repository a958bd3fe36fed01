"""The JSONPath of printer columns and selectable fields: simple paths of client-go's dialect.

Names, quoted names, indexes, ``[*]``, ``..name`` and filters that compare with a literal. Pure.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[\w-]+)
    |\.(?P<name>(?:\\.|[^.\[\]\s'"()])+)
    |\[\s*['"](?P<quoted>[^'"]*)['"]\s*\]
    |\[\s*(?P<index>-?\d+)\s*\]
    |\[\s*(?P<all>\*)\s*\]
    |\[\?\(\s*(?P<left>@[^=<>!\s]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>[^)]*?)\s*)?\)\s*\]
    """,
    re.VERBOSE,
)


class JsonPath:
    """A compiled path. Raises ValueError for what is none of the known forms."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = list(_steps_of(text))

    def find(self, value: Any) -> list[Any]:
        """Everything that the path names, in order."""
        found = [value]
        for step in self._steps:
            found = [below for item in found for below in step(item)]
        return found


def _steps_of(text: str) -> Iterator[Step]:
    rest = text.strip().removeprefix("$")
    rest = rest if rest.startswith((".", "[")) or not rest else "." + rest
    at = 0
    while at < len(rest):
        if rest[at:] == ".":
            return
        match = _TOKEN.match(rest, at) or _TOKEN.match("." + rest[at:])
        if match is None or match.end() == match.start():
            raise ValueError(f"unrecognized JSONPath: {text}")
        yield _step_of(match)
        at = match.end() if match.string is rest else at + match.end() - 1


def _step_of(match: re.Match[str]) -> Step:
    if match["name"] == "*" or match["all"]:
        return _every
    if match["name"] is not None:
        return _field(re.sub(r"\\(.)", r"\1", match["name"]))
    if match["quoted"] is not None:
        return _field(match["quoted"])
    if match["index"] is not None:
        return _index(int(match["index"]))
    if match["deep"] is not None:
        return _deep(match["deep"])
    return _filter(match["left"], match["op"], match["right"])


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _index(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        yield from value.values() if isinstance(value, dict) else value


def _deep(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for below in _every(value):
            yield from step(below)

    return step


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
}


def _filter(left: str, operator: str | None, right: str | None) -> Step:
    path = JsonPath(left.removeprefix("@"))
    wanted = _literal(right) if right else None

    def holds(item: Any) -> bool:
        found = path.find(item)
        if operator is None:
            return bool(found)
        try:
            return bool(found) and _COMPARE[operator](found[0], wanted)
        except TypeError:
            return False

    def step(value: Any) -> Iterator[Any]:
        for item in _every(value):
            if holds(item):
                yield item

    return step


def _literal(text: str) -> Any:
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def printed(values: Sequence[Any]) -> str:
    """Values as a JSONPath template prints them: strings bare, containers as JSON."""
    return " ".join(_printed(value) for value in values)


def _printed(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))
