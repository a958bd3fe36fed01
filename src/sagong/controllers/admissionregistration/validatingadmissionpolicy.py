"""Say of each ValidatingAdmissionPolicy what the types of the kinds that it is about say of it.

Reads: ValidatingAdmissionPolicy, CustomResourceDefinition.  Writes: its status.
Invariant: the status speaks of the generation that it names.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagong.api.meta import deep_copy
from sagong.api.schema import Schemas
from sagong.api.types import Key, Obj, Resource
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, reads

if TYPE_CHECKING:
    from sagong.api.cel.types import Type

RESOURCE = "validatingadmissionpolicies.admissionregistration.k8s.io"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"

CONTROLLER = Controller(
    name="validatingadmissionpolicy-status",
    reconciles=RESOURCE,
    watches=(reads(DEFINITIONS),),
)


@dataclass(frozen=True, slots=True)
class Seen:
    policy: Obj
    generation: int
    observed: int


def observe(key: Key, cache: Cache) -> Seen | None:
    policy = cache.get(RESOURCE, "", key.name)
    if policy is None:
        return None
    observed = (policy.get("status") or {}).get("observedGeneration") or 0
    return Seen(policy, int(policy["metadata"].get("generation") or 0), int(observed))


def plan(seen: Seen) -> bool:
    """Is there a generation that the status does not speak of?"""
    return seen.generation > seen.observed


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None or not plan(seen):
        return DONE
    changed = deep_copy(seen.policy)
    status = changed["status"] = dict(changed.get("status") or {})
    status["observedGeneration"] = seen.generation
    warnings = _warnings(seen.policy, env)
    status["typeChecking"] = {"expressionWarnings": warnings} if warnings else {}
    await env.client.update(RESOURCE, changed, subresource="status")
    return DONE


def _warnings(policy: Obj, env: Env) -> list[Obj]:
    # Imported here: a cluster without policies does without CEL.
    from sagong.api.cel.node_types import type_of_node
    from sagong.controllers.admissionregistration.policy_checking import check_policy, warnings_of

    # Loaded for this one policy: they are written rarely, and the definitions are large.
    schemas = Schemas.load()

    def type_of(resource: Resource) -> "Type | None":
        if resource.custom:
            return _custom_type(resource, env.cache)
        node = schemas.of(resource.group, resource.version, resource.kind)
        return None if node is None else type_of_node(node, resource.kind)

    return warnings_of(check_policy(policy, env.client.resources, type_of))


def _custom_type(resource: Resource, cache: Cache) -> "Type | None":
    from sagong.api.cel.schema_types import type_of_schema

    crd = cache.get(DEFINITIONS, "", resource.name)
    for version in (crd or {"spec": {}})["spec"].get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if version.get("name") == resource.version and schema:
            return type_of_schema(schema, resource.kind, is_root=True)
    return None
