"""A pod's claims: prepared before its sandbox is made, handed to containers, given back at its end.

A claim that several pods of this node share is prepared once, and given back with the last.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sagong.api.errors import ApiError
from sagong.api.meta import namespace_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.node.dra.books import ClaimBooks, ClaimRecord
from sagong.node.dra.driver import ClaimReference, PreparedDevice
from sagong.node.dra.drivers import DraDrivers
from sagong.node.plugins.channel import PluginFailure

CLAIMS = "resourceclaims.resource.k8s.io"


class ClaimFailure(Exception):
    """A pod's claims are not ready; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a container has of one claim by one entry of ``resources.claims``."""

    name: str  # of the pod's entry
    request: str  # "" for all
    record: ClaimRecord

    def devices(self) -> Iterator[tuple[str, PreparedDevice]]:
        """(driver, device), those of the request."""
        for driver, devices in sorted(self.record.devices.items()):
            for device in devices:
                names = {name.partition("/")[0] for name in device.requests} | {*device.requests}
                if not self.request or not names or self.request in names:
                    yield driver, device


@dataclass(slots=True)
class PodClaims:
    """One an agent."""

    client: Client
    drivers: DraDrivers
    books: ClaimBooks
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of the books while drivers work

    async def prepare(self, pod: Obj) -> None:
        """All claims of the pod; again does nothing. Raises ClaimFailure."""
        if not (pod["spec"].get("resourceClaims") or _extended(pod)):
            return
        try:
            names = claim_names(pod)
            async with self._lock:
                if not self._is_ready(pod, names):
                    await self._prepare(pod, names)
        except PluginFailure as error:
            raise ClaimFailure(f"prepare dynamic resources: {error}") from error

    def _is_ready(self, pod: Obj, names: Mapping[str, bool]) -> bool:
        known = [self.books.get(namespace_of(pod), name) for name in names]
        return all(r is not None and r.is_prepared and uid_of(pod) in r.pods for r in known)

    async def _prepare(self, pod: Obj, names: Mapping[str, bool]) -> None:
        records = [await self._record(pod, name, owned=owned) for name, owned in names.items()]
        batches: dict[str, list[ClaimRecord]] = {}
        for record in records:
            for driver in record.devices:
                # Without its driver nothing of the node's is to be relied on, prepared or not.
                self.drivers.get(driver)
                if not record.is_prepared:
                    batches.setdefault(driver, []).append(record)
        self.books.put(records)
        made = {record.claim.uid: dict(record.devices) for record in records}
        for driver, batch in batches.items():
            answers = await self.drivers.get(driver).prepare([record.claim for record in batch])
            for uid, devices in answers.items():
                made[uid][driver] = devices
        self.books.put(replace(r, devices=made[r.claim.uid], is_prepared=True) for r in records)

    async def _record(self, pod: Obj, name: str, *, owned: bool) -> ClaimRecord:
        """What is known of a claim, with this pod among its users. Raises PluginFailure."""
        namespace = namespace_of(pod)
        try:
            claim = await self.client.get(CLAIMS, name, namespace=namespace)
        except ApiError as error:
            raise PluginFailure(f"fetch ResourceClaim {name}: {error}") from error
        check_use(pod, claim, owned=owned)
        known = self.books.get(namespace, name)
        if known is None:
            results = claim["status"]["allocation"]["devices"].get("results") or []
            devices: dict[str, Sequence[PreparedDevice]] = {r["driver"]: () for r in results}
            reference = ClaimReference(namespace, name, uid_of(claim))
            return ClaimRecord(reference, devices, frozenset({uid_of(pod)}))
        if known.claim.uid != uid_of(claim):
            raise PluginFailure(
                f"old ResourceClaim with same name {name} and different UID {known.claim.uid} "
                f"still exists (new UID is {uid_of(claim)})"
            )
        return replace(known, pods=known.pods | {uid_of(pod)})

    async def release(self, uid: str) -> None:
        """A pod has ended: nothing of it runs. Raises PluginFailure, to be tried again."""
        async with self._lock:
            records = self.books.of_pod(uid)
            last = [record for record in records if record.pods == {uid}]
            batches: dict[str, list[ClaimReference]] = {}
            for record in last:
                for driver in record.devices:
                    batches.setdefault(driver, []).append(record.claim)
            for driver, references in batches.items():
                await self.drivers.get(driver).unprepare(references)
            if records:
                self.books.leave(uid, records)

    def pods_of(self, driver: str) -> Sequence[str]:
        """Uids of pods that have devices of a driver."""
        return [uid for uid in self.books.pods() if driver in self._drivers_of(uid)]

    def _drivers_of(self, uid: str) -> set[str]:
        return {driver for record in self.books.of_pod(uid) for driver in record.devices}

    def uses(self, pod: Obj, container: Obj) -> Iterator[Use]:
        """What a container has; nothing of what is not prepared."""
        by_entry = {entry: name for entry, name, _ in entries(pod) if name}
        asked = [
            (claim["name"], by_entry.get(claim["name"]), claim.get("request") or "")
            for claim in (container.get("resources") or {}).get("claims") or ()
        ]
        extended = _extended(pod)
        asked += [
            (mapping["resourceName"], extended["resourceClaimName"], mapping["requestName"])
            for mapping in extended.get("requestMappings") or ()
            if mapping["containerName"] == container["name"]
        ]
        for entry, name, request in asked:
            record = self.books.get(namespace_of(pod), name) if name else None
            if record is not None and uid_of(pod) in record.pods:
                yield Use(entry, request, record)

    def cdi_devices(self, pod: Obj, container: Obj) -> Sequence[str]:
        """The CDI names that a container is started with, each once."""
        found = [
            name
            for use in self.uses(pod, container)
            for _, device in use.devices()
            for name in device.cdi_ids
        ]
        return list(dict.fromkeys(found))


