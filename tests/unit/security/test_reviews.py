"""Reviews: what they answer, and what they refuse, as the recorded genuine server does."""

from dataclasses import replace
from typing import Any

import jwt
import pytest

from sagong.api.call import Answer, Call, Options, Single, Verb
from sagong.api.errors import ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound
from sagong.api.meta import deep_copy
from sagong.api.resources import ResourceTable
from sagong.api.schema import Schemas
from sagong.api.types import Encoded, Obj, User
from sagong.core.ids import SeededIds
from sagong.server.authn.service_accounts import (
    ISSUER,
    ServiceAccountAuthenticator,
    TokenIssuer,
)
from sagong.server.authn.union import UnionAuthenticator
from sagong.server.authz.node import NodeAuthorizer
from sagong.server.authz.rbac import RbacAuthorizer
from sagong.server.authz.union import UnionAuthorizer
from sagong.server.bootstrap.reconcile import SERVER_USER, reconcile_bootstrap
from sagong.server.handlers import Context
from sagong.server.pki.authority import key_to_pem, new_key
from sagong.server.reviews.table import reviews

from .clocks import NOW, FixedClock
from .objects import Objects
from .test_bootstrap import PlainStorage

SCHEMAS = Schemas.load()
RESOURCES = ResourceTable()
ADMIN = User("admin", "1", ("system:masters", "system:authenticated"))
ALICE = User("alice", groups=("system:authenticated",))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
SECOND = "2027-01-15T08:00:00Z"  # FixedClock's now

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
REQUESTS = "certificatesigningrequests.certificates.k8s.io"


class Storing(PlainStorage):
    """Stores what ``modify`` makes."""

    async def modify(self, call: Call, user: User, change: Any, *, subresource: str) -> Answer:
        found = self.objects.get(call.resource.name, call.namespace or "", call.name)
        assert found is not None
        changed = self.objects.put(call.resource.name, change(deep_copy(found.obj)))
        return Single(Encoded(changed))


class World:
    def __init__(self) -> None:
        self.objects = Objects()
        clock, ids = FixedClock(), SeededIds(1)
        issuer = TokenIssuer(key_to_pem(new_key()), clock, ids)
        rbac = RbacAuthorizer(self.objects)
        tokens = ServiceAccountAuthenticator([issuer.public_key], self.objects, clock)
        self.context = Context(
            storage=Storing(self.objects),
            lister=self.objects,
            authenticator=UnionAuthenticator([], [tokens], api_audiences=[ISSUER]),
            authorizer=UnionAuthorizer([NodeAuthorizer(self.objects), rbac]),
            clock=clock,
            ids=ids,
        )
        self.handlers = reviews(
            schemas=SCHEMAS, resolver=rbac, issuer=issuer, api_audiences=[ISSUER]
        )
        self.objects.put(
            "serviceaccounts",
            {"metadata": {"name": "robot", "namespace": "one", "uid": "sa-uid"}},
        )

    async def post(self, resource: str, body: Obj, user: User = ADMIN, **fields: Any) -> Obj:
        found = RESOURCES.named(resource)
        assert found is not None
        call = Call(Verb.CREATE, found, body=body, user_agent="test/1", **fields)
        handler = self.handlers[resource, call.subresource]
        answer = await handler(call, user, self.context)
        assert isinstance(answer, Single)
        return answer.obj

    async def token(self, body: Obj, user: User = ADMIN, name: str = "robot") -> Obj:
        fields = {"namespace": "one", "name": name, "subresource": "token"}
        return await self.post("serviceaccounts", body, user, **fields)


@pytest.fixture
async def world() -> World:
    made = World()
    await reconcile_bootstrap(PlainStorage(made.objects), SERVER_USER, made.objects)
    return made


