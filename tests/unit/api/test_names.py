"""The shape of names, in upstream's words."""

from collections.abc import Callable
from typing import Any

import pytest

from sagong.api import names


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.dns1123_label, ["a", "a-b", "1a"], ["", "A", "-a", "a.b", "a" * 64]),
        (names.dns1123_subdomain, ["a", "a.b-c"], ["", "a..b", "a_b", "a." * 126 + "ab"]),
        (names.dns1035_label, ["a", "a1"], ["1a", "a-"]),
        (names.qualified_name, ["a", "x.y/A_b.c"], ["", "/a", "a/", "a/b/c", "X/a", "a b"]),
        (names.label_value, ["", "A.b_c"], ["-", "a b", "a" * 64]),
        (names.env_var_name, ["A_b.c-d"], ["1a", "a=b", "", "..", "..a"]),
        (names.relaxed_env_var_name, ["1 a"], ["a=b", "", "é"]),
        (names.config_map_key, ["a.b", "..x"[2:]], ["", "a/b", ".", "..", "..x"]),
        (names.port_name, ["http", "a-1"], ["", "HTTP", "1", "a--b", "-a", "a" * 16]),
        (names.path_segment_name, ["a:b", "A B"], [".", "..", "a/b", "a%b"]),
        (names.valid_percent, ["10%"], ["10", "-1%"]),
    ],
)
def test_rules(rule: Callable[[str], list[str]], good: list[str], bad: list[str]) -> None:
    assert [value for value in good if rule(value)] == []
    assert [value for value in bad if not rule(value)] == []


def test_messages_are_those_recorded(recorded: dict[str, Any]) -> None:
    said = [c["message"] for e in recorded["errors"] for c in _causes(e["answer"]["body"])]
    for expected in (names.dns1123_subdomain("Bad_Name")[0], names.config_map_key("bad key!")[0]):
        assert any(message.endswith(expected) for message in said)


def _causes(body: Any) -> list[dict[str, Any]]:
    return (body.get("details") or {}).get("causes") or [] if isinstance(body, dict) else []
