"""What default topology spreading takes for the peers of a pod (upstream's ``DefaultSelector``).

Pods of the services that select the pod, and of the ReplicationController, ReplicaSet or
StatefulSet that controls it; of no one else's.
"""

from collections.abc import Mapping

from sagong.api.meta import namespace_of
from sagong.api.types import Obj
from sagong.ctl.informer import SharedCache
from sagong.scheduler.pod import Template

SERVICES = "services"
_OWNERS = {
    "ReplicationController": "replicationcontrollers",
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
}
RESOURCES = (SERVICES, *_OWNERS.values())
# Templates whose selector is remembered; past it all are looked up anew.
REMEMBERED_MAX = 4096


class DefaultSelectors:
    """By template, until a service or workload of its namespace changes."""

    def __init__(self, cache: SharedCache) -> None:
        self._cache = cache
        self._known: dict[Template, Obj | None] = {}
        for resource in RESOURCES:
            cache.declare(resource)
            cache.on_change(resource, self._changed)

    def of(self, template: Template) -> Obj | None:
        """A label selector; None if the pod has no peers."""
        if template.spread:
            return None  # It says itself how it is to be spread.
        if template not in self._known:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[template] = self._look_up(template)
        return self._known[template]

    def _look_up(self, template: Template) -> Obj | None:
        labels: dict[str, str] = {}
        if template.labels:
            for service in self._cache.list(SERVICES, template.namespace):
                wanted = service["spec"].get("selector") or {}
                if wanted and wanted.items() <= template.labels.items():
                    labels |= wanted
        expressions = self._of_owner(template, labels)
        if not labels and not expressions:
            return None
        return {"matchLabels": dict(sorted(labels.items())), "matchExpressions": expressions}

    def _of_owner(self, template: Template, labels: dict[str, str]) -> list[Obj]:
        """Adds the owner's labels; what they cannot say is returned as expressions."""
        kind, name, uid = template.owner
        resource = _OWNERS.get(kind)
        owner = self._cache.get(resource, template.namespace, name) if resource else None
        if owner is None or owner["metadata"].get("uid") != uid:
            return []
        selector = owner["spec"].get("selector") or {}
        if kind == "ReplicationController":
            labels |= selector
            return []
        expressions = list(selector.get("matchExpressions") or ())
        wanted: Mapping[str, str] = selector.get("matchLabels") or {}
        for key, value in wanted.items():
            if labels.setdefault(key, value) != value:
                expressions.append({"key": key, "operator": "In", "values": [value]})
        return expressions

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if old and new and old["spec"].get("selector") == new["spec"].get("selector"):
            return
        namespace = namespace_of(new or old or {"metadata": {}})
        for template in [t for t in self._known if t.namespace == namespace]:
            del self._known[template]
