"""APIService objects of the groups that this server serves itself, as kube-aggregator keeps them.

Clients list them to learn who serves what; nothing in this server reads them.
"""

from collections.abc import Iterable, Mapping

from sagong.api import errors
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj
from sagong.client.client import Client

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
API_SERVICES = "apiservices.apiregistration.k8s.io"
_OWN_GROUP = "apiregistration.k8s.io"  # the aggregator's own, of which there is no object
# Priorities of groups defined by custom resource definitions.
CUSTOM_GROUP_PRIORITY = 1000
CUSTOM_VERSION_PRIORITY = 100

# Group priority of the built-in groups (kube-apiserver's apiVersionPriorities).
_GROUP_PRIORITIES: Mapping[str, int] = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
_VERSION_PRIORITIES: Mapping[tuple[str, str], int] = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
_VERSION_PRIORITY = 15


def plan_api_services(table: ResourceTable) -> dict[str, Obj]:
    """Every APIService that there should be, by name."""
    found = {}
    for group, version, custom in sorted({(r.group, r.version, r.custom) for r in table}):
        if group != _OWN_GROUP:
            obj = api_service(group, version, custom=custom)
            found[obj["metadata"]["name"]] = obj
    return found


def api_service(group: str, version: str, *, custom: bool) -> Obj:
    """A locally served group and version."""
    if custom:
        priorities = CUSTOM_GROUP_PRIORITY, CUSTOM_VERSION_PRIORITY
    else:
        priority = _VERSION_PRIORITIES.get((group, version), _VERSION_PRIORITY)
        priorities = _GROUP_PRIORITIES.get(group, CUSTOM_GROUP_PRIORITY), priority
    spec: Obj = {
        "version": version,
        "groupPriorityMinimum": priorities[0],
        "versionPriority": priorities[1],
    }
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {
            "name": f"{version}.{group}",
            "labels": {AUTOMANAGED: "true" if custom else "onstart"},
        },
        "spec": spec,
    }


async def ensure_api_services(client: Client) -> None:
    """Create what is missing, remove those of our own that nothing is served for. Idempotent."""
    wanted = plan_api_services(client.resources)
    listing = await client.list(API_SERVICES)
    there = {item.obj["metadata"]["name"]: item.obj for item in listing.items}
    for name, obj in wanted.items():
        if name not in there:
            await _create(client, obj)
    for name in _stale(wanted, there.values()):
        try:
            await client.delete(API_SERVICES, name)
        except errors.NotFound:
            continue  # another server was faster


def _stale(wanted: Mapping[str, Obj], there: Iterable[Obj]) -> list[str]:
    return [
        obj["metadata"]["name"]
        for obj in there
        if AUTOMANAGED in (obj["metadata"].get("labels") or {})
        and obj["metadata"]["name"] not in wanted
    ]


async def _create(client: Client, obj: Obj) -> None:
    try:
        await client.create(API_SERVICES, obj)
    except errors.AlreadyExists:
        return  # another server was faster
