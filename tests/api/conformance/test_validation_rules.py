"""``x-kubernetes-validations``: checked when a definition is written, followed by its objects."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from rest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}


def definition(plural: str, spec: Any, *, root: Any = None, status: Any = None) -> Any:
    schema = {"type": "object", "properties": {"spec": spec}} | ({} if root is None else root)
    if status is not None:
        schema["properties"]["status"] = status
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "metadata": {"name": f"{plural}.rules.example.com"},
        "spec": {
            "group": "rules.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.capitalize()},
            "versions": [version],
        },
    }


def rule(text: str, **more: Any) -> Any:
    return {"rule": text, **more}


def ruled(*rules: Any, **schema: Any) -> Any:
    return {"x-kubernetes-validations": list(rules), **schema}


INTEGER, TEXT = {"type": "integer"}, {"type": "string"}
LIMITED = {"type": "string", "maxLength": 50}


class Things:
    """A served definition, and what is said of its objects."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._made: list[str] = []
        self._count = 0

    async def define(self, spec: Any, **more: Any) -> "Things":
        self.plural = f"things{len(self._made)}"
        answer = await self.api.call("POST", CRDS, definition(self.plural, spec, **more))
        assert answer.status == 201, answer.text
        path = f"{CRDS}/{self.plural}.rules.example.com"
        self._made.append(path)
        async with asyncio.timeout(10):
            while (await self.api.call("GET", self.path)).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self

    @property
    def path(self) -> str:
        return f"/apis/rules.example.com/v1/namespaces/default/{self.plural}"

    async def create(self, spec: Any, **more: Any) -> list[tuple[str, str]]:
        """The causes of the refusal; nothing if it is accepted."""
        self._count += 1
        self.name = f"t{self._count}"
        body = self._body(spec) | more
        return causes(await self.api.call("POST", self.path, body))

    async def patch(self, patch: Any, *, subresource: str = "") -> list[tuple[str, str]]:
        path = f"{self.path}/{self.name}{subresource}"
        return causes(await self.api.call("PATCH", path, patch, headers=MERGE))

    def _body(self, spec: Any) -> Any:
        return {
            "apiVersion": "rules.example.com/v1",
            "kind": self.plural.capitalize(),
            "metadata": {"name": self.name},
            "spec": spec,
        }

    async def clean(self) -> None:
        for path in self._made:
            await self.api.call("DELETE", path)


def causes(answer: Any) -> list[tuple[str, str]]:
    if answer.status < 300:
        return []
    assert answer.status == 422, answer.text
    return [(c["field"], c["message"]) for c in answer.body["details"]["causes"]]


@pytest_asyncio.fixture(loop_scope="module")
async def things(api: Api) -> AsyncIterator[Things]:
    made = Things(api)
    yield made
    await made.clean()


async def test_rules_between_fields(things: Things) -> None:
    text = "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas"
    fields = {"minReplicas": INTEGER, "replicas": INTEGER, "maxReplicas": INTEGER}
    await things.define(
        ruled(
            rule(text),
            rule("self.replicas % 2 == 0", message="must be even", fieldPath=".replicas"),
            rule(
                "self.maxReplicas < 100",
                messageExpression="'at most 99, not ' + string(self.maxReplicas)",
                reason="FieldValueForbidden",
            ),
            type="object",
            properties=fields,
        )
    )
    assert await things.create({"minReplicas": 1, "replicas": 2, "maxReplicas": 3}) == []
    assert await things.create({"minReplicas": 4, "replicas": 3, "maxReplicas": 300}) == [
        ("spec", f'Invalid value: "object": failed rule: {text}'),
        ("spec.replicas", 'Invalid value: "object": must be even'),
        ("spec", "Forbidden: at most 99, not 300"),
    ]
    assert await things.create({"replicas": 2, "maxReplicas": 3}) == [
        ("spec", f'Invalid value: "object": no such key: minReplicas evaluating rule: {text}')
    ]


async def test_the_root_knows_its_name(things: Things) -> None:
    root = ruled(rule("self.metadata.name.startsWith('t')"), rule("self.kind != 'Other'"))
    await things.define({"type": "object", "properties": {"a": INTEGER}}, root=root)
    assert await things.create({"a": 1}) == []
    body = {"metadata": {"name": "other"}}
    refused = await things.create({"a": 1}, **body)
    assert refused[0][0] == "<nil>"


