"""What expressions give, and how they fail: the semantics of the language definition."""

from pathlib import Path

import pytest
from tests.unit.api.cel.environments import evaluate

# One expression a line, all of them true.
TRUE = (Path(__file__).parent / "holds.txt").read_text().splitlines()


@pytest.mark.parametrize("expression", TRUE)
def test_holds(expression: str) -> None:
    assert evaluate(expression) is True


FAILS = {
    "1 / 0": "division by zero",
    "1 % 0": "modulus by zero",
    "9223372036854775807 + n": "integer overflow",
    "-9223372036854775808 - n": "integer overflow",
    "9223372036854775807 * n": "integer overflow",
    "-(-9223372036854775808)": "integer overflow",
    "-9223372036854775808 / -1": "integer overflow",
    "0u - 1u": "unsigned integer overflow",
    "18446744073709551615u + 1u": "unsigned integer overflow",
    "uint(-1)": "unsigned integer overflow",
    "int(1e100)": "integer overflow",
    "int('x')": "type conversion error from 'string' to 'int'",
    "timestamp(string('nope'))": "type conversion error from 'string' to "
    "'google.protobuf.Timestamp'",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')": "timestamp overflow",
    "object.missing": "no such key: missing",
    "object.spec.none.x": "no such key: x",
    "{'a': 1}['b']": "no such key: b",
    "[1][1]": "index out of bounds: 1",
    "l[-1]": "index out of bounds: -1",
    "object.spec + 1": "no such overload",
    "object.spec.on && object.spec.replicas": "no such overload",
    "dyn('a') < dyn(1)": "no such overload",
    "object.spec.replicas.size()": "no such overload",
    "object.spec.replicas.all(x, true)": "no such overload",
    "{dyn(1): 1, dyn(1u): 2}": "Failed with repeated key: 1",
    "optional.none().value()": "optional.none() dereference",
    "[].min() == 0": "min called on empty list",
    "'abc'.charAt(9)": "index out of range: 9",
    "'abc'.substring(2, 1)": "invalid substring range. start: 2, end: 1",
    "'%s %s'.format(['a'])": "index 1 out of range",
    "quantity('x')": "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    "timestamp(0).getHours('Mars/Olympus')": "unknown time zone Mars/Olympus",
}


@pytest.mark.parametrize(("expression", "message"), FAILS.items())
def test_fails(expression: str, message: str) -> None:
    assert evaluate(expression) == f"!{message}"


UNCHECKED = {
    "n + s": "1:3: found no matching overload for '_+_' applied to '(int, string)'",
    "s.size(1)": "1:7: found no matching overload for 'size' applied to 'string.(int)'",
    "x": "1:1: undeclared reference to 'x' (in container '')",
    "foo(1)": "1:4: undeclared reference to 'foo' (in container '')",
    "s.foo()": "1:6: undeclared reference to 'foo' (in container '')",
    "n.a": "1:2: type 'int' does not support field selection",
    "[1, 'a']": "1:5: expected type 'int' but found 'string'",
    "{'a': 1, 'b': 'c'}": "1:15: expected type 'int' but found 'string'",
    "n.all(x, true)": "1:1: expression of type 'int' cannot be range of a comprehension "
    "(must be list, map, or dynamic)",
    "l.all(x, x)": "1:6: found no matching overload for '_&&_' applied to '(bool, int)'",
    "n ? 1 : 2": "1:3: found no matching overload for '_?_:_' applied to '(int, int, int)'",
    "!n": "1:1: found no matching overload for '!_' applied to '(int)'",
    "1 in n": "1:3: found no matching overload for '@in' applied to '(int, int)'",
    "n == s": "1:3: found no matching overload for '_==_' applied to '(int, string)'",
    "[] + 1": "1:4: found no matching overload for '_+_' applied to '(list(dyn), int)'",
    "l.all(1, true)": "1:7: argument must be a simple name",
    "has(n)": "1:5: invalid argument to has() macro",
    "Foo{a: 1}": "1:4: undeclared reference to 'Foo' (in container '')",
    "duration('1x') == duration('1s')": "1:10: invalid duration argument",
    "timestamp('yesterday') < timestamp(0)": "1:11: invalid timestamp argument",
    "s.matches('(')": "1:11: invalid matches argument",
    "optional.of(1) + 1": "1:16: found no matching overload for '_+_' applied to "
    "'(optional_type(int), int)'",
}


@pytest.mark.parametrize(("expression", "message"), UNCHECKED.items())
def test_does_not_compile(expression: str, message: str) -> None:
    found = evaluate(expression)
    assert found.split("\n")[0] == f"!ERROR: <input>:{message}"


def test_a_problem_is_shown_with_its_line() -> None:
    assert evaluate("1 +\n\tx") == (
        "!ERROR: <input>:2:2: undeclared reference to 'x' (in container '')\n |  x\n | .^"
    )
