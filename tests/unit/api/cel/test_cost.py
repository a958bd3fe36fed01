"""What expressions cost: counted while they run, estimated before; both as upstream counts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.api.cel.environments import ENVIRONMENT, VALUES, evaluate

from sagong.api.cel import folds
from sagong.api.cel.environment import COST_MAX, Environment
from sagong.api.cel.errors import CostExceeded, EvaluationError
from sagong.api.cel.estimate import UNKNOWN, cost_max
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.schema_types import escape, type_of_schema
from sagong.api.cel.types import BOOL, INT, STRING, list_of

ACTUAL = [
    ("true", 0),
    ("n", 1),
    ("object.spec.replicas", 3),
    ("n + 1", 2),
    ("n == 4 && n < 5", 4),
    ("n == 5 && n < 5", 2),
    ("true ? n : n + n", 1),
    ("has(object.spec.replicas)", 2),
    ("[1, 2]", 10),
    ("{'a': 1}", 30),
    ("s + 'abc'", 2),
    ("'" + "x" * 100 + "'.contains('" + "y" * 20 + "')", 20),
    ("'" + "x" * 100 + "' == '" + "x" * 100 + "'", 10),
    ("1 in [1, 2, 3]", 13),
    ("[1, 2].all(x, x > 0)", 10 + 2 * (3 + 2) + 1),
    ("[1, 2].exists(x, x > 9)", 10 + 2 * (4 + 2) + 1),
    ("[1, 2].map(x, x)", 10 + 10 + 2 * (12 + 1) + 1),
    ("[1, 2].filter(x, x > 1)", 10 + 10 + (2 + 1) + (2 + 13) + 1),
]


@pytest.mark.parametrize(("text", "cost"), ACTUAL)
def test_cost_while_running(text: str, cost: int) -> None:
    assert ENVIRONMENT.compile(text).run(VALUES).cost == cost


TYPED = Environment(
    functions=kubernetes_functions(),
    variables={
        "short": replace(STRING, size_max=10),
        "long": STRING,
        "few": list_of(INT, 5),
        "many": list_of(INT),
        "names": list_of(replace(STRING, size_max=10), 5),
        "n": INT,
    },
)
ESTIMATES = [
    ("true", 0),
    ("n == 1", 2),
    ("short == 'abcdefghijkl'", 2),
    ("few.all(x, x > 0)", 1 + 5 * (2 + 3) + 1),
    ("few.all(x, few.all(y, x == y))", 1 + 5 * (3 + 1 + 5 * (3 + 3) + 1) + 1),
    ("few.map(x, x + 1)", 1 + 10 + 5 * (12 + 2) + 1),
    ("short.startsWith('abc')", 2),
    ("short.matches('abcd')", 3),
    ("1 in few", 6),
    ("few.sum() > 1", 7),
    ("cel.bind(x, few, x.all(y, y > 0))", 10 + 1 + (1 + 5 * 5 + 1)),
    ("'a' + string(n)", 1 + 1 + 4),
]


@pytest.mark.parametrize(("text", "cost"), ESTIMATES)
def test_cost_is_estimated(text: str, cost: int) -> None:
    assert cost_max(TYPED.checked(text)) == cost


@pytest.mark.parametrize("text", ["many.all(x, x > 0)", "long.contains(long)", "many.map(x, [x])"])
def test_what_is_unbounded_is_dear(text: str) -> None:
    assert cost_max(TYPED.checked(text)) >= UNKNOWN // 10


LOOPS = [
    "few.all(x, x > 0)",
    "few.exists(x, x > 0)",
    "few.exists_one(x, x > 0)",
    "few.map(x, x + 1)",
    "few.map(x, x > 0, x + 1)",
    "few.filter(x, x > 0)",
    "few.all(i, v, v > i)",
    "few.transformList(i, v, i > 0, v + i)",
]


@given(st.lists(st.integers(-3, 3), max_size=4))
@settings(max_examples=40, deadline=None)
def test_loops_of_their_own_cost_what_folds_cost(few: list[int]) -> None:
    for text in LOOPS:
        special = _outcome(text, few)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(folds, "_shaped", lambda *args: None)
            assert _outcome(text, few) == special


def _outcome(text: str, few: list[int]) -> object:
    try:
        found = TYPED.compile(text).run({"few": few})
    except EvaluationError as error:
        return str(error)
    return found.value, found.cost


@given(st.lists(st.integers(-9, 9), max_size=5), st.text("ab", max_size=10))
@settings(max_examples=60, deadline=None)
def test_no_run_costs_more_than_its_estimate(few: list[int], short: str) -> None:
    values = {"few": few, "short": short, "n": 3, "names": [short] * len(few)}
    for text in (
        "few.all(x, few.exists(y, x == y))",
        "few.map(x, x * 2).filter(y, y > n).size() > 1",
        "few.exists_one(x, x == n) || short.matches('a+b') || short + short == short",
        "names.all(x, x.contains(short) && x.startsWith('a'))",
        "names.isSorted() && few.sum() > 3 && few.indexOf(n) > 0",
        "few.transformList(i, v, i + v).all(x, x in few)",
    ):
        tree = TYPED.checked(text)
        assert TYPED.program(text, tree).run(values).cost <= cost_max(tree)


def test_evaluation_is_cut_off() -> None:
    numbers = "[" + ",".join(["1"] * 100) + "]"
    text = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c > 0)))"
    with pytest.raises(CostExceeded):
        ENVIRONMENT.compile(text).evaluate(VALUES)


# What each of forty levels makes of the one before it.
GROWTH = [
    ("'aaaa'", "{0} + {0}"),
    ("[1, 2]", "{0} + {0}"),
    ("'aaaa'", "[{0}, {0}].join({0})"),
    ("'aaaa'", "{0}.replace('a', {0} + 'aa')"),
]


@pytest.mark.parametrize(("seed", "step"), GROWTH)
def test_nothing_grows_beyond_measure(seed: str, step: str) -> None:
    text = "s40 == s40"
    for level in range(40, 0, -1):
        text = f"cel.bind(s{level}, {step.format(f's{level - 1}')}, {text})"
    found = evaluate(f"cel.bind(s0, {seed}, {text})")
    assert found == "!operation cancelled: actual cost limit exceeded"


def test_what_is_too_dear_is_not_begun() -> None:
    numbers = "lists.range(3000)"
    found = evaluate(f"sets.equivalent({numbers}, {numbers})")
    assert found == "!operation cancelled: actual cost limit exceeded"
    assert evaluate("lists.range(1000000000).size() > 1").startswith("!operation cancelled")


def test_no_operator_absorbs_the_limit() -> None:
    numbers = "[" + ",".join(["1"] * 1000) + "]"
    text = f"{numbers}.all(a, {numbers}.all(b, a + b > 0)) || true"
    assert evaluate(text) == "!operation cancelled: actual cost limit exceeded"


@given(st.text(alphabet="ab1.+-*/%()[]{}<>=!&|?:,'\" \\nin", max_size=24))
@settings(max_examples=300, deadline=None)
def test_whatever_the_text_nothing_but_cel_errors(text: str) -> None:
    evaluate(text)  # raises nothing else


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_the_value_nothing_but_cel_errors(value: object) -> None:
    for program in _PROGRAMS:
        try:
            outcome = program.run({"object": value})
        except (EvaluationError, CostExceeded):
            continue
        assert outcome.cost <= COST_MAX


_PROGRAMS = [
    ENVIRONMENT.compile(text)
    for text in (
        "object.spec.replicas > 3",
        "object + object == object",
        "object.all(x, x > 1)",
        "object.map(x, x.a).exists(y, y in object)",
        "object[0] < object[1] || object['a'] >= 1",
        "has(object.a.b) && object.a.b.matches('x')",
        "object.?a[?0].orValue(object) == -object",
        "object.size() > 2 || string(object) == 'a' || int(object) > 1 || object.startsWith('a')",
        "[object].max() == object || object.sum() > 1 || '%s'.format([object]) == ''",
        "quantity(object).isInteger() || ip(object).family() == 4 || url(object).getHost() == ''",
        "duration(object) > duration('1s') || timestamp(object) > timestamp(0) || bool(object)",
    )
]


def test_types_of_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "names": {
                        "type": "array",
                        "maxItems": 4,
                        "items": {"type": "string", "maxLength": 5},
                    },
                    "unknown": {"x-kubernetes-preserve-unknown-fields": True},
                    "labels": {"type": "object", "additionalProperties": {"type": "boolean"}},
                },
            }
        },
    }
    root = type_of_schema(schema, "selfType", is_root=True)
    assert root is not None
    assert set(root.fields) == {"apiVersion", "kind", "metadata", "spec"}
    spec = root.fields["spec"].type
    assert (spec.name, set(spec.fields)) == ("selfType.spec", {"names", "labels"})
    names = spec.fields["names"].type
    assert (str(names), names.size_max, names.params[0].size_max) == ("list(string)", 4, 20)
    labels = spec.fields["labels"].type
    assert (labels.params[1], labels.size_max) == (BOOL, (3 * 1024 * 1024 - 2) // 10)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain", "plain"),
        ("namespace", "__namespace__"),
        ("a__b", "a__underscores__b"),
        ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
        ("int", "int"),
        ("1st", None),
        ("é", None),
        ("", None),
    ],
)
def test_names_are_escaped(name: str, shown: str | None) -> None:
    assert escape(name) == shown