async def test_types_follow_formats(things: Things) -> None:
    fields = {
        "from": {"type": "string", "format": "date-time"},
        "for": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "ratio": {"type": "number"},
        "port": {"x-kubernetes-int-or-string": True},
        "x-y.z/w__v": INTEGER,
        "kept": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    rules = (
        rule("self.from > timestamp('2020-01-01T00:00:00Z')"),
        rule("self.__for__ < duration('1h')"),
        rule("size(self.data) == 3"),
        rule("self.ratio * 2.0 == 4.0"),
        rule("type(self.port) == int ? self.port > 0 : self.port.endsWith('%')"),
        rule("self.x__dash__y__dot__z__slash__w__underscores__v == 7"),
        rule("has(self.kept)"),
    )
    await things.define(ruled(*rules, type="object", properties=fields))
    good = {
        "from": "2021-01-01T00:00:00Z",
        "for": "5m",
        "data": "YWJj",
        "ratio": 2,
        "port": "5%",
        "x-y.z/w__v": 7,
        "kept": {"any": 1},
    }
    assert await things.create(good) == []
    bad = good | {
        "from": "2019-01-01T00:00:00Z",
        "for": "2h",
        "data": "YQ==",
        "ratio": 3,
        "port": 0,
    }
    assert len(await things.create(bad)) == 5


async def test_rules_about_changes(things: Things) -> None:
    await things.define(
        {
            "type": "object",
            "properties": {
                "fixed": ruled(rule("self == oldSelf", message="is immutable"), **TEXT),
                "once": ruled(
                    rule(
                        "oldSelf.hasValue() || self == 'first'",
                        optionalOldSelf=True,
                        message="begins as first",
                    ),
                    **TEXT,
                ),
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": ruled(
                        rule("self.size >= oldSelf.size", message="only grows"),
                        type="object",
                        required=["name"],
                        properties={"name": TEXT, "size": INTEGER},
                    ),
                },
            },
        }
    )
    spec = {"fixed": "a", "parts": [{"name": "x", "size": 1}, {"name": "y", "size": 2}]}
    assert await things.create(spec) == []
    assert await things.patch({"spec": {"fixed": "b"}}) == [
        ("spec.fixed", 'Invalid value: "b": is immutable')
    ]
    smaller = [{"name": "y", "size": 1}, {"name": "z", "size": 0}]
    assert await things.patch({"spec": {"parts": smaller}}) == [
        ("spec.parts[0]", 'Invalid value: "object": only grows')
    ]
    assert await things.patch({"spec": {"once": "second"}}) == [
        ("spec.once", 'Invalid value: "second": begins as first')
    ]
    assert await things.patch({"spec": {"once": "first"}}) == []
    assert await things.patch({"spec": {"once": "second"}}) == []


async def test_what_was_wrong_before_may_stay(things: Things) -> None:
    fields = {"size": ruled(rule("self > 5"), **INTEGER), "other": INTEGER}
    loose = {"type": "object", "properties": {"size": INTEGER, "other": INTEGER}}
    await things.define(loose)
    assert await things.create({"size": 1}) == []
    crd = f"{CRDS}/{things.plural}.rules.example.com"
    found = (await things.api.call("GET", crd)).body
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"] = fields
    assert (await things.api.call("PUT", crd, found)).status == 200
    assert await things.patch({"spec": {"other": 2}}) == []
    assert await things.patch({"spec": {"size": 2}}) == [
        ("spec.size", "Invalid value: 2: failed rule: self > 5")
    ]


async def test_status_is_held_to_rules(things: Things) -> None:
    status = ruled(rule("self.ready <= self.all"), type="object",
                   properties={"ready": INTEGER, "all": INTEGER})  # fmt: skip
    await things.define({"type": "object"}, status=status)
    assert await things.create({}) == []
    good, bad = {"status": {"ready": 1, "all": 2}}, {"status": {"ready": 3, "all": 2}}
    assert await things.patch(good, subresource="/status") == []
    assert await things.patch(bad, subresource="/status") == [
        ("status", 'Invalid value: "object": failed rule: self.ready <= self.all')
    ]


async def test_rules_are_not_run_on_what_is_wrong(things: Things) -> None:
    spec = ruled(rule("self.a > 0"), type="object", required=["a"], properties={"a": INTEGER})
    await things.define(spec)
    refused = await things.create({})
    assert refused == [
        ("spec.a", "Required value"),
        (
            "<nil>",
            "Invalid value: null: some validation rules were not checked because the object was "
            "invalid; correct the existing errors to complete validation",
        ),
    ]


async def test_lists_that_merge(things: Things) -> None:
    fields = {"tags": {"type": "array", "x-kubernetes-list-type": "set", "items": LIMITED}}
    fields["tags"]["maxItems"] = 10
    await things.define(ruled(rule("self.tags == ['b', 'a']"), type="object", properties=fields))
    assert await things.create({"tags": ["a", "b"]}) == []
    assert len(await things.create({"tags": ["a"]})) == 1


