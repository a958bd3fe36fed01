"""Patterns are Go's: what they match, how they are refused, and what they cannot do."""

import pytest

from sagong.api.patterns import compiled, problem_of

REFUSED = [
    ("(", "missing closing ): `(`"),
    ("[a", "missing closing ]: `[a`"),
    ("*", "missing argument to repetition operator: `*`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("\\q", "invalid escape sequence: `\\q`"),
    ("\\", "trailing backslash at end of expression: ``"),
]


@pytest.mark.parametrize(("pattern", "why"), REFUSED)
def test_refused_in_gos_words(pattern: str, why: str) -> None:
    assert problem_of(pattern) == f"error parsing regexp: {why}"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^\p{L}+$", "größe"),
        ("^[[:alpha:]_]+$", "a_b"),
        (r"^a\z", "a"),
        ("(?i)ABC", "xabcx"),
        ("(?P<n>a)|(?<m>b)", "b"),
        ("", "anything"),
    ],
)
def test_matches(pattern: str, text: str) -> None:
    assert problem_of(pattern) == ""
    assert compiled(pattern).search(text)


def test_a_line_does_not_end_at_its_break() -> None:
    assert not compiled("^a$").search("a\n")


def test_nested_repetitions_take_linear_time() -> None:
    assert not compiled("^(a+)+$").search("a" * 100_000 + "!")
