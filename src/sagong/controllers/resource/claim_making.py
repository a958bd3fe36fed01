"""Make the ResourceClaims that pods want made from templates, and tell the pods their names.

Reads: Pod, ResourceClaim, ResourceClaimTemplate.
Writes: ResourceClaim (create, reservedFor), Pod.status.resourceClaimStatuses.
Invariant: one claim for each pod and entry. What was made and not yet told of is found again by its
owner and its annotation, so no crash makes a second one.

Semantics: upstream's ``pkg/controller/resourceclaim`` (``syncPod``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.errors import ApiError
from sagong.api.meta import (
    annotations_of,
    controller_of,
    controller_uid,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.controllers.resource.claims import (
    CLAIMS,
    POD_CLAIM,
    TEMPLATES,
    can_reserve,
    is_reserved_for,
    told_names,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

_GENERATED_NAME_CHARS_MAX = 63 - 6  # room for a hyphen and five drawn characters


def _pods_of_template(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Pods that waited for a template that is there now."""
    if new is None or old is not None:
        return []
    return [
        key_of(pod)
        for pod in cache.list("pods", namespace_of(new))
        if any(
            entry.get("resourceClaimTemplateName") == name_of(new)
            for entry in pod["spec"].get("resourceClaims") or ()
        )
    ]


def _pods_of_claim(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """The pod that a claim was made for; of one that was allocated just now, all that use it."""
    found = new or old
    if found is None:
        return []
    owner = controller_of(found)
    keys = [Key(namespace_of(found), owner["name"])] if owner is not None else []
    was = old is not None and (old.get("status") or {}).get("allocation")
    if new is not None and (new.get("status") or {}).get("allocation") and not was:
        pods = cache.list("pods", namespace_of(new))
        keys += [key_of(pod) for pod in pods if name_of(new) in told_names(pod).values()]
    return keys


CONTROLLER = Controller(
    name="resource-claim",
    reconciles="pods",
    watches=(Watch(CLAIMS, _pods_of_claim), Watch(TEMPLATES, _pods_of_template)),
    workers=10,
    component="resource_claim",
    concerns=lambda pod, _: bool(pod["spec"].get("resourceClaims")),
)


@dataclass(frozen=True, slots=True)
class Seen:
    pod: Obj
    # By entry of the pod, the claim that was made for it.
    made: Mapping[str, Obj]
    templates: Mapping[str, Obj]
    claims: Mapping[str, Obj]  # that the pod uses, by name


@dataclass(frozen=True, slots=True)
class Plan:
    create: Mapping[str, Obj]  # claims by entry
    found: Mapping[str, str]  # names of claims by entry, not yet told
    reserve: Sequence[Obj]
    # By entry, why no claim can be made.
    problems: Mapping[str, str]


def observe(key: Key, cache: Cache) -> Seen | None:
    pod = cache.get("pods", key.namespace, key.name)
    if pod is None or is_deleting(pod) or not pod["spec"].get("resourceClaims"):
        return None
    made = {}
    for claim in cache.owned_by(CLAIMS, uid_of(pod)):
        if entry := annotations_of(claim).get(POD_CLAIM):
            made[entry] = claim
    templates, claims = {}, {}
    for entry in pod["spec"]["resourceClaims"]:
        name = entry.get("resourceClaimTemplateName")
        if name and (template := cache.get(TEMPLATES, key.namespace, name)) is not None:
            templates[name] = template
    for name in told_names(pod).values():
        if name and (used := cache.get(CLAIMS, key.namespace, name)) is not None:
            claims[name] = used
    return Seen(pod, made, templates, claims)


def plan(seen: Seen) -> Plan:
    """What to make, to tell and to reserve."""
    pod, told = seen.pod, told_names(seen.pod)
    create, found, problems, reserve = {}, {}, {}, []
    for entry in pod["spec"]["resourceClaims"]:
        name, template = entry["name"], entry.get("resourceClaimTemplateName")
        claim = seen.claims.get(told.get(name) or "")
        if claim is not None:
            ours = not template or controller_uid(claim) == uid_of(pod)
            bound = bool(pod["spec"].get("nodeName"))
            if ours and bound and can_reserve(claim) and not is_reserved_for(claim, pod):
                reserve.append(claim)
            continue
        # An empty name was told: the scheduler may do without that claim.
        if not template or told.get(name) == "":
            continue
        if name in seen.made:
            found[name] = name_of(seen.made[name])
        elif template in seen.templates:
            create[name] = new_claim(pod, name, seen.templates[template])
        else:
            missing = f'resourceclaimtemplate.resource.k8s.io "{template}" not found'
            problems[name] = f'resource claim template "{template}": {missing}'
    return Plan(create, found, reserve, problems)


def new_claim(pod: Obj, entry: str, template: Obj) -> Obj:
    """The claim of one entry of the pod."""
    spec = template["spec"]
    given = spec.get("metadata") or {}
    metadata: Obj = {
        "generateName": _base_name(name_of(pod), entry),
        "namespace": namespace_of(pod),
        "annotations": {**(given.get("annotations") or {}), POD_CLAIM: entry},
        "ownerReferences": [owner_reference(pod)],
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": spec["spec"],
    }


def _base_name(pod: str, entry: str) -> str:
    """``<pod>-<entry>-``; of what is too long both parts keep their beginnings."""
    excess = len(pod) + len(entry) + 2 - _GENERATED_NAME_CHARS_MAX
    if excess > 0:
        half = (_GENERATED_NAME_CHARS_MAX - 2) // 2
        entry = entry[: max(half, _GENERATED_NAME_CHARS_MAX - 2 - len(pod))]
        pod = pod[: _GENERATED_NAME_CHARS_MAX - 2 - len(entry)]
    return f"{pod}-{entry}-"


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    decided = plan(seen)
    for entry, problem in decided.problems.items():
        _tell(env, seen.pod, entry, problem)
    names = dict(decided.found)
    try:
        for entry, claim in decided.create.items():
            names[entry] = await _create(env, seen.pod, entry, claim)
    finally:
        if names:
            await _tell_names(env, seen.pod, names)
    for claim in decided.reserve:
        await _reserve(env, seen.pod, claim)
    return DONE


def _tell(env: Env, pod: Obj, entry: str, problem: str) -> None:
    text = f"PodResourceClaim {entry}: {problem}"
    env.events.emit(pod, "Warning", "FailedResourceClaimCreation", text)


async def _create(env: Env, pod: Obj, entry: str, claim: Obj) -> str:
    try:
        return name_of(await env.client.create(CLAIMS, claim))
    except ApiError as error:
        _tell(env, pod, entry, error.message)
        raise


async def _tell_names(env: Env, pod: Obj, names: Mapping[str, str]) -> None:
    status = pod.get("status") or {}
    kept = [s for s in status.get("resourceClaimStatuses") or () if s["name"] not in names]
    told = [*kept, *({"name": n, "resourceClaimName": c} for n, c in names.items())]
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"resourceClaimStatuses": told}}
    await env.client.patch(
        "pods", name_of(pod), patch, namespace=namespace_of(pod), subresource="status"
    )


async def _reserve(env: Env, pod: Obj, claim: Obj) -> None:
    """The pod came past the scheduler: nobody else reserves its claims."""
    consumer = {"resource": "pods", "name": name_of(pod), "uid": uid_of(pod)}
    status = claim["status"]
    users = [*(status.get("reservedFor") or ()), consumer]
    await env.client.update(
        CLAIMS, claim | {"status": status | {"reservedFor": users}}, subresource="status"
    )
