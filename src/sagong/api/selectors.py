"""Label and field selectors: the string grammars, ``LabelSelector`` objects, matching.

Parse errors carry upstream's texts (``labels.Parse``, ``fields.ParseSelector``) as BadRequest.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sagong.api import names
from sagong.api.errors import BadRequest
from sagong.api.types import Obj

Labels = Mapping[str, str]


class Operator(StrEnum):
    """How a requirement compares."""

    IN = "in"
    NOT_IN = "notin"
    EQUALS = "="
    DOUBLE_EQUALS = "=="
    NOT_EQUALS = "!="
    EXISTS = "exists"
    DOES_NOT_EXIST = "!"
    GREATER_THAN = "gt"
    LESS_THAN = "lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN | Operator.EQUALS | Operator.DOUBLE_EQUALS:
                return value is not None and value in self.values
            case Operator.NOT_IN | Operator.NOT_EQUALS:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
        number, bound = _int64(value), _int64(next(iter(self.values), None))
        if number is None or bound is None:
            return False
        return number > bound if self.operator is Operator.GREATER_THAN else number < bound

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return "!" + self.key
            case Operator.IN | Operator.NOT_IN:
                return f"{self.key} {self.operator} ({values})"
            case Operator.GREATER_THAN | Operator.LESS_THAN:
                return f"{self.key}{'>' if self.operator is Operator.GREATER_THAN else '<'}{values}"
        return f"{self.key}{self.operator}{values}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; ``nothing`` matches no labels at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.nothing

    def matches(self, labels: Labels) -> bool:
        if self.nothing:
            return False
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_OBJECT_OPERATORS = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
    # Not of label selectors but of node selectors, which share the requirement.
    "Gt": Operator.GREATER_THAN,
    "Lt": Operator.LESS_THAN,
}


def selector_from_object(selector: Obj | None) -> Selector:
    """The selector of a ``metav1.LabelSelector``: None selects nothing, ``{}`` everything.

    ValueError, with upstream's text, if an operator is not known or its values do not fit.
    """
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, Operator.EQUALS, frozenset((value,)))
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        name = expression.get("operator", "")
        operator = _OBJECT_OPERATORS.get(name)
        if operator is None:
            raise ValueError(f'"{name}" is not a valid label selector operator')
        values = frozenset(expression.get("values") or ())
        _check_values(operator, values)
        requirements.append(Requirement(expression.get("key", ""), operator, values))
    return Selector(tuple(requirements))


def shown_selector(selector: Obj | None) -> str:
    """As Go prints a LabelSelector."""
    if selector is None:
        return "nil"
    labels = selector.get("matchLabels") or {}
    pairs = "".join(f"{key}: {labels[key]}," for key in sorted(labels))
    rows = "".join(
        f"LabelSelectorRequirement{{Key:{e['key']},Operator:{e['operator']},"
        f"Values:[{' '.join(e.get('values') or ())}],}},"
        for e in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{rows}}},}}"
    )


def selector_from_labels(labels: Labels | None) -> Selector:
    """The selector of a plain map (Service, ReplicationController): empty selects nothing."""
    if not labels:
        return NOTHING
    return Selector(
        tuple(Requirement(k, Operator.EQUALS, frozenset((v,))) for k, v in sorted(labels.items()))
    )


def _check_values(operator: Operator, values: frozenset[str]) -> None:
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        raise ValueError(
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
        )
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        raise ValueError(
            "values: Invalid value: values set must be empty for exists and does not exist"
        )


def parse_label_selector(text: str) -> Selector:
    """Parse ``a=b,c!=d,e in (f,g),!h,i,j>1``. Raises BadRequest with upstream's text."""
    try:
        return Selector(tuple(_Parser(text).parse()))
    except ValueError as e:
        raise BadRequest(str(e)) from None


_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|>|<|,|\(|\))|([^\s=!><,()]+))")
_SYMBOLS = {"=": Operator.EQUALS, "==": Operator.DOUBLE_EQUALS, "!=": Operator.NOT_EQUALS}
_SYMBOLS |= {">": Operator.GREATER_THAN, "<": Operator.LESS_THAN}
_END = ""


