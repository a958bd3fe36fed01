"""The default policy: exactly the genuine one, made once, healed, and left alone when asked to."""

from typing import Any

from sagong.api.call import Answer, Call, Single, Verb
from sagong.api.meta import deep_copy, name_of
from sagong.api.types import Encoded, Obj, User
from sagong.server.authz.interface import Attributes, Effect
from sagong.server.authz.rbac import RbacAuthorizer
from sagong.server.bootstrap.objects import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    FLOW_SCHEMA,
    PRIORITY_LEVEL,
    cluster_roles,
    namespaces,
    policies,
)
from sagong.server.bootstrap.reconcile import SERVER_USER, plan_object, reconcile_bootstrap

from .objects import Objects


class PlainStorage:
    """Stores what it is given, as the registry does after admission."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.calls: list[Call] = []

    async def execute(self, call: Call, user: User) -> Answer:
        self.calls.append(call)
        if call.verb is Verb.DELETE:
            self.objects.remove(call.resource.name, call.namespace or "", call.name)
            return Single(Encoded({}))
        obj: Obj = deep_copy(call.body)
        self.objects.put(call.resource.name, obj)
        return Single(Encoded(obj))

    async def modify(self, *args: Any, **kwargs: Any) -> Answer:
        raise NotImplementedError


async def test_a_second_start_writes_nothing() -> None:
    objects = Objects()
    first = PlainStorage(objects)
    await reconcile_bootstrap(first, SERVER_USER, objects)
    made = [*namespaces(), *policies()]
    assert len(first.calls) == len(made)
    assert {call.verb for call in first.calls} == {Verb.CREATE}
    second = PlainStorage(objects)
    await reconcile_bootstrap(second, SERVER_USER, objects)
    assert second.calls == []


async def test_components_may_do_their_work_and_no_more() -> None:
    objects = Objects()
    await reconcile_bootstrap(PlainStorage(objects), SERVER_USER, objects)
    rbac = RbacAuthorizer(objects)

    async def may(name: str, verb: str, resource: str, *groups: str, **fields: str) -> bool:
        user = User(name, groups=groups)
        decision = await rbac.authorize(Attributes(user, verb, resource=resource, **fields))
        return decision.effect is Effect.ALLOW

    controller = "system:serviceaccount:kube-system:replicaset-controller"
    assert await may(controller, "create", "pods", namespace="x")
    assert not await may(controller, "delete", "nodes")
    assert await may("system:kube-scheduler", "create", "pods", subresource="binding")
    assert not await may("system:kube-scheduler", "get", "secrets", namespace="x")
    assert not await may("system:node:n", "get", "secrets", "system:nodes", namespace="x")
    who = User("anybody", groups=("system:authenticated",))
    discovery = Attributes(who, "get", path="/apis/apps/v1", is_resource=False)
    assert (await rbac.authorize(discovery)).effect is Effect.ALLOW


def existing(resource: str, name: str) -> Obj:
    return deep_copy(next(o for r, o in policies() if r == resource and name_of(o) == name))


def test_what_was_cut_is_put_back_and_what_was_added_stays() -> None:
    wanted = existing(CLUSTER_ROLE, "system:kube-dns")
    changed = deep_copy(wanted)
    changed["metadata"]["labels"] = {"mine": "yes"}
    changed["rules"] = [{"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]}]
    [step] = plan_object(CLUSTER_ROLE, wanted, changed)
    assert step.verb is Verb.UPDATE
    assert step.obj["metadata"]["labels"]["mine"] == "yes"
    assert step.obj["metadata"]["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
    assert plan_object(CLUSTER_ROLE, wanted, step.obj) == []

    changed["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"
    assert plan_object(CLUSTER_ROLE, wanted, changed) == []


def test_a_binding_to_another_role_is_made_anew() -> None:
    wanted = existing(CLUSTER_ROLE_BINDING, "system:discovery")
    changed = deep_copy(wanted)
    changed["roleRef"]["name"] = "cluster-admin"
    assert [s.verb for s in plan_object(CLUSTER_ROLE_BINDING, wanted, changed)] == [
        Verb.DELETE,
        Verb.CREATE,
    ]
    changed = deep_copy(wanted) | {"subjects": [{"kind": "User", "name": "extra"}]}
    [step] = plan_object(CLUSTER_ROLE_BINDING, wanted, changed)
    assert [s["name"] for s in step.obj["subjects"]] == ["extra", "system:authenticated"]


def test_fairness_taken_over_by_an_administrator_stays() -> None:
    annotation = "apf.kubernetes.io/autoupdate-spec"
    for resource, name, stays in (
        (FLOW_SCHEMA, "service-accounts", True),
        (PRIORITY_LEVEL, "catch-all", False),
    ):
        wanted = existing(resource, name)
        changed = deep_copy(wanted)
        changed["spec"] = {"mine": True}
        assert len(plan_object(resource, wanted, changed)) == 1
        changed["metadata"]["annotations"][annotation] = "false"
        assert (plan_object(resource, wanted, changed) == []) is stays


def test_aggregated_roles_hold_the_rules_of_their_parts() -> None:
    roles = {name_of(role): role for role in cluster_roles()}
    for rule in roles["view"]["rules"]:
        assert rule in roles["edit"]["rules"]
    for rule in roles["edit"]["rules"]:
        assert rule in roles["admin"]["rules"]
