"""The store's contract: etcd's data model, in the terms of this project.

- A store has one *revision*, an integer that starts at 1 (empty) and grows by exactly one with each
  successful transaction that changes something; all keys changed by one transaction share it. It
  never goes back, not even over a crash.
- A key has the revision that created it and the one that last changed it. A deleted key is absent.
- ``txn`` is atomic and serialisable: every compare is checked against the state at one revision,
  and either all operations happen or none does.
- A write is acknowledged (``txn`` returns) only when it is durable, and only after every event of
  it has been handed to the watchers: who reads its own acknowledgement finds its write in every
  watch-fed cache of this process whose store is local.
- A watch delivers every change under its prefix exactly once, in revision order, from the start
  revision on, history first, with no gap between history and live. All events of one revision come
  in one batch.
- Old revisions are kept until compacted; reads below the compacted revision raise Compacted.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A key at some revision."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Compare:
    """True if the key's mod_revision is this one; 0 means that the key is absent."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class TxnResult:
    """What a transaction did.

    ``revision`` is the store's revision after it. When it did not succeed, ``found`` holds the
    current entries of the compared keys (None for absent ones), in the order of the compares.
    """

    succeeded: bool
    revision: int
    found: Sequence[Entry | None] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """Entries in key order at ``revision``; ``more`` if the limit cut it; ``count`` of all."""

    entries: Sequence[Entry]
    revision: int
    more: bool
    count: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one key. ``value`` is None for a deletion.

    A creation has its own revision as ``create_revision``. What was there before is not said:
    whoever needs it keeps it (a cache does), so that no driver has to read it back.
    """

    key: str
    value: bytes | None
    create_revision: int
    revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """All changes of one revision under a watch's prefix. Empty changes: progress only."""

    revision: int
    changes: Sequence[Change]


class Store(Protocol):
    """See the module's docstring for the contract."""

    async def get(self, key: str) -> Entry | None:
        """The key's current entry."""
        ...

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        """Keys that begin with prefix and are >= start, at a revision (0: now).

        ``limit`` bounds the entries returned (0: all).

        ``count`` counts all matching keys from start on. Raises Compacted, FutureRevision.
        """
        ...

    async def txn(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> TxnResult:
        """Do the operations if every compare holds. Deleting an absent key changes nothing."""
        ...

    def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[Batch]:
        """Changes with revision >= start_revision. Raises Compacted, WatchOverflow, Unavailable.

        The watch is registered when the iterator is first advanced; ``aclose`` ends it.
        """
        ...

    async def current_revision(self) -> int:
        """The newest revision, linearizable."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget superseded values older than revision, never current ones. Idempotent."""
        ...

    async def close(self) -> None:
        """Finish what is under way, release everything; later calls raise Unavailable."""
        ...