async def test_cost_is_bounded_when_rules_run(things: Things) -> None:
    numbers = {"type": "array", "maxItems": 25, "items": INTEGER}
    text = (
        "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0 && "
        "a - b == a - b && c - d == c - d))))"
    )
    # The estimate lets it pass only because the list is short; 25 ** 4 steps are too many to run.
    await things.define({"type": "object", "properties": {"n": ruled(rule(text), **numbers)}})
    assert await things.create({"n": [1, 2, 3]}) == []
    refused = await things.create({"n": list(range(25))})
    assert refused == [
        (
            "spec.n",
            "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no "
            f"further validation rules will be run due to call cost exceeds limit for rule: {text}",
        )
    ]


def _spec(*rules: Any, **schema: Any) -> Any:
    return ruled(*rules, **({"type": "object", "properties": {"a": INTEGER}} | schema))


_AT = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"
_NONE = '"Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null'
REFUSED = [
    (
        _spec(rule("self.b > 0")),
        "rule",
        f'Invalid value: {{"Rule":"self.b > 0",{_NONE}}}: compilation failed: ERROR: '
        "<input>:1:5: undefined field 'b'\n | self.b > 0\n | ....^",
    ),
    (
        _spec(rule("self.a")),
        "rule",
        f'Invalid value: {{"Rule":"self.a",{_NONE}}}: cel expression must evaluate to a bool',
    ),
    (_spec(rule(" ")), "rule", "Required value: rule is not specified"),
    (
        _spec(rule("self.a >\n0")),
        "message",
        "Required value: message must be specified if rule contains line breaks",
    ),
    (
        _spec(rule("self.a > 0", fieldPath=".b")),
        "fieldPath",
        'Invalid value: ".b": fieldPath must be a valid path: does not refer to a valid field: b',
    ),
    (
        _spec(rule("self.a > 0", reason="Nope")),
        "reason",
        'Unsupported value: "Nope": supported values: "FieldValueDuplicate", '
        '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
    ),
    (
        _spec(rule("self.a > 0", optionalOldSelf=True)),
        "optionalOldSelf",
        "Invalid value: true: may not be set if oldSelf is not used in rule",
    ),
    (
        _spec(
            rule("self.all(x, self.all(y, x == y))"),
            type="array", properties=None, items={"type": "string"},
        ),
        "rule",
        "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try "
        "simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
        "maps, and strings are declared)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "field", "message"), REFUSED)
async def test_definitions_must_have_usable_rules(
    api: Api, spec: Any, field: str, message: str
) -> None:
    given = {key: value for key, value in spec.items() if value is not None}
    answer = await api.call("POST", CRDS, definition("bad", given))
    found = causes(answer)
    assert found[0] == (f"{_AT}.{field}", message)
    # One that is too expensive makes the whole schema too expensive.
    rest = [where for where, _ in found[1:]]
    too_dear = ["rule", ""] if "exceeds budget" in message else []
    schema = "spec.validation.openAPIV3Schema"
    assert rest == [f"{_AT}.{name}" if name else schema for name in too_dear]


async def test_rules_about_keys_are_affordable(things: Things) -> None:
    """As Gateway API has it for labels."""
    pattern = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
    text = f"self.all(key, key.split('/')[0].size() < 253 && key.matches(r'{pattern}'))"
    labels = {"type": "object", "maxProperties": 16, "additionalProperties": LIMITED}
    await things.define({"type": "object", "properties": {"labels": ruled(rule(text), **labels)}})
    assert await things.create({"labels": {"a.b": "c"}}) == []
    assert await things.create({"labels": {"-": "c"}}) == [
        ("spec.labels", f'Invalid value: "object": failed rule: {text}')
    ]


async def test_errors_name_the_version_where_versions_differ(api: Api) -> None:
    crd = definition("bad", _spec(rule("self.b > 0")))
    other = definition("bad", _spec(rule("self.a > 0")))["spec"]["versions"][0]
    crd["spec"]["versions"].append({**other, "name": "v2", "storage": False})
    (found,) = causes(await api.call("POST", CRDS, crd))
    assert found[0] == _AT.replace("spec.validation", "spec.versions[0].schema") + ".rule"


async def test_old_values_must_be_correlatable(api: Api) -> None:
    items = ruled(rule("self > oldSelf"), **INTEGER)
    spec = {"type": "object", "properties": {"l": {"type": "array", "items": items, "maxItems": 5}}}
    at = "spec.validation.openAPIV3Schema.properties[spec].properties[l]"
    assert causes(await api.call("POST", CRDS, definition("bad", spec))) == [
        (
            f"{at}.items.x-kubernetes-validations[0].rule",
            'Invalid value: "self > oldSelf": oldSelf cannot be used on the uncorrelatable portion '
            f"of the schema within {at}",
        )
    ]