async def refused(posting: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await posting
    return caught.value


# Who


async def test_an_unknown_token(world: World) -> None:
    answer = await world.post(f"tokenreviews.{AUTHENTICATION}", {"spec": {"token": "nope"}})
    [entry] = answer["metadata"].pop("managedFields")
    assert entry["fieldsV1"] == {"f:spec": {"f:token": {}}}
    assert answer == {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": "nope"},
        "status": {"user": {}, "error": "invalid bearer token"},
    }


async def test_a_token_and_its_audiences(world: World) -> None:
    token = (await world.token({"spec": {"audiences": ["vault", ISSUER]}}))["status"]["token"]
    review = f"tokenreviews.{AUTHENTICATION}"
    status = (await world.post(review, {"spec": {"token": token}}))["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:one:robot"
    assert status["audiences"] == [ISSUER]
    asked = {"spec": {"token": token, "audiences": ["other"]}}
    status = (await world.post(review, asked))["status"]
    assert "authenticated" not in status
    assert "is invalid for the target audiences" in status["error"]
    error = await refused(world.post(review, {"spec": {}}))
    assert error.message == "token is required for TokenReview in authentication"


async def test_who_am_i(world: World) -> None:
    answer = await world.post(f"selfsubjectreviews.{AUTHENTICATION}", {})
    assert answer == {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "SelfSubjectReview",
        "metadata": {"creationTimestamp": SECOND},
        "status": {
            "userInfo": {
                "username": "admin",
                "uid": "1",
                "groups": ["system:masters", "system:authenticated"],
            }
        },
    }


# May


async def test_may_i(world: World) -> None:
    review = f"selfsubjectaccessreviews.{AUTHORIZATION}"
    discovery = {"spec": {"nonResourceAttributes": {"path": "/api", "verb": "get"}}}
    status = (await world.post(review, discovery, ALICE))["status"]
    assert status == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole'
        ' "system:discovery" to Group "system:authenticated"',
    }
    pods = {"spec": {"resourceAttributes": {"resource": "pods", "verb": "list"}}}
    assert (await world.post(review, pods, ALICE))["status"] == {"allowed": False}
    assert (await world.post(review, pods, ADMIN))["status"] == {"allowed": True}


async def test_may_they(world: World) -> None:
    review = f"subjectaccessreviews.{AUTHORIZATION}"
    pods = {"resource": "pods", "verb": "list", "namespace": "x"}
    spec = {"user": "jane", "groups": ["system:masters"], "resourceAttributes": pods}
    assert (await world.post(review, {"spec": spec}, ALICE))["status"]["allowed"] is True
    error = await refused(world.post(review, {"spec": {"resourceAttributes": pods}}))
    assert isinstance(error, Invalid)
    assert error.message == (
        '.authorization.k8s.io "" is invalid: spec.user: Invalid value: "":'
        " at least one of user or group must be specified"
    )


async def test_exactly_one_question(world: World) -> None:
    error = await refused(world.post(f"selfsubjectaccessreviews.{AUTHORIZATION}", {"spec": {}}))
    assert error.status() == {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": '.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value:'
        " null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        "details": {
            "group": "authorization.k8s.io",
            "causes": [
                {
                    "reason": "FieldValueInvalid",
                    "message": "Invalid value: null: exactly one of nonResourceAttributes or"
                    " resourceAttributes must be specified",
                    "field": "spec.resourceAttributes",
                }
            ],
        },
    }


async def test_local_questions_stay_local(world: World) -> None:
    review = f"localsubjectaccessreviews.{AUTHORIZATION}"
    elsewhere = {"resource": "pods", "verb": "list", "namespace": "two"}
    body = {"spec": {"user": "jane", "resourceAttributes": elsewhere}}
    error = await refused(world.post(review, body, namespace="one"))
    assert "must match metadata.namespace" in error.message


async def test_all_that_i_may_do(world: World) -> None:
    review = f"selfsubjectrulesreviews.{AUTHORIZATION}"
    status = (await world.post(review, {"spec": {"namespace": "one"}}, ALICE))["status"]
    assert status["incomplete"] is False
    assert {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    } in status["resourceRules"]
    assert any("/api" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    error = await refused(world.post(review, {"spec": {}}, ALICE))
    assert isinstance(error, BadRequest)


# Tokens


def pod(uid: str = "pod-uid", node: str = "n1", account: str = "robot") -> Obj:
    metadata = {"name": "p", "namespace": "one", "uid": uid}
    return {"metadata": metadata, "spec": {"nodeName": node, "serviceAccountName": account}}


BOUND = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pod-uid"}


async def test_a_token_for_an_hour(world: World) -> None:
    answer = await world.token({})
    assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}
    assert answer["metadata"] == {
        "name": "robot",
        "namespace": "one",
        "creationTimestamp": SECOND,
    }
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:00Z"
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] == NOW + 3600


