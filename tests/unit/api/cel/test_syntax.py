"""Syntax errors say what ANTLR's parser says, at its positions."""

import pytest
from tests.unit.api.cel.environments import problem

_OPERAND = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, "
    "BYTES, IDENTIFIER}"
)

SYNTAX = [
    ("object.spec. <= 5", [(1, 14, "no viable alternative at input '. <='")]),
    ("1 +", [(1, 4, f"mismatched input '<EOF>' expecting {_OPERAND}")]),
    ("(1 + 2", [(1, 7, "missing ')' at '<EOF>'")]),
    ("a b", [(1, 3, "extraneous input 'b' expecting <EOF>")]),
    ("x ? y", [(1, 6, "mismatched input '<EOF>' expecting ':'")]),
    ("a || || b", [(1, 6, f"extraneous input '||' expecting {_OPERAND}")]),
    ("a.b.c{d: 1", [(1, 11, "mismatched input '<EOF>' expecting {'}', ','}")]),
    ("1..2", [(1, 3, "no viable alternative at input '..2'")]),
    ("0x", [(1, 2, "extraneous input 'x' expecting <EOF>")]),
    ("$x", [(1, 1, "token recognition error at: '$'")]),
    ("a.true", [(1, 3, "mismatched input 'true' expecting IDENTIFIER")]),
    ("a[1", [(1, 4, "missing ']' at '<EOF>'")]),
    ("[1,,2]", [(1, 4, "mismatched input ',' expecting ']'")]),
    (
        "-",
        [
            (1, 2, "no viable alternative at input '-'"),
            (1, 2, f"mismatched input '<EOF>' expecting {_OPERAND}"),
        ],
    ),
    (
        "a = b",
        [
            (1, 3, "token recognition error at: '= '"),
            (1, 5, "extraneous input 'b' expecting <EOF>"),
        ],
    ),
    (
        "'a",
        [
            (1, 1, "token recognition error at: ''a'"),
            (1, 3, f"mismatched input '<EOF>' expecting {_OPERAND}"),
        ],
    ),
    ("n ==\n  @ 1", [(2, 3, "token recognition error at: '@'")]),
]


@pytest.mark.parametrize(("text", "wanted"), SYNTAX, ids=[text for text, _ in SYNTAX])
def test_syntax_errors_are_antlrs(text: str, wanted: list[tuple[int, int, str]]) -> None:
    lines = text.split("\n")
    shown = [
        f"ERROR: <input>:{line}:{column}: Syntax error: {message}\n"
        f" | {lines[line - 1]}\n | {'.' * (column - 1)}^"
        for line, column, message in wanted
    ]
    assert problem(text) == "\n".join(shown)


ACCEPTED = [
    "[,]", "{,}", "[1, 2,]", "{'a': 1,}", "1.5e3 > .5", "0xFFu == 255u", "-0x10 < 0",
    "r'\\d' == '\\\\d'", "'''a'b''' != \"\"\"a\"b\"\"\"", "b'\\xff' != b''", "1 // comment",
    "object.`a-b` == 1", "object.?a.orValue(1) == 1", "object[?'a'] == m", "[?object.?a] == []",
    ".n == n", "!!true", "--1 == 1", "- 1 < 0", "true ? 1 : 2", "'\\u00e9\\x41\\101\\n'",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_valid_text_is_read(text: str) -> None:
    found = problem(text)
    assert "Syntax error" not in found


def test_reserved_words_are_no_names() -> None:
    assert problem("for + 1") == ("ERROR: <input>:1:1: reserved identifier: for\n | for + 1\n | ^")


def test_depth_is_limited() -> None:
    limit = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250"
    assert problem("(" * 300 + "1" + ")" * 300) == limit
    assert problem("1" + " + 1" * 300) == limit
    assert problem("object" + ".a" * 300) == limit
    assert problem("[" * 100_000) == limit
    assert problem("(" * 240 + "1" + ")" * 240) == ""


def test_numbers_must_fit() -> None:
    assert "invalid int literal" in problem("9223372036854775808")
    assert problem("-9223372036854775808 < 0") == ""
    assert "invalid uint literal" in problem("18446744073709551616u")
