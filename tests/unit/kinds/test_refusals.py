"""Causes of refused creates, against answers recorded from Kubernetes 1.36.2."""

import json
from pathlib import Path

import pytest

from sagong.api.meta import deep_copy
from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource
from sagong.server.kinds.conversion import to_storage
from sagong.server.kinds.object_meta import validate_create
from sagong.server.kinds.table import STRATEGIES

REFUSALS = json.loads((Path(__file__).parent / "recorded.json").read_text())["refusals"]

# Refused by others than a strategy: query options, virtual resources, the CEL compiler.
_ELSEWHERE = ("fieldValidation=", "subjectaccessreviews", "validatingadmissionpolicies")
CASES = [c for c in REFUSALS if not any(word in c["do"] for word in _ELSEWHERE)]


def causes_of(body: Obj, namespace: str) -> list[Obj]:
    resource = resource_of(body)
    strategy = STRATEGIES[resource.name]
    obj = to_storage(deep_copy(body), resource)
    if resource.namespaced:
        obj["metadata"]["namespace"] = namespace
    obj["metadata"]["uid"] = "UUID"
    strategy.default(obj)
    strategy.prepare_for_create(obj)
    strategy.default(obj)
    return validate_create(obj, strategy, namespaced=resource.namespaced)


def resource_of(body: Obj) -> Resource:
    wanted = (body["apiVersion"], body["kind"])
    return next(r for r in BUILT_IN if (r.api_version, r.kind) == wanted)


def in_any_order(causes: list[Obj]) -> list[str]:
    """The recording sorts the causes, because the genuine order of some is random."""
    return sorted(json.dumps(c, sort_keys=True) for c in causes)


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c['body']['kind']}-{c['causes'][0]['field']}"
)
def test_create_is_refused_for_the_recorded_causes(case: Obj) -> None:
    causes = causes_of(case["body"], "default")

    assert in_any_order(causes) == in_any_order(case["causes"])
