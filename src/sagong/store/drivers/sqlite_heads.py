"""Where every living key is, in memory, so that transactions are decided where they arrive.

The thread that writes then has rows to insert and nothing to look up, and a group of transactions
is one statement. What is decided counts only once its rows are durable: until ``take`` the heads
are those of the last group that was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sagong.store.drivers.sqlite_log import Head, Row, first_id, revision_of
from sagong.store.interface import Batch, Change, Compare, Delete, Put, TxnResult


@dataclass(frozen=True, slots=True)
class Txn:
    """One transaction as it was asked for."""

    compares: Sequence[Compare]
    operations: Sequence[Put | Delete]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a transaction; no batch if nothing changes.

    ``lost``: a compare did not hold, and these are the compared keys as they then are; their
    values are still to be read.
    """

    result: TxnResult
    batch: Batch | None = None
    lost: Sequence[tuple[str, Head | None]] | None = None


@dataclass(slots=True)
class Group:
    """Transactions that are decided together, in order: the rows that make them so."""

    rows: list[Row] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    changed: dict[str, Head | None] = field(default_factory=dict)


class Heads:
    """See the module's docstring."""

    def __init__(self, heads: dict[str, Head]) -> None:
        self._heads = heads

    def decide(self, txns: Sequence[Txn], revision: int) -> Group:
        """What becomes of transactions when ``revision`` is the newest; nothing is done yet."""
        group = Group()
        for txn in txns:
            outcome = self._decide(txn, revision, group)
            group.outcomes.append(outcome)
            revision = outcome.result.revision
        return group

    def take(self, group: Group) -> None:
        """The group's rows are durable."""
        for key, head in group.changed.items():
            if head is None:
                self._heads.pop(key, None)
            else:
                self._heads[key] = head

    def _head(self, key: str, group: Group) -> Head | None:
        if key in group.changed:
            return group.changed[key]
        return self._heads.get(key)

    def _decide(self, txn: Txn, revision: int, group: Group) -> Outcome:
        for compare in txn.compares:
            head = self._head(compare.key, group)
            if compare.mod_revision != (revision_of(head.id) if head else 0):
                found = [(c.key, self._head(c.key, group)) for c in txn.compares]
                return Outcome(TxnResult(False, revision), lost=found)
        changes: list[Change] = []
        for operation in txn.operations:
            self._change(operation, revision + 1, changes, group)
        if not changes:
            return Outcome(TxnResult(True, revision))
        return Outcome(TxnResult(True, revision + 1), Batch(revision + 1, changes))

    def _change(
        self, operation: Put | Delete, revision: int, changes: list[Change], group: Group
    ) -> None:
        key, before = operation.key, self._head(operation.key, group)
        value = operation.value if isinstance(operation, Put) else None
        if value is None and before is None:
            return
        created = before.create_revision if before else revision
        id_ = first_id(revision) | len(changes)
        group.rows.append((id_, key, created, before.id if before else None, value))
        group.changed[key] = None if value is None else Head(id_, created)
        changes.append(Change(key, value, created, revision))
