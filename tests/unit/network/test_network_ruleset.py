"""Any sequence of changes leaves the kernel with exactly what is desired.

The kernel is stood for by an interpreter of the few nft statements that transactions are made of,
which refuses what the kernel refuses: unknown names, duplicates, deleting what is referred to.
"""

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagong.api.types import Key
from sagong.network.proxy.endpoints import Chosen, Endpoint
from sagong.network.proxy.rules import (
    Config,
    frame,
    plan_port,
)
from sagong.network.proxy.services import ServicePort
from sagong.network.tables.fragment import Fragment
from sagong.network.tables.ruleset import STALE_SECONDS, Ruleset

CONFIG = Config("10.244.0.0/16", "10.96.0.0/16", "sagong-cni0")
_GOTO = re.compile(r"(?:goto|jump) ([^\s,}]+)")
_SET = re.compile(r"@([^\s]+)")


@dataclass
class Table:
    """What a kernel holds of a table."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    sets: set[str] = field(default_factory=set)
    elements: dict[tuple[str, str], str] = field(default_factory=dict)

    def apply(self, text: str) -> None:
        if text.startswith("add table"):
            self._replace(text)
        else:
            for line in text.splitlines():
                self._statement(line)
        self._check()

    def _replace(self, text: str) -> None:
        self.chains, self.sets, self.elements = {}, set(), {}
        _, _, body = text.partition("table ip sagong {\n")
        block, _, rest = body.rpartition("\n}\n")
        current: list[str] | None = None
        for line in block.splitlines():
            words = line.split()
            if line == "}":
                current = None
            elif current is not None:
                current.append(line)
            elif words[0] in ("map", "set"):
                self.sets.add(words[1])
            else:
                assert words[0] == "chain"
                chain = self.chains.setdefault(words[1], [])
                current = None if line.endswith("}") else chain
        for line in rest.splitlines():
            self._statement(line)

    def _statement(self, line: str) -> None:
        verb, kind, _, _, name, *rest = line.split(" ")
        body = " ".join(rest)
        if (verb, kind) == ("add", "chain"):
            assert name not in self.chains
            self.chains[name] = []
        elif (verb, kind) == ("flush", "chain"):
            self.chains[name].clear()
        elif (verb, kind) == ("delete", "chain"):
            assert self.chains.pop(name) == []
        elif (verb, kind) == ("add", "rule"):
            self.chains[name].append(body)
        elif (verb, kind) == ("add", "set"):
            assert name not in self.sets
            self.sets.add(name)
        elif (verb, kind) == ("delete", "set"):
            self.sets.remove(name)
        else:
            self._elements(verb, name, body)

    def _elements(self, verb: str, name: str, body: str) -> None:
        assert name in self.sets
        for entry in body.strip("{} ").split(", "):
            key, _, value = entry.partition(" : ")
            if verb == "add":
                assert (name, key) not in self.elements
                self.elements[name, key] = value
            else:
                assert self.elements.pop((name, key)) == value

    def _check(self) -> None:
        rules = [rule for chain in self.chains.values() for rule in chain]
        for text in (*rules, *self.elements.values()):
            assert set(_GOTO.findall(text)) <= self.chains.keys()
            assert set(_SET.findall(text)) <= self.sets


def port_of(index: int, affinity: int | None, node_port: int) -> ServicePort:
    return ServicePort(
        Key("default", f"s{index}"),
        "http",
        "tcp",
        80,
        f"10.96.0.{index + 1}",
        node_port=node_port,
        # All services want this one: whoever sorts first has it.
        external_ips=("203.0.113.1",),
        affinity_seconds=affinity,
    )


def fragment(index: int, count: int, affinity: int | None, node_port: int) -> Fragment:
    endpoints = tuple(Endpoint(f"10.244.0.{i + 1}", 8080) for i in range(count))
    port = port_of(index, affinity, node_port)
    return plan_port(port, Chosen(endpoints, (), anywhere=bool(endpoints)), CONFIG)


CHANGE = st.tuples(
    st.integers(0, 3),  # service
    st.one_of(
        st.none(),
        st.tuples(st.integers(0, 3), st.sampled_from([None, 10, 20]), st.sampled_from([0, 30001])),
    ),
)
STEP = st.tuples(
    st.lists(CHANGE, max_size=4),
    st.sampled_from([0.0, STALE_SECONDS / 2, STALE_SECONDS * 2]),  # time that passes
    st.sampled_from(["taken", "taken", "taken", "refused", "changed meanwhile"]),
    CHANGE,
)


def put(ruleset: Ruleset, change: tuple[int, tuple[int, int | None, int] | None]) -> None:
    index, content = change
    ruleset.put(index, None if content is None else fragment(index, *content))


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_the_kernel_has_what_is_desired(steps: list) -> None:  # type: ignore[type-arg]
    ruleset, table, now = Ruleset("sagong", frame(CONFIG)), Table(), 0.0
    for changes, passed, outcome, late in [*steps, ([], 2 * STALE_SECONDS, "taken", None)]:
        now += passed
        for change in changes:
            put(ruleset, change)
        transaction = ruleset.plan(now)
        if transaction is None:
            continue
        if outcome == "refused":
            ruleset.failed()
            continue
        table.apply(transaction.text)
        if outcome == "changed meanwhile":
            put(ruleset, late)
        ruleset.done(transaction, now)
        if outcome == "taken":
            check(ruleset, table)
    for _ in range(2):
        now += 2 * STALE_SECONDS
        if (transaction := ruleset.plan(now)) is not None:
            table.apply(transaction.text)
            ruleset.done(transaction, now)
    check(ruleset, table)
    assert ruleset.plan(now + 10) is None
    assert table.chains.keys() == ruleset.chains.keys() | frame(CONFIG).chains.keys()
    affinity_sets = {s for s in table.sets if s.startswith("affinity")}
    assert table.sets == {*frame(CONFIG).sets, *frame(CONFIG).maps} | affinity_sets
    assert {s for rules in ruleset.chains.values() for r in rules for s in _SET.findall(r)} == (
        affinity_sets
    )


def check(ruleset: Ruleset, table: Table) -> None:
    assert table.elements == ruleset.elements
    for name, rules in ruleset.chains.items():
        assert table.chains[name] == list(rules)
    for name, found in table.chains.items():
        if name not in ruleset.chains and name not in frame(CONFIG).chains:
            assert found == []


def test_a_transaction_says_only_what_changed() -> None:
    ruleset = Ruleset("sagong", frame(CONFIG))
    for index in range(50):
        ruleset.put(index, fragment(index, 3, None, 0))
    full = ruleset.plan(0.0)
    assert full is not None
    assert full.full
    ruleset.done(full, 0.0)
    assert ruleset.plan(0.0) is None
    ruleset.put(7, fragment(7, 2, None, 0))
    partial = ruleset.plan(0.1)
    assert partial is not None
    assert not partial.full
    lines = partial.text.splitlines()
    assert len([line for line in lines if line.startswith("add rule")]) == 1
    assert len([line for line in lines if line.startswith("flush chain")]) == 1
    assert all("/s7/" in line for line in lines)


def test_the_same_again_is_no_change() -> None:
    ruleset = Ruleset("sagong", frame(CONFIG))
    assert ruleset.put(1, fragment(1, 2, None, 0))
    assert not ruleset.put(1, fragment(1, 2, None, 0))


def test_a_refused_transaction_is_followed_by_everything() -> None:
    ruleset = Ruleset("sagong", frame(CONFIG))
    first = ruleset.plan(0.0)
    assert first is not None
    ruleset.done(first, 0.0)
    ruleset.put(1, fragment(1, 2, None, 0))
    assert ruleset.plan(1.0) is not None
    ruleset.failed()
    again = ruleset.plan(2.0)
    assert again is not None
    assert again.full
    assert "10.244.0.2" in again.text


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_claims_one_wins_whatever_the_order(first: int) -> None:
    ruleset = Ruleset("sagong", frame(CONFIG))
    for index in (first, 1 - first):
        ruleset.put(index, fragment(index, 1, None, 0))
    shared = ("service-ips", "203.0.113.1 . tcp . 80")
    assert "/s0/" in ruleset.elements[shared]
    ruleset.put(0, None)
    assert "/s1/" in ruleset.elements[shared]
