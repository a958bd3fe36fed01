"""Text to tokens, by CEL's lexical grammar."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sagong.api.cel.errors import CelError


class Tok(StrEnum):
    IDENT = "identifier"
    ESCAPED = "escaped identifier"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    STRING = "string"
    BYTES = "bytes"
    SIGN = "sign"  # operators, brackets, and the words true, false, null, in
    END = "end"


class Unreadable(CelError):
    """The text does not follow the grammar; ``syntax`` says in which words."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: Tok
    text: str
    pos: int


WORDS = frozenset(("true", "false", "null", "in"))

# What a backslash may be followed by in a literal that is not raw.
_ESCAPE = (
    r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
)
_QUOTED = (
    rf'(?:"""(?:[^\\]|{_ESCAPE})*?"""'
    rf"|'{{3}}(?:[^\\]|{_ESCAPE})*?'{{3}}"
    rf'|"(?:[^\\"\n\r]|{_ESCAPE})*"'
    rf"|'(?:[^\\'\n\r]|{_ESCAPE})*')"
)
_RAW = r"""[rR](?:\"{3}(?:.|\n)*?\"{3}|'{3}(?:.|\n)*?'{3}|"[^"\n\r]*"|'[^'\n\r]*')"""
_TOKEN = re.compile(
    rf"""
    (?P<space>(?:[\t\ \r\n\f]+|//[^\n]*)+)
  | (?P<bytes>[bB](?:{_RAW}|{_QUOTED}))
  | (?P<string>{_RAW}|{_QUOTED})
  | (?P<float>(?:[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+))
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<escaped>`[a-zA-Z0-9_.\-/\ ]+`)
  | (?P<sign>==|!=|<=|>=|&&|\|\||[\[\]{{}}().,:?<>!+\-*/%])
    """,
    re.VERBOSE | re.DOTALL,
)
_KINDS = {
    "bytes": Tok.BYTES,
    "string": Tok.STRING,
    "float": Tok.FLOAT,
    "uint": Tok.UINT,
    "int": Tok.INT,
    "ident": Tok.IDENT,
    "escaped": Tok.ESCAPED,
    "sign": Tok.SIGN,
}


def tokens_of(text: str) -> Sequence[Token]:
    """All tokens, the end's last. Raises Unreadable."""
    found: list[Token] = []
    at, match_at = 0, _TOKEN.match
    while at < len(text):
        match = match_at(text, at)
        if match is None:
            raise Unreadable(f"no token at {at}")
        group = match.lastgroup or ""
        if group != "space":
            word = match.group()
            kind = Tok.SIGN if group == "ident" and word in WORDS else _KINDS[group]
            found.append(Token(kind, word, at))
        at = match.end()
    found.append(Token(Tok.END, "", len(text)))
    return found
