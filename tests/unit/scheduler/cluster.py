"""A cluster for scheduling tests: nodes and pods in a few words."""

from typing import Any

from sagong.api.types import Obj
from sagong.core.ids import SeededIds
from sagong.scheduler import columns
from sagong.scheduler.cycle import Decider, Decision
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.pod import PodFacts, Templates
from sagong.scheduler.profile import Profile, profile_of
from sagong.scheduler.state import State
from sagong.scheduler.volumes import PodVolumes


def make_node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: int = 110,
    labels: dict[str, str] | None = None,
    taints: list[Obj] | None = None,
    unschedulable: bool = False,
) -> Obj:
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name} | (labels or {}),
        },
        "spec": {"taints": taints or [], "unschedulable": unschedulable},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": str(pods)}},
    }


def make_pod(
    name: str,
    *,
    cpu: str = "",
    memory: str = "",
    labels: dict[str, str] | None = None,
    namespace: str = "default",
    owner: str = "",
    **spec: Any,
) -> Obj:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    metadata: Obj = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{namespace}-{name}",
        "labels": labels or {},
    }
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner}
            | {"controller": True}
        ]
    container = {"name": "c", "image": "i", "resources": {"requests": requests}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


class Cluster:
    """Places pods one after another, as the scheduler does."""

    def __init__(
        self,
        *nodes: Obj,
        namespaces: dict[str, dict[str, str]] | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.namespaces = namespaces or {"default": {}}
        self.state = State.empty(lambda: self.namespaces)
        self.profile = profile or profile_of()
        self.decider = Decider(SeededIds(7))
        self.templates = Templates()
        self.default_selectors: dict[str, Obj] = {}  # by owner
        for node in nodes:
            self.state.set_node(columns.facts_of(node))

    def facts(self, obj: Obj) -> PodFacts:
        return self.templates.facts_of(obj)

    def cycle(self, obj: Obj, volumes: PodVolumes | None = None) -> Cycle:
        pod = self.facts(obj)
        selector = self.default_selectors.get(pod.template.owner[1])
        return Cycle(pod, self.state, volumes or PodVolumes(), default_selector=selector)

    def decide(self, obj: Obj, volumes: PodVolumes | None = None) -> Decision:
        return self.decider.decide(self.profile, self.cycle(obj, volumes))

    def place(self, obj: Obj, node: str | None = None) -> str | None:
        """Where the pod went; None if it found no place."""
        if node is None:
            decision = self.decide(obj)
            if decision.slot is None:
                return None
            node = self.state.columns.names[decision.slot]
        self.state.place(self.facts(obj), node)
        return node

    def why(self, obj: Obj) -> str:
        decision = self.decide(obj)
        assert decision.slot is None
        return decision.why().message()
