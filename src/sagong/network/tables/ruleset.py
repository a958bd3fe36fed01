"""The ruleset as it should be, as it is, and the nft transaction that takes one to the other. Pure.

Contributions are kept by their owner (a service); what changed since the last transaction is
remembered by name, so that a transaction costs what changed and not what there is. After a failed
transaction nothing is known about the kernel, and the next one writes the whole table anew, in one
step: no packet ever sees half a table.

The only ordering that must hold: a chain that goes is emptied at once but deleted in a later
transaction, as kernels before 6.4 hold on to a chain until the map element that named it is
collected.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.fragment import ElementKey, Fragment

STALE_SECONDS = 1.0  # a chain is deleted so long after it was emptied


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transaction:
    """Text for ``nft -f -`` and what the kernel holds once it is taken, by name.

    In a partial one None says that a chain or set was emptied (it is deleted later) or that an
    element is gone.
    """

    text: str
    full: bool
    chains: Mapping[str, tuple[str, ...] | None]
    sets: Mapping[str, str | None]
    elements: Mapping[ElementKey, str | None]
    deleted: tuple[str, ...] = ()


@dataclass(slots=True)
class _Names:
    """What differs from the last transaction, by name. Dicts keep the order of arrival."""

    chains: dict[str, None] = field(default_factory=dict)
    sets: dict[str, None] = field(default_factory=dict)
    elements: dict[ElementKey, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chains or self.sets or self.elements)


class Ruleset:
    """Desired and applied state of one table. Not thread-safe; owned by one ServiceProxy."""

    def __init__(self, table: str, frame: Fragment, family: Family = IPV4) -> None:
        self._table = f"{family.word} {table}"
        self._removal = removal(table, family)
        self._frame = frame
        self._fragments: dict[Hashable, Fragment] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._sets: dict[str, str] = {}
        # Two services may claim one external IP and port: the owner that sorts first has it.
        self._claims: dict[ElementKey, dict[Hashable, str]] = {}
        self._applied_chains: dict[str, tuple[str, ...]] = {}
        self._applied_sets: dict[str, str] = {}
        self._applied_elements: dict[ElementKey, str] = {}
        self._stale: dict[str, float] = {}  # chain or set that is empty in the kernel -> since when
        self._changed = _Names()
        self._full = True

    @property
    def chains(self) -> Mapping[str, tuple[str, ...]]:
        """The desired chains of all owners, without the frame's."""
        return self._chains

    @property
    def elements(self) -> Mapping[ElementKey, str]:
        """The desired elements, conflicts resolved."""
        return {key: first_claim(claims) for key, claims in self._claims.items()}

    @property
    def owners(self) -> Iterable[Hashable]:
        return self._fragments.keys()

    @property
    def next_deletion(self) -> float | None:
        """When the oldest emptied chain became stale, in the planner's time; None: none is."""
        return min(self._stale.values(), default=None)

    def put(self, owner: Hashable, fragment: Fragment | None) -> bool:
        """Replace what an owner contributes (None: nothing any more). False if nothing changed."""
        old = self._fragments.get(owner, Fragment())
        new = fragment if fragment is not None else Fragment()
        if fragment is None:
            self._fragments.pop(owner, None)
        else:
            self._fragments[owner] = fragment
        if old == new:
            return False
        _replace(self._chains, old.chains, new.chains, self._changed.chains)
        _replace(self._sets, old.sets, new.sets, self._changed.sets)
        self._claim(owner, old.elements, new.elements)
        return True

    def plan(self, now: float) -> Transaction | None:
        """The next transaction, or None if the kernel has it all. End it by done() or failed()."""
        if self._full:
            self._changed = _Names()
            chains, sets, elements = dict(self._chains), dict(self._sets), self.elements
            return Transaction(self._full_text(), True, chains, sets, elements)
        deletions = tuple(
            name
            for name, since in self._stale.items()
            if now - since >= STALE_SECONDS and self._is_stale(name)
        )
        if not self._changed and not deletions:
            return None
        changed, self._changed = self._changed, _Names()
        transaction = Transaction(
            self._partial_text(changed, deletions),
            full=False,
            chains={name: self._chains.get(name) for name in changed.chains},
            sets={name: self._sets.get(name) for name in changed.sets},
            elements={key: self._winner(key) for key in changed.elements},
            deleted=deletions,
        )
        if not transaction.text:
            # What changed has changed back.
            self.done(transaction, now)
            return None
        return transaction

    def done(self, transaction: Transaction, now: float) -> None:
        """The kernel has taken the transaction."""
        if transaction.full:
            self._full = False
            self._stale.clear()
            self._applied_chains.clear()
            self._applied_sets.clear()
            self._applied_elements.clear()
        for name in transaction.deleted:
            del self._stale[name]
            self._applied_chains.pop(name, None)
            self._applied_sets.pop(name, None)
        self._note(transaction.chains, self._applied_chains, now, emptied=())
        self._note(transaction.sets, self._applied_sets, now, emptied="")
        for key, value in transaction.elements.items():
            if value is None:
                self._applied_elements.pop(key, None)
            else:
                self._applied_elements[key] = value

    def failed(self) -> None:
        """The kernel has refused the transaction, or may have: start over from nothing."""
        self._full = True

    def resync(self) -> None:
        """Write the whole table next time, whatever is known."""
        self._full = True

    # What is desired.

    def _claim(
        self,
        owner: Hashable,
        old: Mapping[ElementKey, str],
        new: Mapping[ElementKey, str],
    ) -> None:
        for key in old.keys() - new.keys():
            claims = self._claims[key]
            del claims[owner]
            if not claims:
                del self._claims[key]
            self._changed.elements[key] = None
        for key, value in new.items():
            if old.get(key) != value:
                self._claims.setdefault(key, {})[owner] = value
                self._changed.elements[key] = None

    def _winner(self, key: ElementKey) -> str | None:
        claims = self._claims.get(key)
        return first_claim(claims) if claims else None

    # Text.

    def _full_text(self) -> str:
        table = self._table
        lines = [*self._removal.splitlines(), f"table {table} {{"]
        sets = {**self._frame.sets, **self._sets}
        lines += [f"counter {name} {{ }}" for name in self._frame.counters]
        lines += [f"map {name} {{ {definition} }}" for name, definition in self._frame.maps.items()]
        lines += [f"set {name} {{ {definition} }}" for name, definition in sets.items()]
        # A chain must be declared before a rule names it, so all are, and the rules come after.
        chains = {**self._frame.chains, **self._chains}
        for name, rules in chains.items():
            hook = rules[0] if rules and rules[0].startswith("type ") else ""
            lines.append(f"chain {name} {{ {hook} }}")
        for name, rules in chains.items():
            body = [r for r in rules if not r.startswith("type ")]
            lines += [f"chain {name} {{", *body, "}"]
        lines.append("}")
        lines += self._add_elements(self.elements)
        return "\n".join(lines) + "\n"

    def _partial_text(self, changed: _Names, deletions: Iterable[str]) -> str:
        table = self._table
        lines = [
            f"add set {table} {name} {{ {self._sets[name]} }}"
            for name in changed.sets
            if name in self._sets and name not in self._applied_sets
        ]
        rewritten = [
            n for n in changed.chains if self._chains.get(n) != self._applied_chains.get(n)
        ]
        for name in rewritten:
            if name not in self._applied_chains:
                lines.append(f"add chain {table} {name}")
            else:
                lines.append(f"flush chain {table} {name}")
        for name in rewritten:
            lines += [f"add rule {table} {name} {r}" for r in self._chains.get(name, ())]
        lines += self._change_elements(changed.elements)
        # Chains first: the rules that named the sets were flushed when they became stale.
        for name in deletions:
            if name in self._applied_chains:
                lines.append(f"delete chain {table} {name}")
        for name in deletions:
            if name in self._applied_sets:
                lines.append(f"delete set {table} {name}")
        return "".join(f"{line}\n" for line in lines)

    def _is_stale(self, name: str) -> bool:
        return name not in self._chains and name not in self._sets

    def _change_elements(self, keys: Iterable[ElementKey]) -> list[str]:
        gone: dict[ElementKey, str] = {}
        added: dict[ElementKey, str] = {}
        for key in keys:
            old = self._applied_elements.get(key)
            new = self._winner(key)
            if old == new:
                continue
            if old is not None:
                gone[key] = old
            if new is not None:
                added[key] = new
        return self._statements("delete", gone) + self._add_elements(added)

    def _add_elements(self, elements: Mapping[ElementKey, str]) -> list[str]:
        return self._statements("add", elements)

    def _statements(self, verb: str, elements: Mapping[ElementKey, str]) -> list[str]:
        by_map: dict[str, list[str]] = {}
        for (map_name, key), value in elements.items():
            by_map.setdefault(map_name, []).append(f"{key} : {value}" if value else key)
        return [
            f"{verb} element {self._table} {map_name} {{ {', '.join(entries)} }}"
            for map_name, entries in by_map.items()
        ]

    # What is applied.

    def _note(
        self, sent: Mapping[str, T | None], applied: dict[str, T], now: float, emptied: T
    ) -> None:
        for name, value in sent.items():
            if value is not None:
                applied[name] = value
                self._stale.pop(name, None)
            elif name in applied:
                applied[name] = emptied
                self._stale.setdefault(name, now)


def removal(table: str, family: Family = IPV4) -> str:
    """A transaction that leaves no table, also when there is none."""
    return f"add table {family.word} {table}\ndelete table {family.word} {table}\n"


def first_claim(claims: Mapping[Hashable, str]) -> str:
    """The value of the owner that sorts first."""
    return claims[min(claims, key=str)] if len(claims) > 1 else next(iter(claims.values()))


def _replace(
    into: dict[str, T], old: Mapping[str, T], new: Mapping[str, T], changed: dict[str, None]
) -> None:
    for name in old.keys() - new.keys():
        del into[name]
        changed[name] = None
    for name, value in new.items():
        if name not in old or old[name] != value:
            into[name] = value
            changed[name] = None
