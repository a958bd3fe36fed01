"""Storing the default objects at every start: what is missing is made, what was cut is put back.

An administrator's additions stay; an object whose autoupdate annotation says "false" is left as it
is. ``plan_object`` is pure. Source of semantics: upstream's ``rbac`` REST storage hooks with
``component-helpers/auth/rbac/reconciliation``, and ``flowcontrol/ensurer``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.call import Call, Verb
from sagong.api.errors import AlreadyExists, Conflict
from sagong.api.meta import annotations_of, deep_copy, name_of, namespace_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.core.tasks import task_group
from sagong.server.admission.interface import Lister
from sagong.server.authz.rules import uncovered
from sagong.server.bootstrap.objects import (
    AUTOUPDATE,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    FLOW_AUTOUPDATE,
    FLOW_SCHEMA,
    PRIORITY_LEVEL,
    ROLE,
    ROLE_BINDING,
    ResourceName,
    namespaces,
    policies,
)
from sagong.server.bootstrap.policy.flow_control import MANDATORY
from sagong.server.handlers import Storage

# As whom the server writes for itself: upstream's loopback identity.
SERVER_USER = User("system:apiserver", groups=("system:masters", "system:authenticated"))
_USER_AGENT = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Step:
    """One write: create, update or (before a create) delete."""

    verb: Verb
    resource: ResourceName
    obj: Obj


async def reconcile_bootstrap(storage: Storage, user: User, lister: Lister) -> None:
    """Store every default object that is missing or lacks something. Idempotent, safe to race.

    ``user`` needs every right (SERVER_USER). Namespaces first, the rest all at once, so that
    stores that group their commits need only a few.
    """
    resources = ResourceTable()
    for wanted in (list(namespaces()), list(policies())):
        async with task_group() as tasks:
            running = [
                tasks.start(
                    _apply(storage, user, resources, plan_object(resource, obj, existing)),
                    name=f"bootstrap {resource} {name_of(obj)}",
                )
                for resource, obj in wanted
                for existing in [_existing(lister, resource, obj)]
            ]
            for task in running:
                await task


def _existing(lister: Lister, resource: ResourceName, obj: Obj) -> Obj | None:
    found = lister.get(resource, namespace_of(obj), name_of(obj))
    return found.obj if found else None


async def _apply(
    storage: Storage, user: User, resources: ResourceTable, steps: Iterable[Step]
) -> None:
    for step in steps:
        resource = resources.named(step.resource)
        assert resource is not None
        call = Call(
            step.verb,
            resource,
            namespace=namespace_of(step.obj) or None,
            name="" if step.verb is Verb.CREATE else name_of(step.obj),
            body=None if step.verb is Verb.DELETE else step.obj,
            user_agent=_USER_AGENT,
        )
        try:
            await storage.execute(call, user)
        except (AlreadyExists, Conflict):
            # Another server of the same cluster was faster, with the same intent.
            return


def plan_object(resource: ResourceName, wanted: Obj, existing: Obj | None) -> list[Step]:
    """The writes that bring an existing object to what it must at least be."""
    if existing is None:
        return [Step(Verb.CREATE, resource, wanted)]
    if resource in (CLUSTER_ROLE, ROLE):
        merged = _merge_role(wanted, existing)
    elif resource in (CLUSTER_ROLE_BINDING, ROLE_BINDING):
        if _is_protected(existing):
            return []
        if existing["roleRef"] != wanted["roleRef"]:
            return [Step(Verb.DELETE, resource, existing), Step(Verb.CREATE, resource, wanted)]
        merged = _merge_binding(wanted, existing)
    elif resource in (FLOW_SCHEMA, PRIORITY_LEVEL):
        merged = _merge_flow(wanted, existing)
    else:
        return []
    return [] if merged == existing else [Step(Verb.UPDATE, resource, merged)]


def _is_protected(existing: Obj) -> bool:
    return annotations_of(existing).get(AUTOUPDATE) == "false"


def _merge_role(wanted: Obj, existing: Obj) -> Obj:
    if _is_protected(existing):
        return existing
    merged: Obj = deep_copy(existing)
    _merge_metadata(wanted, merged)
    if "aggregationRule" in wanted:
        # The rules of an aggregated role are the aggregation controller's.
        selectors = merged.setdefault("aggregationRule", {}).setdefault("clusterRoleSelectors", [])
        for selector in wanted["aggregationRule"]["clusterRoleSelectors"]:
            if selector not in selectors:
                selectors.append(selector)
        return merged
    missing = uncovered(existing.get("rules") or [], wanted["rules"])
    if missing:
        merged["rules"] = [*(existing.get("rules") or []), *missing]
    return merged


def _merge_binding(wanted: Obj, existing: Obj) -> Obj:
    merged: Obj = deep_copy(existing)
    _merge_metadata(wanted, merged)
    subjects = merged.get("subjects") or []
    missing = [s for s in wanted.get("subjects") or () if s not in subjects]
    if missing:
        merged["subjects"] = [*subjects, *missing]
    return merged


def _merge_flow(wanted: Obj, existing: Obj) -> Obj:
    """The whole spec is kept, unless the administrator has taken it over."""
    is_ours = annotations_of(existing).get(FLOW_AUTOUPDATE) != "false"
    if not is_ours and name_of(existing) not in MANDATORY:
        return existing
    merged: Obj = deep_copy(existing)
    merged["spec"] = wanted["spec"]
    return merged


def _merge_metadata(wanted: Obj, merged: Obj) -> None:
    """Labels and annotations that are missing are added; what is there wins."""
    for part in ("labels", "annotations"):
        values = wanted["metadata"].get(part)
        if values:
            merged["metadata"][part] = values | (merged["metadata"].get(part) or {})
