"""Roll a workload out anew when a ConfigMap or Secret that its pods use has changed.

Reads: Deployment, StatefulSet, DaemonSet, ConfigMap, Secret.
Writes: the workloads' annotation and their templates' (both hold a hash of the configuration).
Invariant: the first time that the hash is taken nothing is rolled out; afterwards a template
changes only if the data did.

Our own, for workloads that ask for it with an annotation (docs/rollouts.md).
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from sagong.api.meta import annotations_of, is_deleting, key_of, namespace_of
from sagong.api.pod_references import references
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

FOLLOWS = "sagong.dev/rollout-on-config-change"  # "true": asked for
HASH = "sagong.dev/config-hash"
CONFIGURATIONS = ("configmaps", "secrets")
WORKLOADS = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")


def _controller(resource: str) -> Controller:
    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
        """The workloads that use a configuration whose data has changed."""
        changed = new or old
        if changed is None or (
            old is not None and new is not None and data_of(old) == data_of(new)
        ):
            return []
        followers = cache.with_index(resource, "follows-configuration", namespace_of(changed))
        name = str(changed["metadata"]["name"])
        return [key_of(w) for w in followers if any(n == name for _, n in uses(w))]

    def index(workload: Obj) -> Iterable[str]:
        return (namespace_of(workload),) if _asks(workload) else ()

    watches = [Watch(configuration, wakes) for configuration in CONFIGURATIONS]
    return Controller(
        name=f"config-rollout-{resource.partition('.')[0]}",
        reconciles=resource,
        watches=(Watch(resource, indexes={"follows-configuration": index}), *watches),
        component="config-rollout-controller",
    )


def _asks(workload: Obj) -> bool:
    return annotations_of(workload).get(FOLLOWS) == "true"


def uses(workload: Obj) -> list[tuple[str, str]]:
    """(resource, name) of every ConfigMap and Secret that the workload's pods name."""
    pod = {"metadata": {"name": ""}, "spec": workload["spec"]["template"]["spec"]}
    return sorted({r for r in references(pod) if r[0] in CONFIGURATIONS and r[1]})


def data_of(configuration: Obj) -> Mapping[str, object]:
    fields = ("data", "binaryData")
    return {name: configuration[name] for name in fields if configuration.get(name)}


def _same_data(old: Obj | None, new: Obj | None) -> bool:
    return old is not None and new is not None and data_of(old) == data_of(new)


@dataclass(frozen=True, slots=True)
class Seen:
    workload: Obj
    # By resource and name; None: it is not there.
    data: Mapping[tuple[str, str], Mapping[str, object] | None]


def observe(resource: str, key: Key, cache: Cache) -> Seen | None:
    workload = cache.get(resource, key.namespace, key.name)
    if workload is None or is_deleting(workload) or not _asks(workload):
        return None
    data = {}
    for configuration, name in uses(workload):
        found = cache.get(configuration, key.namespace, name)
        data[configuration, name] = None if found is None else data_of(found)
    return Seen(workload, data)


def hash_of(seen: Seen) -> str:
    """A digest, from which nobody learns what a Secret holds: there is far more than to guess."""
    rows = [[*name, data] for name, data in sorted(seen.data.items())]
    text = orjson.dumps(rows, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def plan(seen: Seen) -> Obj | None:
    """The merge patch that the workload needs; None if it needs none."""
    hashed, taken = hash_of(seen), annotations_of(seen.workload).get(HASH)
    if hashed == taken:
        return None
    patch: Obj = {"metadata": {"annotations": {HASH: hashed}}}
    if taken is not None:
        patch["spec"] = {"template": {"metadata": {"annotations": {HASH: hashed}}}}
    return patch


def _reconciler(resource: str) -> Reconcile:
    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(resource, key, env.cache)
        patch = plan(seen) if seen is not None else None
        if seen is None or patch is None:
            return DONE
        patch["metadata"]["uid"] = seen.workload["metadata"]["uid"]
        await env.client.patch(resource, key.name, patch, namespace=key.namespace)
        if "spec" in patch:
            names = ", ".join(f"{kind}/{name}" for kind, name in seen.data)
            text = f"Rolling out anew: the configuration has changed ({names})"
            env.events.emit(seen.workload, "Normal", "ConfigurationChanged", text)
        return DONE

    return reconcile


MEMBERS = tuple((_controller(resource), _reconciler(resource)) for resource in WORKLOADS)
