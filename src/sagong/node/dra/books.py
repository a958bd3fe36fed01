"""Which claims have been prepared on this node and for which pods, on disk before any driver is
called: found again after any crash."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import orjson

from sagong.core.atomic_files import write_atomically
from sagong.node.dra.driver import ClaimReference, PreparedDevice

CHECKPOINT = "dra_manager_state"


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """One claim. ``devices`` has an entry for each driver, empty before it is prepared."""

    claim: ClaimReference
    devices: Mapping[str, Sequence[PreparedDevice]]
    pods: frozenset[str]
    is_prepared: bool = False


@dataclass(slots=True)
class ClaimBooks:
    """One an agent."""

    directory: Path
    _records: dict[tuple[str, str], ClaimRecord] = field(default_factory=dict)

    def get(self, namespace: str, name: str) -> ClaimRecord | None:
        return self._records.get((namespace, name))

    def of_pod(self, uid: str) -> Sequence[ClaimRecord]:
        return [record for record in self._records.values() if uid in record.pods]

    def pods(self) -> frozenset[str]:
        return frozenset().union(*(record.pods for record in self._records.values()))

    def put(self, records: Iterable[ClaimRecord]) -> None:
        for record in records:
            self._records[record.claim.namespace, record.claim.name] = record
        self._save()

    def leave(self, uid: str, records: Iterable[ClaimRecord]) -> None:
        """A pod needs these no more; nobody's are forgotten."""
        for record in records:
            key = record.claim.namespace, record.claim.name
            left = self._records[key].pods - {uid}
            if left:
                self._records[key] = replace(self._records[key], pods=left)
            else:
                del self._records[key]
        self._save()

    def load(self) -> None:
        try:
            kept = orjson.loads((self.directory / CHECKPOINT).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return
        for entry in kept["claims"]:
            record = ClaimRecord(
                ClaimReference(**entry["claim"]),
                {
                    driver: [_device(device) for device in devices]
                    for driver, devices in entry["devices"].items()
                },
                frozenset(entry["pods"]),
                entry["is_prepared"],
            )
            self._records[record.claim.namespace, record.claim.name] = record

    def _save(self) -> None:
        claims = [
            {**asdict(replace(record, pods=frozenset())), "pods": sorted(record.pods)}
            for record in self._records.values()
        ]
        write_atomically(self.directory / CHECKPOINT, orjson.dumps({"claims": claims}))


def _device(fields: Mapping[str, str | list[str]]) -> PreparedDevice:
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    return PreparedDevice(**texts, **lists)  # type: ignore[arg-type]
