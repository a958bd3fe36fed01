"""A part of a table: chains, sets, maps and elements. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Which element of a map or set: (map or set, key).
ElementKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fragment:
    """Chains (name -> rules), sets and maps (name -> definition), and their elements.

    Maps and counters are a frame's alone.
    """

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    elements: Mapping[ElementKey, str] = field(default_factory=dict)  # "" in plain sets
    maps: Mapping[str, str] = field(default_factory=dict)
    counters: tuple[str, ...] = ()


def merged(fragments: Iterable[Fragment]) -> Fragment:
    """One fragment of several that share no chain; of a shared element the first stays."""
    chains: dict[str, tuple[str, ...]] = {}
    sets: dict[str, str] = {}
    elements: dict[ElementKey, str] = {}
    for fragment in fragments:
        chains.update(fragment.chains)
        sets.update(fragment.sets)
        for key, value in fragment.elements.items():
            elements.setdefault(key, value)
    return Fragment(chains, sets, elements)


def hook(type_: str, hook: str, priority: int) -> str:
    """The first "rule" of a base chain."""
    return f"type {type_} hook {hook} priority {priority}; policy accept;"
