"""The table of conformance behaviours is honest: every name is known, every test named exists."""

import ast
import functools
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "conformance.yaml"
# What a conformant Kubernetes 1.36 shows.
BEHAVIOURS = 446
# May only grow: what was shown once stays shown.
SHOWN_MIN = 137


def table() -> dict[str, list[str] | str]:
    found: dict[str, list[str] | str] = yaml.safe_load(TABLE.read_text())
    return found


@functools.cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_behaviour_has_its_entry() -> None:
    assert len(table()) == BEHAVIOURS
    for name in table():
        assert re.match(r"\[sig-[a-z-]+\] .*\[Conformance\]", name), name


def test_entries_name_tests_or_say_why_not() -> None:
    for name, entry in table().items():
        if isinstance(entry, str):
            assert re.fullmatch(r"missing: .+", entry), name
        else:
            assert entry, name


def test_named_tests_exist() -> None:
    lives = {
        f"{kind['resource']}.{kind['version'].replace('/', '.')}"
        for kind in yaml.safe_load((ROOT / "tests/api/conformance/kinds.yaml").read_text())
    }
    for name, entry in table().items():
        for test in entry if isinstance(entry, list) else ():
            path, _, called = test.partition("::")
            function, _, parameter = called.partition("[")
            assert (ROOT / path).exists(), (name, test)
            assert function in functions(path), (name, test)
            if function == "test_life" and path.endswith("test_lifecycles.py"):
                assert parameter.removesuffix("]") in lives, (name, test)


def test_coverage_only_grows() -> None:
    assert sum(isinstance(entry, list) for entry in table().values()) >= SHOWN_MIN
