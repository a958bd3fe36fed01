"""Discovery documents: groups, versions and resources, plain and aggregated.

Order follows upstream's group priorities, by which clients prefer one group over another.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource, Subresource

# Group order of a 1.36 server (kube-aggregator's priorities); others follow in name order.
GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
_RANK = {group: rank for rank, group in enumerate(GROUP_ORDER)}


Groups = Sequence[tuple[str, Sequence[str]]]
# Resources of a group and version that an extension serves; None if they are not known.
Remote = Mapping[tuple[str, str], Sequence[Obj] | None]


def groups_of(table: ResourceTable) -> list[tuple[str, list[str]]]:
    """Groups in order, each with its versions, the preferred first."""
    found: dict[str, set[str]] = {}
    for resource in table:
        found.setdefault(resource.group, set()).add(resource.version)
    ordered = sorted(found, key=lambda group: (_RANK.get(group, len(_RANK)), group))
    return [(group, sorted(found[group], key=version_rank)) for group in ordered]


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sorts v2 before v1 before v1beta2 before v1alpha1, then anything else by name."""
    number, stage, rest = _split_version(version)
    if number is None:
        return (3, 0, 0, version)
    return ({"": 0, "beta": 1, "alpha": 2}[stage], -number, -rest, version)


def _split_version(version: str) -> tuple[int | None, str, int]:
    for stage in ("alpha", "beta"):
        major, found, minor = version.removeprefix("v").partition(stage)
        if found and major.isdigit() and minor.isdigit():
            return int(major), stage, int(minor)
    text = version.removeprefix("v")
    if version.startswith("v") and text.isdigit():
        return int(text), "", 0
    return None, "", 0


def api_versions(address: str) -> Obj:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(groups: Groups) -> Obj:
    """``/apis``."""
    shown = [_group(group, versions) for group, versions in groups if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": shown}


def group(groups: Groups, name: str) -> Obj | None:
    """``/apis/<group>``; None if there is none."""
    versions = next((v for g, v in groups if g == name and g), None)
    if versions is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: Sequence[str]) -> Obj:
    shown = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}


def resource_list(table: ResourceTable, group: str, version: str) -> Obj | None:
    """``/api/v1`` or ``/apis/<group>/<version>``; None if there is none."""
    found = _sorted(r for r in table if (r.group, r.version) == (group, version))
    if not found:
        return None
    resources = [entry for resource in found for entry in _entries(resource)]
    document: Obj = {"kind": "APIResourceList", "apiVersion": "v1"}
    if not group:
        del document["apiVersion"]
    document["groupVersion"] = f"{group}/{version}" if group else version
    document["resources"] = resources
    return document


def _sorted(resources: Iterable[Resource]) -> list[Resource]:
    return sorted(resources, key=lambda resource: resource.plural)


def _entries(resource: Resource) -> list[Obj]:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        entry["storageVersionHash"] = _storage_hash(resource)
    return [entry, *(_sub_entry(resource, sub) for sub in resource.discovered)]


def _storage_hash(resource: Resource) -> str:
    text = f"{resource.group}/{resource.version}/{resource.kind}".encode()
    return _base64_head(hashlib.sha256(text).digest())


def _base64_head(digest: bytes) -> str:
    return base64.b64encode(digest[:8]).decode()


def _sub_entry(resource: Resource, sub: Subresource) -> Obj:
    entry: Obj = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if sub.group is not None:
        entry["group"] = sub.group
        entry["version"] = sub.version
    entry["kind"] = sub.kind
    entry["verbs"] = list(sub.verbs)
    return entry


def aggregated(
    table: ResourceTable,
    groups: Groups,
    remote: Remote,
    stale: Collection[tuple[str, str]],
    *,
    core: bool,
) -> Obj:
    """``/api`` or ``/apis`` as apidiscovery.k8s.io/v2 APIGroupDiscoveryList."""
    items = [
        _aggregated_group(table, group, versions, remote, stale)
        for group, versions in groups
        if (group == "") == core
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_group(
    table: ResourceTable,
    group: str,
    versions: Sequence[str],
    remote: Remote,
    stale: Collection[tuple[str, str]],
) -> Obj:
    shown = []
    for version in versions:
        if (group, version) in remote:
            shown.append(
                _remote_version(version, remote[group, version], (group, version) in stale)
            )
            continue
        found = _sorted(r for r in table if (r.group, r.version) == (group, version))
        resources = [_aggregated_resource(resource) for resource in found]
        shown.append({"version": version, "resources": resources, "freshness": "Current"})
    metadata: Obj = {"name": group} if group else {}
    return {"metadata": {**metadata, "creationTimestamp": None}, "versions": shown}


def _remote_version(version: str, resources: Sequence[Obj] | None, is_stale: bool) -> Obj:
    found: Obj = {"version": version}
    if resources:
        found["resources"] = list(resources)
    return {**found, "freshness": "Stale" if is_stale else "Current"}


def _aggregated_resource(resource: Resource) -> Obj:
    entry: Obj = {
        "resource": resource.plural,
        "responseKind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.discovered:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": resource.group if sub.group is None else sub.group,
                    "version": sub.version or resource.version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.discovered
        ]
    return entry
