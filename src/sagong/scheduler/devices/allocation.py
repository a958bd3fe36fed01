"""Choosing devices for claims on one node: requests, alternatives, constraints. Pure.

Depth first with backtracking, in the order of requests and of devices, as upstream does it; the
first allocation found is taken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.types import Obj
from sagong.scheduler.devices.inventory import Device, DeviceId
from sagong.scheduler.pod import Toleration

RESULTS_MAX = 32  # devices of one claim (the API's own bound)
# Devices tried for one node; past it the claims count as impossible there.
STEPS_MAX = 20_000
_KEEPING_AWAY = ("NoSchedule", "NoExecute")


class ClassMissing(Exception):
    """A request names a device class that does not exist."""


class TooComplex(Exception):
    """More was tried than is worth it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One way in which a request can be met."""

    name: str  # of the request, or "request/subrequest"
    device_class: Obj
    selectors: Sequence[str]  # of the class and of the request: all must hold
    everything: bool  # all devices that match, instead of a number of them
    count: int
    admin: bool  # also devices that others use
    tolerations: Sequence[Toleration]
    raw_tolerations: Sequence[Obj]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A device for a request of a claim."""

    claim: int
    wish: Wish
    device: Device


# Whether a device satisfies an expression. Raises SelectorFailed.
Satisfies = Callable[[str, Device], bool]


def wishes_of(claim: Obj, classes: Mapping[str, Obj]) -> list[list[Wish]]:
    """For each request its alternatives, the preferred first. Raises ClassMissing."""
    found = []
    for request in _devices_of(claim).get("requests") or ():
        alternatives = request.get("firstAvailable")
        if alternatives:
            name = request["name"]
            wishes = [_wish(f"{name}/{sub['name']}", sub, classes) for sub in alternatives]
        else:
            wishes = [_wish(request["name"], request.get("exactly") or request, classes)]
        found.append(wishes)
    return found


def _devices_of(claim: Obj) -> Obj:
    found: Obj = claim["spec"].get("devices") or {}
    return found


def _wish(name: str, request: Obj, classes: Mapping[str, Obj]) -> Wish:
    device_class = classes.get(request["deviceClassName"])
    if device_class is None:
        class_name = request["deviceClassName"]
        raise ClassMissing(f"request {name}: device class {class_name} does not exist")
    tolerations = request.get("tolerations") or ()
    selectors = (
        *((device_class.get("spec") or {}).get("selectors") or ()),
        *(request.get("selectors") or ()),
    )
    return Wish(
        name=name,
        device_class=device_class,
        selectors=[s["cel"]["expression"] for s in selectors if s.get("cel")],
        everything=request.get("allocationMode") == "All",
        count=request.get("count") or 1,
        admin=bool(request.get("adminAccess")),
        tolerations=[
            Toleration(
                t.get("key") or "",
                t.get("operator") or "Equal",
                t.get("value") or "",
                t.get("effect") or "",
            )
            for t in tolerations
        ],
        raw_tolerations=tolerations,
    )


