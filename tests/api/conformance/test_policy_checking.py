"""The status of a policy says what the types of the kinds that it is about say of it."""

from typing import Any

import pytest
from spaces import Space

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


def spec(*validations: Any, **more: Any) -> Any:
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["deployments"],
    }
    constraints = {"resourceRules": [rule]}
    return {"matchConstraints": constraints, "validations": list(validations), **more}


async def test_expressions_are_checked_against_types(space: Space) -> None:
    name = f"typed-{space.name}"
    wrong = {
        "expression": "object.spec.replicas > '1'",
        "messageExpression": "'wants ' + object.spce.name",
    }
    right = {"expression": "object.spec.template.spec.containers.all(c, c.image != '')"}
    body = {"metadata": {"name": name}, "spec": spec(right, wrong)}
    await space.ask("POST", PATH, body)
    found = await space.wait(f"{PATH}/{name}", lambda p: "observedGeneration" in p["status"])
    assert found["status"]["observedGeneration"] == 1
    kind = "apps/v1, Kind=Deployment: ERROR: <input>:1:"
    assert found["status"]["typeChecking"]["expressionWarnings"] == [
        {
            "fieldRef": "spec.validations[1].expression",
            "warning": f"{kind}22: found no matching overload for '_>_' applied to '(int, string)'"
            "\n | object.spec.replicas > '1'\n | .....................^\n",
        },
        {
            "fieldRef": "spec.validations[1].messageExpression",
            "warning": f"{kind}18: undefined field 'spce'\n | 'wants ' + object.spce.name\n"
            " | .................^\n",
        },
    ]
    await space.patch(f"{PATH}/{name}", {"spec": spec(right)})
    found = await space.wait(f"{PATH}/{name}", lambda p: p["status"].get("observedGeneration") == 2)
    assert found["status"]["typeChecking"] == {}
    await space.delete(f"{PATH}/{name}")


async def test_variables_and_kinds_that_nobody_knows(space: Space) -> None:
    name = f"loose-{space.name}"
    variables = [{"name": "many", "expression": "object.spec.replicas"}]
    validation = {"expression": "variables.many.size() > 1"}
    rules = spec(validation, variables=variables)
    rules["matchConstraints"]["resourceRules"].append(
        {
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "operations": ["*"],
            "resources": ["*"],
        }
    )
    await space.ask("POST", PATH, {"metadata": {"name": name}, "spec": rules})
    found = await space.wait(f"{PATH}/{name}", lambda p: "observedGeneration" in p["status"])
    (warning,) = found["status"]["typeChecking"]["expressionWarnings"]
    assert "no matching overload for 'size' applied to 'int.()'" in warning["warning"]
    await space.delete(f"{PATH}/{name}")
