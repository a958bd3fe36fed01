"""What scheduling needs to know of a pod, taken from its object once."""

from collections.abc import Mapping
from dataclasses import dataclass

from sagong.api.meta import (
    controller_uid,
    labels_of,
    name_of,
    namespace_of,
    owner_references_of,
    uid_of,
)
from sagong.api.pods import claims_of
from sagong.api.types import Key, Obj
from sagong.scheduler.resources import CPU, MEMORY, PODS, pod_requests

HostPort = tuple[str, str, int]  # protocol, host address ("0.0.0.0" for all), port


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        """Whether a taint is tolerated; an empty key, operator Exists, means every taint."""
        if self.effect and self.effect != effect:
            return False
        if self.key and self.key != key:
            return False
        if self.operator == "Exists":
            return True
        if self.operator in ("Gt", "Lt"):
            return _compares(value, self.operator, self.value)
        return self.value == value


def _compares(value: str, operator: str, bound: str) -> bool:
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod as the scheduler sees it. ``spec`` stays the object's own and is never changed."""

    key: Key
    uid: str
    labels: Mapping[str, str]
    spec: Obj
    node_name: str
    scheduler_name: str
    priority: int
    owner_uid: str
    requests: Mapping[str, int]  # with one of "pods"
    scoring_requests: Mapping[str, int]
    tolerations: tuple[Toleration, ...]
    host_ports: tuple[HostPort, ...]
    claims: tuple[str, ...]  # names of persistent volume claims
    images: tuple[str, ...]

    @property
    def affinity(self) -> Obj:
        return self.spec.get("affinity") or {}


def _host_ports(spec: Obj) -> tuple[HostPort, ...]:
    containers = [*(spec.get("containers") or ())]
    containers += [
        c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"
    ]
    return tuple(
        (port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def facts_of(pod: Obj) -> PodFacts:
    spec = pod["spec"]
    scoring = pod_requests(spec, defaults=True)
    owners = owner_references_of(pod)
    return PodFacts(
        key=Key(namespace_of(pod), name_of(pod)),
        uid=uid_of(pod),
        labels=labels_of(pod),
        spec=spec,
        node_name=spec.get("nodeName") or "",
        scheduler_name=spec.get("schedulerName") or "default-scheduler",
        priority=spec.get("priority") or 0,
        owner_uid=controller_uid(pod) or (owners[0]["uid"] if owners else ""),
        requests=pod_requests(spec) | {PODS: 1},
        scoring_requests={CPU: scoring.get(CPU, 0), MEMORY: scoring.get(MEMORY, 0)},
        tolerations=tuple(
            Toleration(
                t.get("key") or "",
                t.get("operator") or "Equal",
                t.get("value") or "",
                t.get("effect") or "",
            )
            for t in spec.get("tolerations") or ()
        ),
        host_ports=_host_ports(spec),
        claims=tuple(claims_of(pod)),
        images=tuple(c.get("image", "") for c in spec.get("containers") or ()),
    )
