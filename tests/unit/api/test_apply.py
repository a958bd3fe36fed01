"""Server-side apply: field sets, ownership over updates and applies, conflicts."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.apply.compute import compare, field_set, without
from sagong.api.apply.fields import FieldSet, show_path
from sagong.api.apply.lastapplied import ANNOTATION
from sagong.api.apply.managed import UPDATERS_MAX, Writer, apply, record_update
from sagong.api.checking import check
from sagong.api.errors import ApiError, Conflict
from sagong.api.meta import deep_copy
from sagong.api.schema import Node, Schemas

from .masks import unmasked

APPS = "apps/v1"

elements = st.sampled_from(
    ["f:a", "f:b.c/d", 'k:{"name":"x"}', 'k:{"port":1,"protocol":"TCP"}', 'v:"s"', "v:1", "i:0"]
)
field_sets = st.lists(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=6).map(
    lambda paths: FieldSet.of(*paths)
)


@given(field_sets)
def test_fields_v1_round_trip(fields: FieldSet) -> None:
    wire = fields.to_fields_v1()
    assert FieldSet.from_fields_v1(wire) == fields
    assert FieldSet.from_fields_v1(orjson.loads(orjson.dumps(wire))).to_fields_v1() == wire


@given(field_sets, field_sets)
def test_set_laws(a: FieldSet, b: FieldSet) -> None:
    mine, theirs = set(a.paths()), set(b.paths())
    assert set((a | b).paths()) == mine | theirs
    assert set((a & b).paths()) == mine & theirs
    assert set((a - b).paths()) == mine - theirs
    assert (a - b) | (a & b) == a
    below = {p for p in mine if not any(p[: len(q)] == q for q in theirs)}
    assert set(a.without_below(b).paths()) == below


def test_wire_form() -> None:
    fields = FieldSet.of(("f:spec", 'k:{"name":"c"}'), ("f:spec", 'k:{"name":"c"}', "f:image"))
    wire = {"f:spec": {'k:{"name":"c"}': {".": {}, "f:image": {}}}}
    assert fields.to_fields_v1() == wire
    assert [show_path(p) for p in fields.paths()] == [
        '.spec[name="c"]',
        '.spec[name="c"].image',
    ]
    for bad in ({"x": {}}, {"f:a": 1}, {"k:[]": {}}):
        with pytest.raises(ValueError):
            FieldSet.from_fields_v1(bad)


def deployment(**spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    base = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {
        "apiVersion": APPS,
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {k: v for k, v in (base | spec).items() if v is not None},
    }


def writer(manager: str, second: int = 0, **more: Any) -> Writer:
    return Writer(manager, APPS, f"2026-01-01T00:00:{second:02}Z", **more)


@pytest.fixture
def node(schemas: Schemas) -> Node:
    found = schemas.of("apps", "v1", "Deployment")
    assert found is not None
    return found


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], FieldSet]:
    return {
        (e["manager"], e["operation"]): FieldSet.from_fields_v1(e["fieldsV1"])
        for e in obj["metadata"]["managedFields"]
    }


def paths(fields: FieldSet) -> list[str]:
    return [show_path(p) for p in fields.paths()]


def test_a_configuration_owns_what_it_names(node: Node) -> None:
    created = apply(None, deployment(), node, writer("one"), force=False)
    [entry] = created["metadata"]["managedFields"]
    ports = {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}
    container = {".": {}, "f:image": {}, "f:name": {}, "f:ports": ports}
    assert entry == {
        "manager": "one",
        "operation": "Apply",
        "apiVersion": APPS,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:a": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"c"}': container}},
                },
            }
        },
    }


def test_conflicts_are_refused_then_forced(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    with pytest.raises(Conflict) as caught:
        apply(live, deployment(replicas=5), node, writer("two"), force=False)
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "one": .spec.replicas'
    )
    assert caught.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one"',
            "field": ".spec.replicas",
        }
    ]
    forced = apply(live, deployment(replicas=5), node, writer("two"), force=True)
    assert forced["spec"]["replicas"] == 5
    assert not managers(forced)["one", "Apply"].has(("f:spec", "f:replicas"))
    assert managers(forced)["two", "Apply"].has(("f:spec", "f:replicas"))


def test_conflicts_with_updaters_name_their_version(node: Node) -> None:
    live = deployment()
    live["metadata"]["managedFields"] = record_update(None, live, node, writer("edit"))
    changed = deployment(replicas=5, minReadySeconds=1)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "j"
    with pytest.raises(Conflict) as caught:
        apply(live, changed, node, writer("two"), force=False)
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "edit" using apps/v1:\n'
        '- .spec.replicas\n- .spec.template.spec.containers[name="c"].image'
    )


def test_what_is_no_longer_named_goes_unless_owned(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    shared = {**deployment(), "spec": {"replicas": 3}}
    live = apply(live, shared, node, writer("two"), force=False)
    less = deployment(replicas=None)
    del less["spec"]["template"]["spec"]["containers"][0]["ports"]
    after = apply(live, less, node, writer("one", 1), force=False)
    assert after["spec"]["replicas"] == 3, "two owns it"
    assert "ports" not in after["spec"]["template"]["spec"]["containers"][0]
    del shared["spec"]
    gone = apply(after, shared, node, writer("two", 1), force=False)
    assert "replicas" not in gone["spec"]
    assert ("two", "Apply") not in managers(gone)
    assert live["spec"]["replicas"] == 3, "inputs stay"


def test_applying_again_changes_nothing(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    assert apply(live, deployment(), node, writer("one", 9), force=False) == live


def test_items_of_others_stay_and_order_is_kept(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    other = deployment(replicas=None, selector=None)
    other["spec"]["template"] = {"spec": {"containers": [{"name": "z", "image": "q"}]}}
    both = apply(live, other, node, writer("two"), force=False)
    names = [c["name"] for c in both["spec"]["template"]["spec"]["containers"]]
    assert names == ["c", "z"]
    again = apply(both, deployment(), node, writer("one"), force=False)
    assert [c["name"] for c in again["spec"]["template"]["spec"]["containers"]] == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "apps/v2"}, "Incorrect version specified in apply patch. Specified patch "
         "version: apps/v2, expected: apps/v1"),
        ({"metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
        ({"nope": 1}, "failed to create typed patch object (n/d; apps/v1, Kind=Deployment): "
         ".nope: field not declared in schema"),
        ({"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}},
         ".spec.template.spec.containers: element 0: associative list with keys has an element "
         'that omits key field "name" (and doesn\'t have default value)'),
        ({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}},
         '.spec.template.spec.containers: duplicate entries for key [name="a"]'),
        ({"metadata": {"name": "d", "x": 1}, "spec": {"y": 1}},
         "errors:\n  .metadata.x: field not declared in schema\n  .spec.y: field not declared"),
    ],
)  # fmt: skip
def test_bad_configurations(node: Node, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply(None, deployment() | change, node, writer("one"), force=False)
    assert message in caught.value.message


def test_kubectl_takes_over_from_its_client_side(node: Node) -> None:
    live = deployment()
    live["metadata"]["annotations"] = {ANNOTATION: orjson.dumps(deployment()).decode()}
    entries = record_update(None, live, node, writer("kubectl-client-side-apply"))
    live["metadata"]["managedFields"] = entries
    with pytest.raises(Conflict):
        apply(live, deployment(replicas=5), node, writer("other"), force=False)
    after = apply(live, deployment(replicas=5), node, writer("kubectl"), force=False)
    assert after["spec"]["replicas"] == 5
    assert orjson.loads(after["metadata"]["annotations"][ANNOTATION]) == deployment(replicas=5)


def test_updates_take_what_they_change(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    changed = deep_copy(live)
    changed["spec"]["replicas"] = 9
    changed["status"] = {"replicas": 1}
    changed["metadata"]["labels"] = {"x": "y"}
    changed["metadata"]["managedFields"] = record_update(live, changed, node, writer("edit", 5))
    assert paths(managers(changed)["edit", "Update"]) == [
        ".metadata.labels",
        ".metadata.labels.x",
        ".spec.replicas",
    ]
    assert not managers(changed)["one", "Apply"].has(("f:spec", "f:replicas"))
    entries = changed["metadata"]["managedFields"]
    assert record_update(changed, deep_copy(changed), node, writer("edit", 7)) == entries
    reset = {**changed, "metadata": {**changed["metadata"], "managedFields": [{}]}}
    assert record_update(changed, reset, node, writer("edit", 7)) == []


def test_status_is_owned_through_its_subresource(node: Node) -> None:
    live = deployment()
    changed = deployment(replicas=7)
    changed["status"] = {"replicas": 1, "conditions": [{"type": "A", "status": "True"}]}
    [entry] = record_update(live, changed, node, writer("ctl", subresource="status"))
    assert entry["subresource"] == "status"
    conditions = {".": {}, 'k:{"type":"A"}': {".": {}, "f:status": {}, "f:type": {}}}
    assert entry["fieldsV1"] == {
        "f:status": {".": {}, "f:conditions": conditions, "f:replicas": {}}
    }


def test_updaters_are_capped(node: Node) -> None:
    live = deployment()
    live["metadata"]["managedFields"] = record_update(None, live, node, writer("m", 0))
    for i in range(1, UPDATERS_MAX + 5):
        new = deep_copy(live)
        new["metadata"].setdefault("labels", {})[f"l{i}"] = "x"
        new["metadata"]["managedFields"] = record_update(live, new, node, writer(f"m{i:02}", i))
        live = new
    names = [e["manager"] for e in live["metadata"]["managedFields"]]
    assert len(names) == UPDATERS_MAX
    assert "ancient-changes" in names
    assert names[-1] == f"m{UPDATERS_MAX + 4:02}"


# What answers hold that admission or the kind's strategy added after fields were recorded.
ADDED_LATER = {
    "Pod": {"volumes", "volumeMounts", "tolerations", "serviceAccount", "serviceAccountName",
            "priority", "preemptionPolicy"},
    "Service": {"ipFamilies", "ipFamilyPolicy"},
    "Namespace": {"finalizers"},
    "PersistentVolume": {"finalizers"},
    "Job": {"labels", "selector"},
}  # fmt: skip


def test_recorded_managed_fields(schemas: Schemas, recorded: dict[str, Any]) -> None:
    seen = 0
    for case in recorded["defaults"]:
        answer = unmasked(case["answer"]["body"])
        expected = answer.get("metadata", {}).pop("managedFields", None)
        if not expected:
            continue
        group, _, version = answer["apiVersion"].rpartition("/")
        node = schemas.of(group, version, answer["kind"])
        assert node is not None
        check(answer, node)
        later = ADDED_LATER.get(answer["kind"], set())
        by = Writer("golden", answer["apiVersion"], "2026-01-01T00:00:00Z")
        [entry] = record_update(None, answer, node, by) or [{"fieldsV1": {}}]
        mine = FieldSet.from_fields_v1(entry["fieldsV1"])
        genuine = FieldSet.from_fields_v1(expected[0]["fieldsV1"])
        assert paths(genuine - mine) == [], answer["kind"]
        extra = [path for path in (mine - genuine).paths() if not is_later(path, later)]
        assert extra == [], answer["kind"]
        seen += 1
    assert seen > 25


def is_later(path: tuple[str, ...], names: set[str]) -> bool:
    return any(element.removeprefix("f:") in names for element in path)


json_values = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from("abc"), json_values)


@given(objects, objects)
def test_comparison_laws(schemas: Schemas, old: dict[str, Any], new: dict[str, Any]) -> None:
    node = schemas.schemaless()
    there, back = compare(old, new, node), compare(new, old, node)
    assert set(there.added.paths()) == set(back.removed.paths())
    assert set(there.modified.paths()) == set(back.modified.paths())
    same = compare(old, deep_copy(old), node)
    assert [*same.added.paths(), *same.modified.paths(), *same.removed.paths()] == []
    assert bool(there.added or there.modified or there.removed) or old == new


@given(objects)
def test_an_object_without_its_fields_is_empty(schemas: Schemas, obj: dict[str, Any]) -> None:
    node = schemas.schemaless()
    assert not field_set(without(obj, field_set(obj, node), node) or {}, node)


@given(objects, objects)
def test_applying_alone_is_replacing(
    schemas: Schemas, first: dict[str, Any], second: dict[str, Any]
) -> None:
    node = schemas.schemaless()

    def configuration(spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": APPS, "kind": "X", "metadata": {"name": "x"}, "spec": spec}

    live = apply(None, configuration(first), node, writer("one"), force=False)
    after = apply(live, configuration(second), node, writer("one"), force=False)
    assert after.get("spec") == second


def test_heartbeats_only_move_the_time(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    beating = deployment(replicas=4)
    beating["metadata"]["managedFields"] = record_update(live, beating, node, writer("beat", 1))
    later = deep_copy(beating)
    later["spec"]["replicas"] = 5
    entries = record_update(beating, later, node, writer("beat", 2))
    before = beating["metadata"]["managedFields"]
    assert entries == [before[0], before[1] | {"time": "2026-01-01T00:00:02Z"}]
    assert before[1]["time"] == "2026-01-01T00:00:01Z", "inputs stay"


def test_unsound_entries_of_clients_are_ignored(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    for junk in ([{"manager": "x"}], [{"operation": "Update", "fieldsV1": {"q": {}}}], ["x", 1]):
        sent = deep_copy(live)
        sent["metadata"]["managedFields"] = junk
        assert record_update(live, sent, node, writer("y")) == live["metadata"]["managedFields"]


def test_removed_fields_are_given_up_by_all(node: Node) -> None:
    live = apply(None, deployment(), node, writer("one"), force=False)
    live = apply(live, deployment(), node, writer("two"), force=False)
    less = deep_copy(live)
    del less["spec"]["replicas"]
    less["metadata"]["managedFields"] = record_update(live, less, node, writer("edit"))
    owners = managers(less)
    assert set(owners) == {("one", "Apply"), ("two", "Apply")}
    assert not any(fields.has(("f:spec", "f:replicas")) for fields in owners.values())
