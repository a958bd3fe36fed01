"""Refusals over HTTP, in upstream's words: parsing, options, patches, and the causes of kinds."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from rest import CONFIG_MAPS, Api, config_map

TABLE = yaml.safe_load((Path(__file__).parent / "refusals.yaml").read_text())
WARNED = yaml.safe_load((Path(__file__).parent / "warnings.yaml").read_text())
UPDATES = yaml.safe_load((Path(__file__).parent / "refused_updates.yaml").read_text())
ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'
UNKNOWN = "the object provided is unrecognized (must be of type ConfigMap): "


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("limit=99999999999999999999", 400,
         'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        ("continue=abc", 400, "invalid continue token: continue key is not valid: "
         "invalid character 'i' looking for beginning of value"),
        ("continue=a*c", 400,
         "invalid continue token: continue key is not valid: illegal base64 data at input byte 1"),
        ("sendInitialEvents=true", 422, 'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: '
         "Forbidden: sendInitialEvents is forbidden for list"),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422, 'ListOptions.meta.k8s.io "" is invalid: '
         "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless "
         "sendInitialEvents is provided"),
        ("labelSelector=a=b=c", 400, "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=a%20in%20()", 400,
         "unable to parse requirement: values: Invalid value: []: "
         "for 'in', 'notin' operators, values set can't be empty"),
        ("fieldSelector=data.x=1", 400, '"data.x" is not a known field selector: only '
         '"metadata.name", "metadata.namespace"'),
        ("fieldSelector=metadata.name%3Da%3Db", 400,
         "invalid field selector: unescaped character in value: 61"),
    ],
)  # fmt: skip
async def test_lists(api: Api, query: str, code: int, message: str) -> None:
    answer = await api.call("GET", f"{CONFIG_MAPS}?{query}")

    assert (answer.status, answer.body["message"]) == (code, message)


async def test_a_negative_limit_is_none(api: Api) -> None:
    answer = await api.call("GET", CONFIG_MAPS + "?limit=-1")

    assert answer.status == 200
    assert "continue" not in answer.body["metadata"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"apiVersion": "v2", "kind": "ConfigMap"},
         'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is '
         f'registered for version "v2" {SCHEME}'),
        ({"apiVersion": "v1", "kind": "Nope"},
         'Nope in version "v1" cannot be handled as a ConfigMap: no kind "Nope" is registered for '
         f'version "v1" {SCHEME}'),
        ({"apiVersion": "a/b/c"},
         f'{UNKNOWN}unexpected GroupVersion string: a/b/c ({{"apiVersion": "a/b/c"}})'),
        ({"kind": 1}, f"{UNKNOWN}couldn't get version/kind; json parse error: json: cannot "
         'unmarshal number into Go struct field .kind of type string ({"kind": 1})'),
    ],
)  # fmt: skip
async def test_types_of_bodies(api: Api, body: Any, message: str) -> None:
    answer = await api.call("POST", CONFIG_MAPS, body)

    assert (answer.status, answer.body["message"]) == (400, message)


async def test_null_is_an_object_without_anything(api: Api) -> None:
    answer = await api.call("POST", CONFIG_MAPS, "null")

    assert answer.status == 422
    assert answer.body["message"].endswith("name or generateName is required")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", CONFIG_MAPS + "/a"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("PUT", CONFIG_MAPS),
    ],
)
async def test_what_no_route_is_for(api: Api, method: str, path: str) -> None:
    answer = await api.call(method, path, config_map("a"))

    assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")


async def test_a_put_names_its_object(api: Api) -> None:
    answer = await api.call("PUT", ACCOUNT, {"metadata": {}})

    assert answer.status == 400
    assert answer.body["message"] == (
        "the name of the object (default based on URL) was undeterminable: name must be provided"
    )


@pytest.mark.parametrize(
    ("manager", "message"),
    [
        ("x" * 129, "Too long: may not be more than 128 bytes"),
        ("a%07b", 'Invalid value: "a\\u0007b": invalid character U+0007 (at position 1)'),
    ],
)
async def test_field_managers(api: Api, manager: str, message: str) -> None:
    answer = await api.call("POST", f"{CONFIG_MAPS}?fieldManager={manager}", config_map("a"))

    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["message"] == message


@pytest.mark.parametrize(
    ("type_", "body", "message"),
    [
        ("json-patch+json", "{}", "error decoding patch: json: cannot unmarshal object into Go "
         "value of type []interface {}"),
        ("json-patch+json", "x",
         "error decoding patch: invalid character 'x' looking for beginning of value"),
        ("merge-patch+json", "[]", "error decoding patch: json: cannot unmarshal array into Go "
         "value of type map[string]interface {}"),
        ("strategic-merge-patch+json", "x", "invalid character 'x' looking for beginning of value"),
        ("strategic-merge-patch+json", '{"metadata":"x"}',
         'ServiceAccount in version "v1" cannot '
         "be handled as a ServiceAccount: json: cannot unmarshal string into Go struct field "
         "ServiceAccount.metadata of type v1.ObjectMeta"),
        ("apply-patch+yaml", '{"metadata":[]}', "error decoding YAML: metadata is not an object"),
    ],
)  # fmt: skip
async def test_patches(api: Api, type_: str, body: str, message: str) -> None:
    headers = {"Content-Type": f"application/{type_}"}
    answer = await api.call("PATCH", ACCOUNT + "?fieldManager=m", body, headers=headers)

    assert (answer.status, answer.body["message"]) == (400, message)


@pytest.mark.parametrize("body", [{"gracePeriodSeconds": "x"}, {"dryRun": ["Foo"]}])
async def test_options_in_the_body_of_a_delete(api: Api, body: Any) -> None:
    answer = await api.call("DELETE", ACCOUNT + "?dryRun=All", body)

    assert answer.status in (400, 422)


def _collection(case: dict[str, Any]) -> tuple[str, str]:
    """The version of a case and the path of its collection."""
    group_version, _, plural = case["at"].rpartition("/")
    prefix = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
    namespace = "" if case.get("cluster") else "/namespaces/default"
    return group_version, f"{prefix}{namespace}/{plural}"


def _causes(body: dict[str, Any]) -> list[str]:
    return sorted(f"{c['field']}: {c['message']}" for c in body["details"]["causes"])


@pytest.mark.parametrize("case", TABLE, ids=lambda c: f"{c['at']}-{c['causes'][0]}"[:90])
async def test_causes(api: Api, case: dict[str, Any]) -> None:
    group_version, collection = _collection(case)
    body = {"apiVersion": group_version, "metadata": {"name": "a"}, **case["body"]}

    answer = await api.call("POST", f"{collection}?dryRun=All", json.dumps(body))

    assert answer.status == 422, answer.text
    assert _causes(answer.body) == sorted(case["causes"])


@pytest.mark.parametrize("case", UPDATES, ids=lambda c: f"{c['at']}-{c['causes'][0]}"[:90])
async def test_causes_of_refused_updates(api: Api, case: dict[str, Any]) -> None:
    group_version, collection = _collection(case)
    body = {"apiVersion": group_version, "metadata": {"name": "refused"}, **case["before"]}
    created = await api.call("POST", collection, json.dumps(body))
    assert created.status == 201, created.text
    path = f"{collection}/{created.body['metadata']['name']}"
    target = f"{path}/status" if case.get("status") else path
    headers = {"Content-Type": "application/merge-patch+json"}

    answer = await api.call("PATCH", target, json.dumps(case["change"]), headers=headers)
    deleted = await api.call("DELETE", path, {"propagationPolicy": "Background"})

    assert answer.status == 422, answer.text
    assert _causes(answer.body) == sorted(case["causes"])
    assert deleted.status in (200, 202), deleted.text


@pytest.mark.parametrize("case", WARNED, ids=lambda c: c["at"])
async def test_warnings(api: Api, case: dict[str, Any]) -> None:
    group_version, collection = _collection(case)
    body = {"apiVersion": group_version, "metadata": {"name": "a"}, **case["body"]}

    answer = await api.call("POST", f"{collection}?dryRun=All", json.dumps(body))

    assert answer.status == 201, answer.text
    assert sorted(answer.headers.getall("Warning", ())) == sorted(
        f"299 - {json.dumps(warning)}" for warning in case["warnings"]
    )


async def test_a_request_without_host_is_refused_quietly(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = api.url.removeprefix("https://").split(":")
    tls = ssl._create_unverified_context()
    for head in (b"GET /version HTTP/1.1\r\n\r\n", b"GET /version HTTP/1.1\r\nAccept: */*\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        writer.write(head)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request: missing required Host header\r\n")
        assert b"Connection: close\r\n" in answer
    assert not caplog.records