def entries(pod: Obj) -> Iterator[tuple[str, str | None, bool]]:
    """Of ``spec.resourceClaims`` (entry, name of the claim, whether the pod must own it); the
    name is "" if none is needed, None if the claim is not made yet."""
    told = {
        status["name"]: str(status.get("resourceClaimName") or "")
        for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry.get("resourceClaimName"):
            yield entry["name"], entry["resourceClaimName"], False
        else:
            yield entry["name"], told.get(entry["name"]), True


def claim_names(pod: Obj) -> Mapping[str, bool]:
    """The claims that a pod needs, and whether it must own each. Raises PluginFailure."""
    found: dict[str, bool] = {}
    for _, name, owned in entries(pod):
        if name is None:
            metadata = pod["metadata"]
            own = f"{metadata['namespace']}/{metadata['name']}"
            raise PluginFailure(f'pod "{own}": ResourceClaim not created yet')
        if name:
            found[name] = owned
    if extended := _extended(pod):
        found[extended["resourceClaimName"]] = True
    return found


def _extended(pod: Obj) -> Obj:
    """The claim that the scheduler has made for extended resources of device classes."""
    return (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}


def check_use(pod: Obj, claim: Obj, *, owned: bool) -> None:
    """Raises PluginFailure unless the claim is the pod's to use, and allocated."""
    metadata, name = claim["metadata"], claim["metadata"]["name"]
    owners = metadata.get("ownerReferences") or ()
    if owned and not any(o.get("controller") and o["uid"] == uid_of(pod) for o in owners):
        raise PluginFailure(
            f"ResourceClaim {metadata['namespace']}/{name} was not created for pod "
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']} (pod is not owner)"
        )
    status = claim.get("status") or {}
    if not any(user.get("uid") == uid_of(pod) for user in status.get("reservedFor") or ()):
        raise PluginFailure(
            f"pod {pod['metadata']['name']} ({uid_of(pod)}) is not allowed to use "
            f"ResourceClaim {name} ({uid_of(claim)})"
        )
    if not status.get("allocation"):
        raise PluginFailure(f"ResourceClaim {name}: not allocated")