async def test_a_mounted_token_outlives_its_hour(world: World) -> None:
    world.objects.put("pods", pod())
    world.objects.put("nodes", {"metadata": {"name": "n1", "uid": "node-uid"}})
    body = {"spec": {"expirationSeconds": 3607, "boundObjectRef": BOUND}}
    answer = await world.token(body, NODE)
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:07Z"
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] == NOW + 365 * 24 * 3600
    ours = claims["kubernetes.io"]
    assert ours["warnafter"] == NOW + 3607
    assert ours["node"] == {"name": "n1", "uid": "node-uid"}


@pytest.mark.parametrize(
    ("body", "name", "kind", "why"),
    [
        ({}, "ghost", NotFound, 'serviceaccounts "ghost" not found'),
        ({"spec": {"expirationSeconds": 5}}, "robot", Invalid, "less than 10 minutes"),
        ({"metadata": {"name": "x"}}, "robot", Invalid, "must match the service account name"),
        ({"spec": {"boundObjectRef": BOUND | {"name": "x"}}}, "robot", NotFound, 'pods "x"'),
        ({"spec": {"boundObjectRef": BOUND | {"uid": "x"}}}, "robot", Conflict, "does not match"),
        ({"spec": {"boundObjectRef": BOUND | {"kind": "Job"}}}, "robot", BadRequest, "of type v1"),
    ],
)
async def test_tokens_are_refused(
    world: World, body: Obj, name: str, kind: type[ApiError], why: str
) -> None:
    world.objects.put("pods", pod())
    error = await refused(world.token(body, ADMIN, name))
    assert isinstance(error, kind)
    assert why in error.message


async def test_no_token_for_a_pod_of_another_account_or_node(world: World) -> None:
    world.objects.put("pods", pod(account="other"))
    bound = {"spec": {"boundObjectRef": BOUND}}
    assert "different serviceaccount name" in (await refused(world.token(bound))).message
    world.objects.put("pods", pod(node="n2"))
    error = await refused(world.token(bound, NODE))
    assert isinstance(error, Forbidden)
    assert error.message == (
        'serviceaccounts "robot" is forbidden: node requested token bound to a pod scheduled'
        " on a different node"
    )


# Approval


def request(*conditions: Obj) -> Obj:
    status = {"conditions": list(conditions)} if conditions else {}
    return {"metadata": {"name": "r", "uid": "u"}, "spec": {"signerName": "s"}, "status": status}


def said(type_: str, **fields: str) -> Obj:
    return {"type": type_, "status": "True", **fields}


async def approve(world: World, *conditions: Obj, verb: Verb = Verb.UPDATE) -> Obj:
    found = RESOURCES.named(REQUESTS)
    assert found is not None
    call = Call(verb, found, name="r", subresource="approval", body=request(*conditions))
    handler = world.handlers[REQUESTS, "approval"]
    answer = await handler(replace(call, options=Options()), ADMIN, world.context)
    assert isinstance(answer, Single)
    return answer.obj


async def test_approval_is_timed_and_final(world: World) -> None:
    world.objects.put(REQUESTS, request())
    answer = await approve(world, said("Approved", reason="ok"))
    [condition] = answer["status"]["conditions"]
    assert condition == {
        "type": "Approved",
        "status": "True",
        "reason": "ok",
        "lastUpdateTime": SECOND,
        "lastTransitionTime": SECOND,
    }
    again = await approve(world, condition)
    assert again["status"]["conditions"] == [condition]
    for changed in ((), (condition, said("Denied")), (said("Approved", reason="other"),)):
        error = await refused(approve(world, *changed))
        assert isinstance(error, Invalid)


async def test_failure_is_not_for_approvers(world: World) -> None:
    world.objects.put(REQUESTS, request())
    await refused(approve(world, said("Failed")))
    await refused(approve(world, {"type": "Denied", "status": "False"}))
