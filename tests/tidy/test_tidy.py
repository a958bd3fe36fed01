"""The house rules that a program can check, over the whole repository.

Overruns that exist are listed in ``overruns.txt``; the list may only shrink.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "sagong"
OVERRUNS = Path(__file__).with_name("overruns.txt")

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70  # the docstring not counted
PARAMETERS_MAX = 7
BANNED_NAMES = {"utils", "helpers", "common", "misc", "base", "manager"}
# A name -> the only files that may use it.
CONFINED = {
    r"\basyncio\.create_task\(|\bensure_future\(": {"core/tasks.py"},
    # Users' own tests are synchronous programs that wait in real time.
    r"\btime\.(time|monotonic|sleep|perf_counter)\(": {"core/clock.py", "testing/"},
    r"\bdatetime\.(now|utcnow|today)\(": {"core/clock.py"},
    r"\buuid\.uuid4\(|\bimport random\b": {"core/ids.py", "sim/"},
    r"\bos\.(environ|getenv)\b": {"cmd/", "cli/", "local/", "sim/world.py", "testing/"},
}


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def overruns(path: Path) -> Iterator[str]:
    text = path.read_text()
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{relative(path)}: {FILE_LINES_MAX} lines"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body
        if ast.get_docstring(node) is not None:
            body = body[1:]
        length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if length > FUNCTION_LINES_MAX:
            yield f"{relative(path)}:{node.name}: {FUNCTION_LINES_MAX} lines"
        arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
        count = len([a for a in arguments if a.arg not in ("self", "cls")])
        if count > PARAMETERS_MAX and node.name != "__init__":
            yield f"{relative(path)}:{node.name}: {PARAMETERS_MAX} parameters"


def test_sizes_only_shrink() -> None:
    found = {line for path in source_files() for line in overruns(path)}
    allowed = set(OVERRUNS.read_text().split("\n")) - {""}
    assert found - allowed == set(), "too long; split it by what it does"
    assert allowed - found == set(), "no longer too long: take it off the list"


@pytest.mark.parametrize("path", source_files(), ids=relative)
def test_names(path: Path) -> None:
    assert path.stem not in BANNED_NAMES
    assert path.parent.name not in BANNED_NAMES


@pytest.mark.parametrize("pattern", CONFINED)
def test_confined(pattern: str) -> None:
    allowed = CONFINED[pattern]
    for path in source_files():
        name = relative(path)
        if any(name == a or (a.endswith("/") and name.startswith(a)) for a in allowed):
            continue
        hit = re.search(pattern, path.read_text())
        assert hit is None, f"{name} uses {hit.group() if hit else ''}"


def test_packages_say_what_belongs_in_them() -> None:
    for path in SOURCE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{relative(path)} has no docstring"


def test_no_mocks() -> None:
    banned = "unittest" + ".mock"
    for path in (ROOT / "tests").rglob("*.py"):
        assert banned not in path.read_text(), (
            f"{path} mocks: use real parts or a contract-tested fake"
        )


def test_commits_name_no_machine() -> None:
    """Nothing in the tree names a place on one machine or a package registry."""
    pattern = re.compile(r"/work/(main|shared)|/root/|pypi\.org|registry\.npmjs")
    for path in [*SOURCE.rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        hit = pattern.search(path.read_text())
        assert hit is None, f"{path}: {hit.group() if hit else ''}"
