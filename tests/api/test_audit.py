"""The audit log over HTTPS: who did what, as much of it as the policy says."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rest import CONFIG_MAPS, TOKENS, Api, config_map

from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.server.audit.log import LogSettings

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/version"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Request}
"""


class Audited:
    """A server with an audit log, and what is in it."""

    def __init__(self, api: Api, path: Path) -> None:
        self.api = api
        self._path = path

    def events(self, **wanted: str) -> list[dict[str, Any]]:
        """The events of these members, of the tests' own users."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [
            event
            for event in map(json.loads, lines)
            if event["user"]["username"] in ("admin", "dev")
            and all(event.get(name) == value for name, value in wanted.items())
        ]


@pytest.fixture
async def audited(data_dir: Path, tmp_path: Path) -> AsyncIterator[Audited]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (data_dir / "tokens.csv").write_text(TOKENS)
    config = ServerConfig(
        data_dir,
        port=0,
        token_auth_file=data_dir / "tokens.csv",
        store="memory",
        audit_policy_file=tmp_path / "policy.yaml",
        audit_log=LogSettings(str(tmp_path / "audit.log")),
    )
    async with (
        serving(config, clock=SystemClock(), ids=SystemIds()) as server,
        aiohttp.ClientSession() as session,
    ):
        yield Audited(Api(session, server.url), tmp_path / "audit.log")


async def test_bodies_at_the_level_of_bodies(audited: Audited) -> None:
    await audited.api.call("POST", CONFIG_MAPS, config_map("a", x="1"))
    (event,) = audited.events(verb="create")
    assert (event["level"], event["stage"]) == ("RequestResponse", "ResponseComplete")
    assert event["user"] == {
        "username": "admin",
        "uid": "1",
        "groups": ["system:masters", "system:authenticated"],
    }
    assert event["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "a",
        "apiVersion": "v1",
    }
    assert event["requestURI"] == CONFIG_MAPS
    assert event["requestObject"]["data"] == {"x": "1"}
    assert event["responseObject"]["metadata"]["uid"]
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["sourceIPs"] == ["127.0.0.1"]


async def test_secrets_stay_out_of_it(audited: Audited) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hidden"}}
    await audited.api.call("POST", "/api/v1/namespaces/default/secrets", secret)
    (event,) = audited.events(verb="create")
    assert event["level"] == "Metadata"
    assert "requestObject" not in event
    assert event["objectRef"]["name"] == "s"


async def test_refusals_and_failures_are_told(audited: Audited) -> None:
    await audited.api.call("GET", CONFIG_MAPS, token="dev-token")
    (event,) = audited.events(verb="list")
    assert event["user"]["username"] == "dev"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["reason"] == "Forbidden"
    await audited.api.call("GET", f"{CONFIG_MAPS}/nope")
    (event,) = audited.events(verb="get")
    assert (event["responseStatus"]["code"], event["responseStatus"]["reason"]) == (404, "NotFound")


async def test_impersonators_are_told_with_whom_they_acted_for(audited: Audited) -> None:
    await audited.api.call("GET", CONFIG_MAPS, headers={"Impersonate-User": "ann"})
    (event,) = audited.events(verb="list")
    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"]["username"] == "ann"


async def test_a_watch_is_told_of_when_it_begins_and_when_it_ends(audited: Audited) -> None:
    await audited.api.call("GET", f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1")
    for _ in range(500):
        if len(audited.events(verb="watch")) == 2:
            break
        await asyncio.sleep(0.01)
    stages = [event["stage"] for event in audited.events(verb="watch")]
    assert stages == ["ResponseStarted", "ResponseComplete"]


async def test_what_the_policy_leaves_out(audited: Audited) -> None:
    await audited.api.call("GET", "/version")
    await audited.api.call("GET", "/healthz")
    assert [event["requestURI"] for event in audited.events()] == ["/healthz"]


async def test_policies_leave_annotations(audited: Audited) -> None:
    group = "/apis/admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "DELETE"],
        "resources": ["configmaps"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object == null", "message": "no new ones"}],
        "auditAnnotations": [{"key": "who", "valueExpression": "request.userInfo.username"}],
    }
    made = {"metadata": {"name": "noted"}, "spec": spec}
    await audited.api.call("POST", f"{group}/validatingadmissionpolicies", made)
    bound = {
        "metadata": {"name": "noted-b"},
        "spec": {"policyName": "noted", "validationActions": ["Audit"]},
    }
    await audited.api.call("POST", f"{group}/validatingadmissionpolicybindings", bound)
    assert (await audited.api.call("POST", CONFIG_MAPS, config_map("kept"))).status == 201
    assert (await audited.api.call("DELETE", f"{CONFIG_MAPS}/kept")).status == 200
    failure = "validation.policy.admission.k8s.io/validation_failure"
    by_verb = {e["verb"]: e["annotations"] for e in audited.events(stage="ResponseComplete")
               if e.get("objectRef", {}).get("resource") == "configmaps"}  # fmt: skip
    assert by_verb["create"]["noted/who"] == by_verb["delete"]["noted/who"] == "admin"
    assert json.loads(by_verb["create"][failure]) == [
        {
            "message": "no new ones",
            "policy": "noted",
            "binding": "noted-b",
            "expressionIndex": 0,
            "validationActions": ["Audit"],
        }
    ]
    assert failure not in by_verb["delete"]