@dataclass(slots=True)
class Allocator:
    """Claims against the devices of one node."""

    claims: Sequence[Obj]
    wishes: Sequence[Sequence[Sequence[Wish]]]  # by claim and request
    devices: Sequence[Device]
    taken: frozenset[DeviceId]
    satisfies: Satisfies
    _chosen: list[Chosen] = field(default_factory=list)
    _used: set[DeviceId] = field(default_factory=set)
    _steps: int = 0

    def allocate(self) -> list[Chosen] | None:
        """Devices for all requests of all claims; None if there are none. Raises TooComplex."""
        order = [
            (claim, request)
            for claim, requests in enumerate(self.wishes)
            for request in range(len(requests))
        ]
        return list(self._chosen) if self._solve(order, 0) else None

    def _solve(self, order: Sequence[tuple[int, int]], position: int) -> bool:
        if position == len(order):
            return True
        claim, request = order[position]
        for wish in self.wishes[claim][request]:
            suitable = [d for d in self.devices if self._suits(wish, d)]
            if wish.everything:
                if not suitable or not self._take_all(claim, wish, suitable):
                    continue
                if self._solve(order, position + 1):
                    return True
                self._give_back(len(suitable))
            elif self._take_some(claim, wish, suitable, wish.count, order, position):
                return True
        return False

    def _take_all(self, claim: int, wish: Wish, suitable: Sequence[Device]) -> bool:
        for index, device in enumerate(suitable):
            if not self._take(claim, wish, device):
                self._give_back(index)
                return False
        return True

    def _take_some(
        self,
        claim: int,
        wish: Wish,
        suitable: Sequence[Device],
        missing: int,
        order: Sequence[tuple[int, int]],
        position: int,
    ) -> bool:
        if missing == 0:
            return self._solve(order, position + 1)
        for index, device in enumerate(suitable):
            if len(suitable) - index < missing:
                return False
            if not self._take(claim, wish, device):
                continue
            rest = suitable[index + 1 :]
            if self._take_some(claim, wish, rest, missing - 1, order, position):
                return True
            self._give_back(1)
        return False

    def _suits(self, wish: Wish, device: Device) -> bool:
        for taint in device.taints:
            if taint.get("effect") in _KEEPING_AWAY and not any(
                t.tolerates(taint["key"], taint.get("value") or "", taint["effect"])
                for t in wish.tolerations
            ):
                return False
        return all(self.satisfies(expression, device) for expression in wish.selectors)

    def _take(self, claim: int, wish: Wish, device: Device) -> bool:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise TooComplex
        if not wish.admin and (device.id in self.taken or device.id in self._used):
            return False
        if sum(c.claim == claim for c in self._chosen) >= RESULTS_MAX:
            return False
        chosen = Chosen(claim, wish, device)
        if not all(self._holds(c, chosen) for c in self._constraints(claim)):
            return False
        self._chosen.append(chosen)
        if not wish.admin:
            self._used.add(device.id)
        return True

    def _give_back(self, count: int) -> None:
        for _ in range(count):
            last = self._chosen.pop()
            if not last.wish.admin:
                self._used.discard(last.device.id)

    def _constraints(self, claim: int) -> Iterator[Obj]:
        yield from _devices_of(self.claims[claim]).get("constraints") or ()

    def _holds(self, constraint: Obj, new: Chosen) -> bool:
        """Whether a constraint still holds with one device more."""
        names = constraint.get("requests") or ()
        if not _is_meant(names, new.wish.name):
            return True
        others = [
            c.device for c in self._chosen if c.claim == new.claim and _is_meant(names, c.wish.name)
        ]
        if attribute := constraint.get("matchAttribute"):
            value = new.device.attribute(attribute)
            return value is not None and all(d.attribute(attribute) == value for d in others)
        if attribute := constraint.get("distinctAttribute"):
            value = new.device.attribute(attribute)
            return value is not None and all(d.attribute(attribute) != value for d in others)
        return True


def _is_meant(names: Sequence[str], name: str) -> bool:
    """A constraint without names is about all requests; a request's name covers alternatives."""
    return not names or name in names or name.partition("/")[0] in names


def allocation_of(claim: Obj, chosen: Sequence[Chosen], node: str) -> Obj:
    """What is written into a claim's ``status.allocation``."""
    results = []
    for entry in chosen:
        identity = entry.device.id
        result: Obj = {"request": entry.wish.name, **identity._asdict()}
        if entry.wish.admin:
            result["adminAccess"] = True
        if entry.wish.raw_tolerations:
            result["tolerations"] = list(entry.wish.raw_tolerations)
        results.append(result)
    devices: Obj = {"results": results}
    config = [*_class_config(chosen), *_claim_config(claim)]
    if config:
        devices["config"] = config
    found: Obj = {"devices": devices}
    selector = _selector_for(chosen, node)
    if selector is not None:
        found["nodeSelector"] = selector
    return found


def _class_config(chosen: Sequence[Chosen]) -> Iterator[Obj]:
    by_request = {entry.wish.name: entry.wish.device_class for entry in chosen}
    for request, device_class in by_request.items():
        for config in (device_class.get("spec") or {}).get("config") or ():
            yield {"source": "FromClass", "requests": [request], **config}


def _claim_config(claim: Obj) -> Iterator[Obj]:
    for config in _devices_of(claim).get("config") or ():
        yield {"source": "FromClaim", **config}


def _selector_for(chosen: Sequence[Chosen], node: str) -> Obj | None:
    """The nodes from which the chosen devices can be reached; None: all."""
    if any(entry.device.place.node for entry in chosen):
        term = {"key": "metadata.name", "operator": "In", "values": [node]}
        return {"nodeSelectorTerms": [{"matchFields": [term]}]}
    raw = [e.device.place.raw_selector for e in chosen if e.device.place.raw_selector]
    if not raw:
        return None
    # All of them must hold: terms of one selector are alternatives, those of several are joined.
    terms: list[Obj] = [{}]
    for selector in {id(r): r for r in raw}.values():
        terms = [
            _joined(one, other)
            for one in terms
            for other in selector.get("nodeSelectorTerms") or ()
        ]
    return {"nodeSelectorTerms": terms}


def _joined(one: Obj, other: Obj) -> Obj:
    found = {}
    for part in ("matchExpressions", "matchFields"):
        requirements = [*(one.get(part) or ()), *(other.get(part) or ())]
        if requirements:
            found[part] = requirements
    return found
