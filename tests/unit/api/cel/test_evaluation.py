"""What expressions give, and how they fail: the semantics of the language definition."""

import pytest
from tests.unit.api.cel.environments import evaluate

TRUE = """
1 + 2 * 3 - 4 / 2 == 5
7 / -2 == -3 && -7 % 3 == -1
1u + 2u == 3u && 5u / 2u == 2u
1.5 * 2.0 == 3.0 && 1.0 / 0.0 > 1.0e308
'a' + 'b' == "ab" && b'a' + b'b' == b'ab'
[1] + [2] == [1, 2] && [] + [1] == [1]
1 == 1 && 1 != 2 && !(1 == 2)
dyn(1) == dyn(1u) && dyn(1) == dyn(1.0) && dyn(1u) == dyn(1.0)
1 < 1.5 && 2u > 1 && 1.0 <= 1u
dyn(true) != dyn(1) && dyn('1') != dyn(1) && dyn(null) != dyn(0)
[dyn(1), dyn(true)] != [dyn(1), dyn(1)]
{'a': 1} == {'a': 1} && {'a': 1} != {'a': 2}
{1: 'a', 2: 'b'}[dyn(1u)] == 'a' && dyn(1.0) in {1: 'a'}
{true: 1, false: 2}[true] == 1 && {true: 1}.all(k, k)
true ? true : 1 / 0 > 0
false || true || 1 / 0 > 0
1 / 0 > 0 || true
!(1 / 0 > 0 && false)
[1, 2, 3].all(x, x > 0) && ![1, 2, 3].all(x, x > 1)
[1, 2, 3].exists(x, x == 2) && ![1].exists(x, x == 2)
[1, 2, 3].exists_one(x, x > 2) && ![1, 2, 3].exists_one(x, x > 1)
[0, 2].exists(x, 4 / x == 2)
![0, 2].all(x, 4 / x == 3)
[1, 2, 3].map(x, x * x) == [1, 4, 9] && [1, 2, 3].map(x, x > 1, x * 10) == [20, 30]
[1, 2, 3].filter(x, x != 2) == [1, 3]
{'a': 1, 'b': 2}.map(k, k) == ['a', 'b'] && {'a': 1}.exists(k, k == 'a')
[1, 2].map(x, [3, 4].map(y, x * y)) == [[3, 4], [6, 8]]
[10, 20].all(i, v, v == (i + 1) * 10) && {'a': 1}.exists(k, v, k == 'a' && v == 1)
[10, 20].existsOne(i, v, v == 20)
[10, 20].transformList(i, v, i + v) == [10, 21] && [1, 2].transformList(i, v, i > 0, v) == [2]
{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}
{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) == {'b': 2}
{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}
cel.bind(x, 3, x * x) == 9
cel.bind(x, [1, 2], cel.bind(y, 2, x.map(z, z * y))) == [2, 4]
has(object.spec) && !has(object.missing) && has(object.spec.none)
has({'a': 1}.a) && !has({'a': 1}.b)
object.spec.replicas == 3 && object['spec']['replicas'] == 3
3 in object.spec.items && !(4 in object.spec.items) && 'spec' in object
size('héllo') == 5 && 'héllo'.size() == 5 && size(b'\\xff\\xff') == 2
size([1, 2]) == 2 && size({'a': 1}) == 1
type(1) == int && type('a') == string && type([]) == list && type({}) == map
type(1u) == uint && type(1.0) == double && type(b'') == bytes && type(null) == null_type
type(int) == type && type(timestamp(0)) == google.protobuf.Timestamp
int('12') == 12 && int(1.9) == 1 && int(-1.9) == -1 && int(5u) == 5
uint(5) == 5u && uint('7') == 7u && double('1.5') == 1.5 && double(3) == 3.0
string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'abc') == 'abc'
string(1e21) == '1e+21' && string(1e20) == '100000000000000000000' && string(1e-7) == '1e-07'
bool('true') && !bool('F') && bytes('abc') == b'abc'
int(timestamp('1970-01-01T00:00:10Z')) == 10
timestamp('2020-01-01T00:00:00Z') + duration('24h') == timestamp('2020-01-02T00:00:00Z')
timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')
timestamp('2020-01-01T00:00:00+01:00') == timestamp('2019-12-31T23:00:00Z')
timestamp('2009-02-13T23:31:30Z').getFullYear() == 2009
timestamp('2009-02-13T23:31:30Z').getMonth() == 1 && timestamp('2009-02-13T23:31:30Z').getDate() == 13
timestamp('2009-02-13T23:31:30Z').getDayOfMonth() == 12
timestamp('2009-02-13T23:31:30Z').getDayOfWeek() == 5
timestamp('2009-02-13T23:31:30Z').getDayOfYear() == 43
timestamp('2009-02-13T23:31:30Z').getHours('-08:00') == 15
timestamp('2009-02-13T23:31:30.123Z').getMilliseconds() == 123
duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90
duration('-1.5s').getMilliseconds() == -1500 && string(duration('1h1.5s')) == '3601.5s'
duration('1s') < duration('1m') && timestamp(0) < timestamp(1)
'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')
'abc'.matches('^a.c$') && !'abc'.matches('^b') && matches('abc', 'b')
'hello'.charAt(1) == 'e' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3
'hello'.indexOf('l', 3) == 3 && 'hello'.indexOf('z') == -1
'TacoCat'.lowerAscii() == 'tacocat' && 'TacoCÆt'.upperAscii() == 'TACOCÆT'
'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'
'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c']
'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'
'  trim '.trim() == 'trim' && ['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'
'%s is %d and %.2f'.format([dyn('x'), dyn(3), dyn(1.5)]) == 'x is 3 and 1.50'
'%s'.format([[1, 2]]) == '[1, 2]' && '%x%%'.format([255]) == 'ff%' && '%b'.format([5]) == '101'
strings.quote('a"b') == r'"a\\"b"'
[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [duration('1s'), duration('2s')].sum() == duration('3s')
[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a'
[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2
[3, 1, 2].sort() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2] && [1, 2].reverse() == [2, 1]
[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3] && lists.range(3) == [0, 1, 2]
['bb', 'a'].sortBy(x, size(x)) == ['a', 'bb']
'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == '' && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']
sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2])
url('https://example.com:80/p?k=v&k=w').getHost() == 'example.com:80'
url('https://[::1]:80/').getHostname() == '::1' && url('https://x:80/').getPort() == '80'
url('https://x/a%20b').getEscapedPath() == '/a%20b' && url('https://x/?k=v&k=w').getQuery() == {'k': ['v', 'w']}
isURL('https://x') && !isURL('../relative') && isURL('/absolute') && !isURL(':5000')
quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('50k').add(20000).compareTo(quantity('70k')) == 0
quantity('50k').sub(quantity('60k')).sign() == -1 && isQuantity('1.5Gi') && !isQuantity('1.3x')
quantity('50Mi').asInteger() == 52428800 && quantity('1500m').asApproximateFloat() == 1.5
quantity('1000m') == quantity('1') && !quantity('1500m').isInteger()
ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && isIP('10.0.0.1') && !isIP('10.0.0.256')
ip.isCanonical('::1') && !ip.isCanonical('0:0::1') && string(ip('10.0.0.1')) == '10.0.0.1'
ip('10.0.0.1').isGlobalUnicast() && ip('169.254.1.1').isLinkLocalUnicast() && ip('0.0.0.0').isUnspecified()
cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))
cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')
cidr('10.1.2.3/8').prefixLength() == 8 && isCIDR('::/0') && !isCIDR('10.0.0.0') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')
!format.dns1123Label().validate('abc').hasValue() && format.dns1123Label().validate('A_').hasValue()
format.named('uuid').value().validate('x').hasValue() && !format.named('nope').hasValue()
semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-alpha').isLessThan(semver('1.0.0'))
isSemver('1.0.0') && !isSemver('1.0') && isSemver('v1.0', true) && semver('1.2.3').minor() == 2
optional.of(1).value() == 1 && !optional.none().hasValue() && optional.ofNonZeroValue('') == optional.none()
object.?spec.?replicas.orValue(0) == 3 && object.?missing.?deep.orValue(7) == 7
[1, 2][?5].orValue(9) == 9 && {'a': 1}[?'b'].or(optional.of(2)).value() == 2
object.?spec.optMap(x, x.replicas + 1).orValue(0) == 4
[?optional.none(), ?optional.of(1)] == [1] && {?'a': optional.none()} == {}
optional.of(1).orValue(1 / 0) == 1
optional.unwrap([optional.of(1), optional.none()]) == [1]
jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'
'a' in m || 'k' in m
"""


@pytest.mark.parametrize("expression", TRUE.strip().split("\n"))
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
    "timestamp(string('nope'))": "type conversion error from 'string' to 'google.protobuf.Timestamp'",
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
