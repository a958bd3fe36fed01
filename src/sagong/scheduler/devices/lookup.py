"""A pod's ResourceClaims as the scheduler sees them, and which devices of the cluster are taken."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.meta import is_deleting, name_of, uid_of
from sagong.api.types import Key, Obj
from sagong.ctl.controller import Cache
from sagong.scheduler.devices.allocation import (
    Allocator,
    Chosen,
    ClassMissing,
    TooComplex,
    Wish,
    wishes_of,
)
from sagong.scheduler.devices.inventory import DeviceId, Inventory
from sagong.scheduler.devices.selectors import Selectors
from sagong.scheduler.node_selectors import NodeSelector, node_selector
from sagong.scheduler.pod import PodFacts

CLAIMS = "resourceclaims.resource.k8s.io"
SLICES = "resourceslices.resource.k8s.io"
CLASSES = "deviceclasses.resource.k8s.io"
RESERVED_FOR_MAX = 256  # pods of one claim, the API's own bound


@dataclass(frozen=True, slots=True)
class PodDevices:
    """What a pod's claims ask of a node."""

    # Claims that have their devices already: where those can be reached (None: everywhere).
    reach: Sequence[NodeSelector | None] = ()
    waiting: Sequence[Obj] = ()  # claims that are to be allocated together with the pod
    wishes: Sequence[Sequence[Sequence[Wish]]] = ()
    to_reserve: Sequence[Obj] = ()  # allocated claims that the pod is not known to use yet
    problem: str = ""  # why the pod cannot be scheduled at all, upstream's words
    world: "Devices | None" = None

    @property
    def concerns_nothing(self) -> bool:
        return not (self.reach or self.waiting or self.problem)

    def choose(self, node: str, labels: Mapping[str, str]) -> list[Chosen] | None:
        """Devices for the waiting claims on a node; None if it does not have them.

        Raises SelectorFailed.
        """
        assert self.world is not None
        devices = self.world.inventory.at(node, labels)
        allocator = Allocator(
            self.waiting, self.wishes, devices, self.world.taken(), self.world.selectors.satisfies
        )
        try:
            return allocator.allocate()
        except TooComplex:
            return None


@dataclass(slots=True)
class Devices:
    """Devices of the whole cluster and who has them, what was decided but not yet seen included."""

    cache: Cache
    selectors: Selectors = field(default_factory=Selectors)
    # Allocations that are being written, by the claim's uid.
    assumed: dict[str, Obj] = field(default_factory=dict)
    _inventory: Inventory | None = None
    _taken: frozenset[DeviceId] | None = None

    @property
    def inventory(self) -> Inventory:
        if self._inventory is None:
            self._inventory = Inventory.of(self.cache.list(SLICES))
        return self._inventory

    def taken(self) -> frozenset[DeviceId]:
        """Devices that some claim has for itself."""
        if self._taken is None:
            stored = (_allocation(claim) for claim in self.cache.list(CLAIMS))
            allocations = [*stored, *self.assumed.values()]
            self._taken = frozenset(_ids(a for a in allocations if a))
        return self._taken

    def slices_changed(self) -> None:
        self._inventory = None

    def claim_changed(self, new: Obj | None) -> None:
        self._taken = None
        if new is not None and _allocation(new):
            self.assumed.pop(uid_of(new), None)

    def assume(self, claim: Obj, allocation: Obj) -> None:
        self.assumed[uid_of(claim)] = allocation
        self._taken = None

    def give_up(self, claim: Obj) -> None:
        self.assumed.pop(uid_of(claim), None)
        self._taken = None

    def look_up(self, pod: PodFacts) -> PodDevices:
        """The pod's claims by their state."""
        if not pod.resource_claims:
            return PodDevices()
        claims = []
        for entry, name in pod.resource_claims:
            if name is None:
                return PodDevices(
                    problem=f'pod "{pod.key}": ResourceClaim for {entry} not created yet'
                )
            if not name:
                continue
            claim = self.cache.get(CLAIMS, pod.key.namespace, name)
            problem = _problem(claim, name, pod)
            if claim is None or problem:
                return PodDevices(problem=problem)
            claims.append(claim)
        return self._sorted(pod, claims)

    def _sorted(self, pod: PodFacts, claims: Sequence[Obj]) -> PodDevices:
        classes = {name_of(c): c for c in self.cache.list(CLASSES)}
        reach: list[NodeSelector | None] = []
        waiting, wishes, to_reserve = [], [], []
        for claim in claims:
            allocation = _allocation(claim) or self.assumed.get(uid_of(claim))
            if allocation:
                raw = allocation.get("nodeSelector")
                reach.append(node_selector(raw) if raw else None)
                if not _is_reserved(claim, pod.uid):
                    to_reserve.append(claim)
                continue
            try:
                wishes.append(wishes_of(claim, classes))
            except ClassMissing as error:
                return PodDevices(problem=str(error))
            waiting.append(claim)
        return PodDevices(reach, waiting, wishes, to_reserve, world=self)


def _problem(claim: Obj | None, name: str, pod: PodFacts) -> str:
    if claim is None:
        return f'resourceclaim.resource.k8s.io "{name}" not found'
    if is_deleting(claim):
        return f'resourceclaim "{name}" is being deleted'
    users = (claim.get("status") or {}).get("reservedFor") or ()
    if len(users) >= RESERVED_FOR_MAX and not _is_reserved(claim, pod.uid):
        return "resourceclaim in use"
    return ""


def _is_reserved(claim: Obj, uid: str) -> bool:
    users = (claim.get("status") or {}).get("reservedFor") or ()
    return any(user.get("uid") == uid for user in users)


def _allocation(claim: Obj) -> Obj | None:
    return (claim.get("status") or {}).get("allocation")


def _ids(allocations: Iterable[Obj]) -> Iterable[DeviceId]:
    for allocation in allocations:
        for result in (allocation.get("devices") or {}).get("results") or ():
            if not result.get("adminAccess"):
                yield DeviceId(result["driver"], result["pool"], result["device"])


def claim_key(claim: Obj) -> Key:
    return Key(claim["metadata"]["namespace"], name_of(claim))
