"""Namespaces, the garbage collector and service accounts, with their controllers."""

import base64
import json

import pytest
from rest import Api
from spaces import Space, pod_spec, template

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_namespace_is_changed(space: Space) -> None:
    path = f"/api/v1/namespaces/{space.name}"
    patched = await space.patch(path, {"metadata": {"labels": {"testLabel": "testValue"}}})
    assert patched["metadata"]["labels"]["testLabel"] == "testValue"
    found = await space.get(path)
    found["metadata"]["labels"]["updated"] = "yes"
    assert (await space.ask("PUT", path, found))["metadata"]["labels"]["updated"] == "yes"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Set"}
    patched = await space.patch(f"{path}/status", {"status": {"conditions": [condition]}})
    assert patched["status"]["conditions"][0]["type"] == "StatusPatch"
    assert patched["status"]["phase"] == "Active"
    patched["status"]["conditions"].append(condition | {"type": "StatusUpdate"})
    put = await space.ask("PUT", f"{path}/status", patched)
    assert [c["type"] for c in put["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]


async def test_a_finalizer_is_applied_and_taken_off(space: Space) -> None:
    path = f"/api/v1/namespaces/{space.name}"
    found = await space.get(path)
    found["spec"]["finalizers"].append("example.com/try")
    put = await space.ask("PUT", f"{path}/finalize", found)
    assert put["spec"]["finalizers"] == ["kubernetes", "example.com/try"]
    put["spec"]["finalizers"].remove("example.com/try")
    put = await space.ask("PUT", f"{path}/finalize", put)
    assert put["spec"]["finalizers"] == ["kubernetes"]


async def test_what_is_in_a_namespace_goes_with_it(space: Space) -> None:
    other = await Space(space.api).make()
    for index in range(3):
        await other.create("pods", f"p{index}", spec=pod_spec())
        await other.create("services", f"s{index}", spec={"ports": [{"port": 80}]})
    await space.create("pods", "stays", spec=pod_spec())
    path = f"/api/v1/namespaces/{other.name}"
    await space.delete(path)
    await space.wait(path, lambda found: found is None)
    again = {"metadata": {"name": other.name}}
    await space.ask("POST", "/api/v1/namespaces", again)
    assert await other.names("pods") == []
    assert await other.names("services") == []
    assert await space.names("pods") == ["stays"]
    await space.delete(path)


async def test_pods_go_first(space: Space) -> None:
    """A pod that a finalizer holds keeps everything else of its namespace."""
    other = await Space(space.api).make()
    await other.create(
        "pods", "held", metadata={"finalizers": ["example.com/hold"]}, spec=pod_spec()
    )
    await other.create("configmaps", "mine", data={"a": "b"})
    path = f"/api/v1/namespaces/{other.name}"
    await space.delete(path)
    await other.wait("pods/held", lambda pod: bool(pod["metadata"].get("deletionTimestamp")))

    def told(namespace: object) -> bool:
        conditions = namespace["status"].get("conditions") or []  # type: ignore[index]
        return any(
            c["type"] == "NamespaceContentRemaining" and c["status"] == "True" for c in conditions
        )

    await space.wait(path, told)
    assert await other.get("configmaps/mine") is not None
    await other.patch("pods/held", {"metadata": {"finalizers": None}})
    await space.wait(path, lambda found: found is None)


RC = {"replicas": 2, "selector": {"a": "b"}, "template": template(a="b")}


async def owned(space: Space, count: int) -> list[str]:
    listing = "pods?labelSelector=a=b"
    await space.wait(listing, lambda found: len(found["items"]) == count)
    return await space.names(listing)


async def test_dependents_of_a_controller_are_collected(space: Space) -> None:
    await space.create("replicationcontrollers", "rc", spec=RC)
    await owned(space, 2)
    await space.delete("replicationcontrollers/rc")
    await owned(space, 0)


async def test_orphans_stay(space: Space) -> None:
    await space.create("replicationcontrollers", "rc", spec=RC)
    names = await owned(space, 2)
    await space.delete("replicationcontrollers/rc", "Orphan")
    await space.wait("replicationcontrollers/rc", lambda found: found is None)
    assert await owned(space, 2) == names
    for name in names:
        pod = await space.get(f"pods/{name}")
        assert not pod["metadata"].get("ownerReferences")


async def test_foreground_waits_for_dependents(space: Space) -> None:
    await space.create("replicationcontrollers", "rc", spec=RC)
    names = await owned(space, 2)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    await space.patch(f"pods/{names[0]}", hold)
    await space.delete("replicationcontrollers/rc", "Foreground")
    await space.wait(f"pods/{names[0]}", lambda pod: bool(pod["metadata"].get("deletionTimestamp")))
    owner = await space.get("replicationcontrollers/rc")
    assert owner["metadata"]["finalizers"] == ["foregroundDeletion"]
    await space.patch(f"pods/{names[0]}", {"metadata": {"finalizers": None}})
    await space.wait("replicationcontrollers/rc", lambda found: found is None)


async def test_a_second_valid_owner_keeps_a_dependent(space: Space) -> None:
    await space.create("replicationcontrollers", "rc", spec=RC)
    names = await owned(space, 2)
    other = RC | {"replicas": 0, "selector": {"c": "d"}, "template": template(c="d")}
    stays = await space.create("replicationcontrollers", "stays", spec=other)
    reference = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": "stays",
        "uid": stays["metadata"]["uid"],
    }
    owners = lambda pod: pod["metadata"]["ownerReferences"]  # noqa: E731
    await space.change(f"pods/{names[0]}", lambda pod: owners(pod).append(reference))
    await space.delete("replicationcontrollers/rc", "Foreground")
    await space.wait("replicationcontrollers/rc", lambda found: found is None)
    assert await owned(space, 1) == [names[0]]
    owners = (await space.get(f"pods/{names[0]}"))["metadata"]["ownerReferences"]
    assert [o["name"] for o in owners] == ["stays"]


async def test_a_circle_is_no_obstacle(space: Space) -> None:
    pods = [await space.create("pods", f"p{i}", spec=pod_spec()) for i in range(3)]
    for index, pod in enumerate(pods):
        owner = pods[(index + 1) % 3]["metadata"]
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner["name"],
            "uid": owner["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        await space.patch(
            f"pods/{pod['metadata']['name']}", {"metadata": {"ownerReferences": [reference]}}
        )
    await space.delete("pods/p0", "Foreground")
    for index in range(3):
        await space.wait(f"pods/p{index}", lambda found: found is None)


DEPLOYMENT = {
    "replicas": 2,
    "selector": {"matchLabels": {"a": "b"}},
    "template": template(a="b"),
}


@pytest.mark.parametrize(("policy", "left"), [("Background", 0), ("Orphan", 1)])
async def test_replica_sets_of_a_deployment(space: Space, policy: str, left: int) -> None:
    await space.create("apps/v1 deployments", "web", spec=DEPLOYMENT)
    await space.wait("apps/v1 replicasets", lambda found: len(found["items"]) == 1)
    await space.delete("apps/v1 deployments/web", policy)
    await space.wait("apps/v1 deployments/web", lambda found: found is None)
    await space.wait("apps/v1 replicasets", lambda found: len(found["items"]) == left)


async def test_the_root_certificate_is_in_every_namespace(space: Space) -> None:
    path = "configmaps/kube-root-ca.crt"
    first = await space.get(path)
    assert first["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE")
    await space.delete(path)
    await space.wait(path, lambda found: found and found["data"] == first["data"])
    await space.patch(path, {"data": {"ca.crt": ""}})
    await space.wait(path, lambda found: found["data"] == first["data"])


async def test_a_token_is_reviewed(space: Space) -> None:
    await space.create("serviceaccounts", "robot")
    asked = {"spec": {"audiences": None, "expirationSeconds": 600}}
    made = await space.ask("POST", "serviceaccounts/robot/token", asked)
    token = made["status"]["token"]
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    answer = await space.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["authenticated"] is True
    user = answer["status"]["user"]
    assert user["username"] == f"system:serviceaccount:{space.name}:robot"
    assert f"system:serviceaccounts:{space.name}" in user["groups"]


async def test_the_issuer_is_discovered(space: Space, api: Api) -> None:
    made = await space.ask("POST", "serviceaccounts/default/token", {"spec": {}})
    token = made["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    document = await space.ask("GET", "/.well-known/openid-configuration", token=token)
    assert document["issuer"] == claims["iss"]
    assert document["subject_types_supported"] == ["public"]
    keys = await space.ask("GET", "/openid/v1/jwks", token=token)
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["kid"] in {key["kid"] for key in keys["keys"]}


async def test_opting_out_of_the_token(space: Space) -> None:
    """The pod's word counts before its account's."""
    await space.create("serviceaccounts", "mounts")
    await space.create("serviceaccounts", "hides", automountServiceAccountToken=False)
    cases = [
        ("default", None, True),
        ("mounts", False, False),
        ("hides", None, False),
        ("hides", True, True),
    ]
    for index, (account, automount, mounted) in enumerate(cases):
        spec = pod_spec(serviceAccountName=account)
        if automount is not None:
            spec["automountServiceAccountToken"] = automount
        made = await space.create("pods", f"p{index}", spec=spec)
        mounts = made["spec"]["containers"][0].get("volumeMounts") or []
        paths = [m["mountPath"] for m in mounts]
        wanted = ["/var/run/secrets/kubernetes.io/serviceaccount"] if mounted else []
        assert paths == wanted, (account, automount)


async def test_a_secret_is_filled_with_a_lasting_token(space: Space) -> None:
    """As whoever needs a token for longer asks for it; it is gone with its account."""
    account = await space.create("serviceaccounts", "robot")
    annotations = {"kubernetes.io/service-account.name": "robot"}
    kind = "kubernetes.io/service-account-token"
    await space.create("secrets", "robot-token", metadata={"annotations": annotations}, type=kind)
    found = await space.wait("secrets/robot-token", lambda s: "token" in (s.get("data") or {}))
    data = {name: base64.b64decode(text).decode() for name, text in found["data"].items()}
    root = (await space.get("configmaps/kube-root-ca.crt"))["data"]["ca.crt"]
    assert (data["namespace"], data["ca.crt"]) == (space.name, root)
    uid = found["metadata"]["annotations"]["kubernetes.io/service-account.uid"]
    assert uid == account["metadata"]["uid"]
    answer = await space.api.call(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        token=data["token"],
    )
    user = answer.body["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{space.name}:robot"
    await space.delete("serviceaccounts/robot")
    await space.wait("secrets/robot-token", lambda secret: secret is None)
    refused = await space.api.call("GET", "/api/v1/namespaces", token=data["token"])
    assert refused.status == 401
