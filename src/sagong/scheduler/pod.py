"""What scheduling needs to know of a pod, taken from its object once.

Pods made from one template differ in name and uid only: they share one ``Template``, and whatever
is computed for a template serves them all.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sagong.api.meta import controller_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from sagong.api.pods import claims_of
from sagong.api.types import Key, Obj
from sagong.scheduler.resources import CPU, MEMORY, PODS, pod_requests, resizes_of

HostPort = tuple[str, str, int]  # protocol, host address ("0.0.0.0" for all), port
Disk = tuple[str, tuple[str, ...], bool]  # kind, identity, read-only

DEFAULT_SCHEDULER = "default-scheduler"
# Templates remembered; past it the least recently used is read anew when it comes again.
TEMPLATES_MAX = 4096


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


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What alike pods have in common. Compared by identity: equal ones are made one."""

    namespace: str
    labels: Mapping[str, str]
    scheduler_name: str
    priority: int
    never_preempts: bool
    owner: tuple[str, str, str]  # kind, name and uid of the controller; "" without one
    requests: Mapping[str, int]  # with one of "pods"
    scoring_requests: Mapping[str, int]
    tolerations: tuple[Toleration, ...]
    host_ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    disks: tuple[Disk, ...]
    node_selector: Mapping[str, str]
    affinity: Obj
    spread: tuple[Obj, ...]  # topologySpreadConstraints


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod as the scheduler sees it."""

    key: Key
    uid: str
    node_name: str
    template: Template
    claims: tuple[str, ...] = ()  # names of persistent volume claims
    # Entries of spec.resourceClaims with their claims' names; None: not made yet, "": not needed.
    resource_claims: tuple[tuple[str, str | None], ...] = ()
    terminating: bool = False

    @property
    def labels(self) -> Mapping[str, str]:
        return self.template.labels

    @property
    def priority(self) -> int:
        return self.template.priority

    @property
    def requests(self) -> Mapping[str, int]:
        return self.template.requests

    @property
    def scoring_requests(self) -> Mapping[str, int]:
        return self.template.scoring_requests

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        return self.template.tolerations

    @property
    def host_ports(self) -> tuple[HostPort, ...]:
        return self.template.host_ports

    @property
    def affinity(self) -> Obj:
        return self.template.affinity

    @property
    def scheduler_name(self) -> str:
        return self.template.scheduler_name


class Templates:
    """Makes one of what is equal."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Template] = OrderedDict()

    def facts_of(self, pod: Obj) -> PodFacts:
        spec = pod["spec"]
        resized = resizes_of(pod) if spec.get("nodeName") and "status" in pod else {}
        signature = _signature(pod, spec, resized)
        template = self._known.get(signature)
        if template is None:
            template = self._known[signature] = _template(pod, spec, resized)
            if len(self._known) > TEMPLATES_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(signature)
        volumes = spec.get("volumes")
        return PodFacts(
            key=Key(namespace_of(pod), name_of(pod)),
            uid=uid_of(pod),
            node_name=spec.get("nodeName") or "",
            template=template,
            claims=tuple(claims_of(pod)) if volumes else (),
            resource_claims=_resource_claims(pod) if spec.get("resourceClaims") else (),
            terminating=is_deleting(pod),
        )


def _resource_claims(pod: Obj) -> tuple[tuple[str, str | None], ...]:
    """Claims by name; those made from templates stand in the pod's status."""
    told = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    made = {entry["name"]: entry.get("resourceClaimName") or "" for entry in told}
    return tuple(
        (entry["name"], entry.get("resourceClaimName") or made.get(entry["name"]))
        for entry in pod["spec"]["resourceClaims"]
    )


def _signature(pod: Obj, spec: Obj, resized: Obj) -> bytes:
    """Everything that ``_template`` reads, as bytes."""
    owner = controller_of(pod)
    return orjson.dumps(
        (
            namespace_of(pod),
            pod["metadata"].get("labels"),
            owner and (owner["kind"], owner["name"], owner["uid"]),
            [
                [(c.get("name"), c.get("image"), c.get("resources"), c.get("ports"))
                 for c in spec.get("containers") or ()],
                [(c.get("name"), c.get("image"), c.get("resources"), c.get("ports"),
                  c.get("restartPolicy")) for c in spec.get("initContainers") or ()],
            ],
            [spec.get(name) for name in _TEMPLATE_FIELDS],
            (_disks(spec), _image_volumes(spec)) if spec.get("volumes") else None,
            resized,
        )
    )  # fmt: skip


_TEMPLATE_FIELDS = (
    "schedulerName", "priority", "preemptionPolicy", "tolerations", "nodeSelector", "affinity",
    "topologySpreadConstraints", "overhead", "resources",
)  # fmt: skip


def _template(pod: Obj, spec: Obj, resized: Mapping[str, Mapping[str, int]]) -> Template:
    scoring = pod_requests(spec, defaults=True, resized=resized)
    owner = controller_of(pod) or {"kind": "", "name": "", "uid": ""}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return Template(
        namespace=namespace_of(pod),
        labels=labels_of(pod),
        scheduler_name=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        priority=spec.get("priority") or 0,
        never_preempts=spec.get("preemptionPolicy") == "Never",
        owner=(owner["kind"], owner["name"], owner["uid"]),
        requests=pod_requests(spec, resized=resized) | {PODS: 1},
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
        images=tuple(c.get("image") or "" for c in containers) + _image_volumes(spec),
        disks=tuple(_disks(spec)),
        node_selector=spec.get("nodeSelector") or {},
        affinity=spec.get("affinity") or {},
        spread=tuple(spec.get("topologySpreadConstraints") or ()),
    )


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


def _image_volumes(spec: Obj) -> tuple[str, ...]:
    volumes = spec.get("volumes") or ()
    return tuple(
        v["image"]["reference"] for v in volumes if (v.get("image") or {}).get("reference")
    )


def _disks(spec: Obj) -> list[Disk]:
    """Disks that one node must not mount twice, unless read-only (VolumeRestrictions)."""
    found: list[Disk] = []
    for volume in spec.get("volumes") or ():
        if disk := volume.get("gcePersistentDisk"):
            found.append(("gce", (disk["pdName"],), bool(disk.get("readOnly"))))
        elif disk := volume.get("awsElasticBlockStore"):
            found.append(("aws", (disk["volumeID"],), False))
        elif disk := volume.get("iscsi"):
            found.append(("iscsi", (disk["iqn"],), bool(disk.get("readOnly"))))
        elif disk := volume.get("rbd"):
            # One shared monitor makes it the same disk.
            for monitor in disk["monitors"]:
                identity = (disk.get("pool") or "rbd", disk["image"], monitor)
                found.append(("rbd", identity, bool(disk.get("readOnly"))))
    return found
