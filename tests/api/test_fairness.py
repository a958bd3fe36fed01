"""Fairness over HTTPS: seats run out for one user and not for others; who is told what."""

import asyncio
import contextlib

import pytest
from rest import CONFIG_MAPS, Api, config_map

from sagong.cmd.server import Running

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
BINDING = {
    "metadata": {"name": "dev"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "cluster-admin",
    },
    "subjects": [{"kind": "User", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"}],
}


def schema(name: str, level: str, user: str) -> dict:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": user}}],
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
        ],
    }
    spec = {
        "matchingPrecedence": 50,
        "priorityLevelConfiguration": {"name": level},
        "rules": [rule],
        "distinguisherMethod": {"type": "ByUser"},
    }
    return {"metadata": {"name": name}, "spec": spec}


def level(name: str, **limited: object) -> dict:
    spec = {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, **limited}}
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def narrow(api: Api) -> Api:
    """The user dev has no seats of its own, may borrow none, and nothing of it waits."""
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert (await api.call("POST", path, BINDING)).status == 201
    made = level("narrow", borrowingLimitPercent=0, limitResponse={"type": "Reject"})
    assert (await api.call("POST", f"{GROUP}/prioritylevelconfigurations", made)).status == 201
    made = schema("narrow", "narrow", "dev")
    assert (await api.call("POST", f"{GROUP}/flowschemas", made)).status == 201
    return api


async def test_answers_say_whose_turn_it_was(narrow: Api) -> None:
    schemas = await narrow.call("GET", f"{GROUP}/flowschemas/narrow")
    levels = await narrow.call("GET", f"{GROUP}/prioritylevelconfigurations/narrow")
    answer = await narrow.call("GET", CONFIG_MAPS, token="dev-token")
    assert answer.status == 200
    uid = schemas.body["metadata"]["uid"]
    assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == uid
    uid = levels.body["metadata"]["uid"]
    assert answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] == uid


async def test_one_user_fills_its_seats_and_not_the_others(narrow: Api, server: Running) -> None:
    async def write(number: int) -> int:
        body = config_map(f"c{number}")
        answer = await narrow.call("POST", CONFIG_MAPS, body, token="dev-token")
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "1"
            assert answer.body["reason"] == "TooManyRequests"
        return answer.status

    codes = await asyncio.gather(*(write(number) for number in range(60)))
    assert set(codes) <= {201, 429}
    assert 201 in codes
    assert (await narrow.call("POST", CONFIG_MAPS, config_map("other"))).status == 201
    text = (await narrow.call("GET", "/metrics")).text
    assert 'apiserver_flowcontrol_dispatched_requests_total{flow_schema="narrow"' in text
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="narrow"} 0.0' in text


async def test_watches_hold_no_seat_once_they_have_begun(narrow: Api) -> None:
    async def watch() -> None:
        path = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=20"
        async with narrow.session.get(
            narrow.url + path, headers={"Authorization": "Bearer dev-token"}, ssl=False
        ) as answer:
            assert answer.status == 200
            await answer.content.readline()

    await narrow.call("POST", CONFIG_MAPS, config_map("there"))
    async with asyncio.timeout(10):
        for _ in range(5):
            await watch()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                answer = await stack.enter_async_context(
                    narrow.session.get(
                        narrow.url + f"{CONFIG_MAPS}?watch=1",
                        headers={"Authorization": "Bearer dev-token"},
                        ssl=False,
                    )
                )
                assert answer.status == 200
            assert (await narrow.call("GET", CONFIG_MAPS, token="dev-token")).status == 200
