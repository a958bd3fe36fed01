"""Finding by pattern (Kubernetes' ``library/regex.go``)."""

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.library.patterns import compiled
from sagong.api.cel.types import INT, STRING, list_of


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    two = (STRING, STRING)
    declaring.member("find", "string_find_string", two, STRING, _find, costs.matches)
    declaring.member(
        "findAll", "string_find_all_string", two, list_of(STRING), _find_all, costs.matches
    )
    limited = (STRING, STRING, INT)
    declaring.member(
        "findAll", "string_find_all_string_int", limited, list_of(STRING), _find_all, costs.matches
    )
    return declaring.functions()


def _find(text: str, pattern: str) -> str:
    found = compiled(pattern).search(text)
    return "" if found is None else str(found.group())


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    for match in compiled(pattern).finditer(text):
        if len(found) == limit:
            break
        found.append(match.group())
    return found
