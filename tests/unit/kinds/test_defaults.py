"""Defaults and what a create sets, against answers recorded from Kubernetes 1.36.2."""

import json
from pathlib import Path

import pytest

from sagong.api.meta import deep_copy
from sagong.api.quantities import canonical
from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource
from sagong.server.kinds.conversion import from_storage, storage_resource, to_storage
from sagong.server.kinds.object_meta import validate_create, validate_update
from sagong.server.kinds.strategy import Strategy
from sagong.server.kinds.table import STRATEGIES

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["defaults"]
UID = "UUID"  # what the recording puts in place of one

# Parts of the recorded answers that come from admission plugins, allocation or the registry.
_ADMITTED = {
    "Pod": (
        "tolerations",
        "priority",
        "preemptionPolicy",
        "serviceAccount",
        "serviceAccountName",
        "volumes",
    ),
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
}


def resource_of(body: Obj) -> Resource:
    wanted = (body["apiVersion"], body["kind"])
    return next(r for r in BUILT_IN if (r.api_version, r.kind) == wanted)


def strategy_of(body: Obj) -> Strategy:
    return STRATEGIES[resource_of(body).name]


def stored(body: Obj) -> Obj:
    """What the registry makes of a decoded body, before admission."""
    strategy = strategy_of(body)
    obj = canonical_quantities(deep_copy(body))
    obj["metadata"].update(uid=UID, creationTimestamp="TIME")
    obj = to_storage(obj, resource_of(body))
    strategy.default(obj)
    strategy.prepare_for_create(obj)
    strategy.default(obj)
    return obj


def canonical_quantities(value: object, *, inside: bool = False) -> object:
    """Decoding does this by the schema; resource lists are enough for the recorded inputs."""
    if isinstance(value, dict):
        lists = ("limits", "requests", "capacity")
        return {
            k: canonical(v)
            if (inside and not isinstance(v, (dict, list)))
            or (k == "capacity" and isinstance(v, str))
            else canonical_quantities(v, inside=k in lists)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [canonical_quantities(v) for v in value]
    return value


def comparable(obj: Obj) -> Obj:
    """The object without what others than defaulting and preparing put there."""
    obj = deep_copy(obj)
    kind = obj["kind"]
    metadata = {k: obj["metadata"].get(k) for k in ("labels", "annotations")}
    obj["metadata"] = {k: v for k, v in metadata.items() if v}
    for field in _ADMITTED.get(kind, ()):
        obj["spec"].pop(field, None)
    if kind == "Pod":
        for container in obj["spec"]["containers"] + obj["spec"].get("initContainers", []):
            container.pop("volumeMounts", None)
    for port in obj["spec"].get("ports", []) if kind == "Service" else []:
        port.pop("nodePort", None)
    return obj


@pytest.mark.parametrize(
    "case", RECORDED, ids=lambda c: f"{c['input']['kind']}-{c['input']['metadata']['name']}"
)
def test_create_gives_the_recorded_object(case: Obj) -> None:
    obj = from_storage(stored(case["input"]), resource_of(case["input"]))

    strategy = strategy_of(case["input"])
    assert comparable(obj) == comparable(case["answer"])
    assert bool(case["answer"]["metadata"].get("generation")) == strategy.has_generation


@pytest.mark.parametrize(
    "case", RECORDED, ids=lambda c: f"{c['input']['kind']}-{c['input']['metadata']['name']}"
)
def test_defaulting_twice_changes_nothing(case: Obj) -> None:
    obj = stored(case["input"])
    before = deep_copy(obj)

    strategy_of(case["input"]).default(obj)

    assert obj == before


def test_every_stored_kind_has_a_strategy() -> None:
    names = {r.name for r in BUILT_IN if "list" in r.verbs} - {"componentstatuses"}
    assert names == set(STRATEGIES)


@pytest.mark.parametrize(
    "case", RECORDED, ids=lambda c: f"{c['input']['kind']}-{c['input']['metadata']['name']}"
)
def test_what_kubernetes_accepts_is_valid(case: Obj) -> None:
    obj = stored(case["input"])
    resource = storage_resource(resource_of(case["input"]))
    strategy = strategy_of(case["input"])
    if resource.namespaced:
        obj["metadata"]["namespace"] = "default"

    assert validate_create(obj, strategy, namespaced=resource.namespaced) == []
    assert validate_update(obj, obj, strategy, namespaced=resource.namespaced) == []
    assert strategy.selectable_fields(obj).keys() == set(strategy.selectable_field_names)
