"""Match conditions: all must hold, one false outweighs errors, errors follow the failure policy."""

import pytest
from tests.unit.admission.writes import Allowing, created

from sagong.server.admission.policies.match_conditions import Match, compile_conditions
from sagong.server.admission.policies.seen import seen_as_asked

MAP = {"metadata": {"name": "settings", "namespace": "ns"}, "data": {"a": "1"}}
FAILS = "object.data.missing == ''"


async def match(*expressions: str, failure_policy: str = "Fail", allowed: str = "get") -> Match:
    conditions = [{"name": f"c{i}", "expression": text} for i, text in enumerate(expressions)]
    return await compile_conditions(conditions).match(
        seen_as_asked(created("configmaps", MAP)),
        Allowing(allowed),
        failure_policy=failure_policy,
    )


@pytest.mark.parametrize(
    "expression",
    [
        "object.data.a == '1' && oldObject == null",
        "request.operation == 'CREATE' && request.namespace == 'ns' && request.name == 'settings'",
        "request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'",
        "request.userInfo.username == 'alice' && !request.dryRun",
        "!has(request.subResource)",
        "'system:authenticated' in request.userInfo.groups",
        "authorizer.group('').resource('secrets').namespace('ns').check('get').allowed()",
        "authorizer.requestResource.check('get').reason() == 'so it is written'",
        "!authorizer.serviceAccount('ns', 'robot').path('/healthz').check('get').allowed()",
    ],
)
async def test_an_expression_sees_the_write(expression: str) -> None:
    assert await match(expression) == Match(matches=True)


async def test_all_must_hold() -> None:
    assert await match("true", "true") == Match(matches=True)
    assert await match("true", "false") == Match(matches=False, condition="c1")
    assert await match() == Match(matches=True)


async def test_an_error_follows_the_failure_policy() -> None:
    failed = await match(FAILS)
    assert not failed.matches
    assert failed.error == f"expression '{FAILS}' resulted in error: no such key: missing"
    assert await match(FAILS, failure_policy="Ignore") == Match(matches=False, condition="c0")


async def test_one_that_is_false_outweighs_errors() -> None:
    assert await match(FAILS, "false") == Match(matches=False, condition="c1")


async def test_what_does_not_compile_has_failed() -> None:
    failed = await match("object.")
    assert failed.condition == "c0"
    assert "Syntax error" in failed.error


async def test_the_authorizer_is_asked_once_for_each_question() -> None:
    asked = Allowing("get")
    check = "authorizer.requestResource.check('get').allowed()"
    conditions = compile_conditions([{"name": "c", "expression": f"{check} && {check}"}])
    write = seen_as_asked(created("configmaps", MAP))
    assert (await conditions.match(write, asked, failure_policy="Fail")).matches
    assert [(a.verb, a.resource, a.namespace, a.name) for a in asked.asked] == [
        ("get", "configmaps", "ns", "settings")
    ]


async def test_checks_are_dear() -> None:
    check = "authorizer.requestResource.check('get').allowed()"
    failed = await match(" && ".join([check] * 4))
    assert failed.error.endswith("operation cancelled: actual cost limit exceeded")