class _Parser:
    """A recursive-descent parser over tokens; an identifier may be ``in`` or ``notin``."""

    def __init__(self, text: str) -> None:
        self._tokens = [m[1] or m[2] for m in _TOKEN.finditer(text)]
        self._at = 0

    def parse(self) -> Iterable[Requirement]:
        while True:
            token = self._peek()
            if token == _END:
                return
            if token != "!" and not _is_word(token):
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                requirement = self._requirement()
            except ValueError as e:
                raise ValueError(f"unable to parse requirement: {e}") from None
            yield requirement
            separator = self._next()
            if separator == _END:
                return
            if separator != ",":
                raise ValueError(f"found '{separator}', expected: ',' or 'end of string'")
            following = self._peek()
            if following != "!" and not _is_word(following):
                raise ValueError(f"found '{following}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        absent = self._peek() == "!"
        if absent:
            self._next()
        key = self._next()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        problems = names.qualified_name(key)
        if problems:
            raise ValueError(_invalid("key", key, problems))
        if absent:
            return Requirement(key, Operator.DOES_NOT_EXIST)
        if self._peek() in (_END, ","):
            return Requirement(key, Operator.EXISTS)
        operator = self._operator()
        if operator in (Operator.IN, Operator.NOT_IN):
            values = self._values()
        else:
            values = self._exact_value()
        return _checked(Requirement(key, operator, frozenset(values)))

    def _operator(self) -> Operator:
        token = self._next()
        if token in _SYMBOLS:
            return _SYMBOLS[token]
        if token in ("in", "notin"):
            return Operator(token)
        raise ValueError(f"found '{token}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self) -> list[str]:
        token = self._next()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        values: list[str] = []
        if self._peek() == ")":
            why = "for 'in', 'notin' operators, values set can't be empty"
            raise ValueError(f"values: Invalid value: []: {why}")
        expects_value = True
        while True:
            token = self._next()
            if _is_word(token) and expects_value:
                values.append(token)
                expects_value = False
            elif token == ",":
                if expects_value:
                    values.append("")
                expects_value = True
            elif token == ")":
                if expects_value:
                    values.append("")
                return values
            else:
                raise ValueError(f"found '{token}', expected: ',', ')' or identifier")

    def _exact_value(self) -> list[str]:
        token = self._peek()
        if token in (_END, ","):
            return [""]
        if not _is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return [self._next()]

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token


def _is_word(token: str) -> bool:
    return bool(token) and token not in _SYMBOLS and token not in ("!", ",", "(", ")")


def _checked(requirement: Requirement) -> Requirement:
    key, operator = requirement.key, requirement.operator
    if operator in (Operator.GREATER_THAN, Operator.LESS_THAN):
        for value in requirement.values:
            if _int64(value) is None:
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise ValueError(f'values[0][{key}]: Invalid value: "{value}": {why}')
    for i, value in enumerate(sorted(requirement.values)):
        problems = names.label_value(value)
        if problems:
            raise ValueError(_invalid(f"values[{i}][{key}]", value, problems))
    return requirement


def _invalid(field: str, value: str, problems: list[str]) -> str:
    return f'{field}: Invalid value: "{value}": {"; ".join(problems)}'


def _int64(text: Any) -> int | None:
    if not isinstance(text, str) or not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """``name=value``, or ``name!=value`` if not ``equal``."""

    name: str
    value: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold; a field that an object lacks is "" to it."""

    terms: tuple[FieldTerm, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are looked at."""
        return tuple(term.name for term in self.terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(t.name, "") == t.value) is t.equal for t in self.terms)

    def required(self, name: str) -> str | None:
        """The one value that a field must have, if an ``=`` term says so."""
        return next((t.value for t in self.terms if t.equal and t.name == name), None)

    def __str__(self) -> str:
        return ",".join(
            f"{t.name}{'=' if t.equal else '!='}{_escape_field(t.value)}" for t in self.terms
        )


def parse_field_selector(text: str) -> FieldSelector:
    r"""Parse ``a=b,c!=d,e==f`` with ``\\``, ``\,`` and ``\=`` as escapes in values.

    Raises BadRequest with upstream's text.
    """
    terms = []
    for part in _split_unescaped(text):
        if not part:
            continue
        term = _field_term(part)
        if term is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(term)
    return FieldSelector(tuple(terms))


def _split_unescaped(text: str) -> list[str]:
    parts = re.findall(r"(?:[^\\,]|\\.|\\$)*", text, re.DOTALL)
    return [p for p in parts if p]


def _field_term(part: str) -> FieldTerm | None:
    match = re.fullmatch(r"([^=!]*?)(!=|==|=)(.*)", part, re.DOTALL)
    if match is None:
        return None
    name, operator, raw = match.groups()
    return FieldTerm(name, _unescape_field(raw), operator != "!=")


def _unescape_field(raw: str) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] in ("\\\\", "\\,", "\\="):
            return match[0][1]
        if match[0][0] == "\\":
            raise BadRequest(f"invalid field selector: invalid escape sequence: {match[0]}")
        raise BadRequest(f"invalid field selector: unescaped character in value: {ord(match[0])}")

    return re.sub(r"\\.?|[,=]", replace, raw, flags=re.DOTALL)


def _escape_field(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
