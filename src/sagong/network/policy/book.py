"""The plan, kept in step with pods, namespaces and policies. Pure.

A change of a pod costs one look at each selection, a new policy one look at each pod for each of
its new selections; nothing is planned anew that did not change.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from sagong.api.types import Key
from sagong.network.policy.model import PodFacts, Policy, Selection
from sagong.network.policy.rules import (
    EGRESS,
    INGRESS,
    LOOPBACKS,
    PODS,
    group_chain,
    plan_group,
    plan_policy,
    plan_selection,
    selections_of,
    set_name,
)
from sagong.network.tables.fragment import ElementKey, Fragment
from sagong.network.tables.ruleset import Ruleset

Group = tuple[str, tuple[Key, ...]]  # direction and the policies that guard


class PolicyBook:
    """Feeds a Ruleset. ``put_...`` with None takes away."""

    def __init__(self, node_name: str, ruleset: Ruleset) -> None:
        self._node_name = node_name
        self._ruleset = ruleset
        self._pods: dict[Key, PodFacts] = {}
        self._by_namespace: dict[str, set[Key]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._policies: dict[str, dict[Key, Policy]] = {}
        self._selections: Counter[Selection] = Counter()  # by how many policies name them
        self._selected: dict[Key, dict[Selection, tuple[str, ...]]] = {}
        self._groups: dict[Key, tuple[Group, ...]] = {}  # of each guarded pod of this node
        self._group_sizes: Counter[Group] = Counter()

    @property
    def has_policies(self) -> bool:
        return bool(self._policies)

    def put_policy(self, key: Key, policy: Policy | None) -> None:
        of_namespace = self._policies.setdefault(key.namespace, {})
        old = of_namespace.pop(key, None)
        if policy is not None:
            of_namespace[key] = policy
        if not of_namespace:
            del self._policies[key.namespace]
        new_selections = set(selections_of(policy)) if policy else set()
        old_selections = set(selections_of(old)) if old else set()
        self._change_selections(new_selections - old_selections, old_selections - new_selections)
        # Before the groups that jump to it, and after those that did: the ruleset orders both.
        self._ruleset.put(("policy", key), plan_policy(policy) if policy else None)
        for pod in tuple(self._by_namespace.get(key.namespace, ())):
            self._guard(pod)

    def put_pod(self, key: Key, pod: PodFacts | None) -> None:
        if self._pods.get(key) == pod:
            return
        if pod is None:
            del self._pods[key]
            self._by_namespace[key.namespace].discard(key)
        else:
            self._pods[key] = pod
            self._by_namespace.setdefault(key.namespace, set()).add(key)
        self._select(key, self._selections)
        self._guard(key)

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        old = self._namespaces.pop(name, None)
        if labels is not None:
            self._namespaces[name] = labels
        if old != labels:
            for key in tuple(self._by_namespace.get(name, ())):
                self._select(key, self._selections)
                self._write(key)

    # Which sets a pod is in.

    def _change_selections(self, new: Iterable[Selection], old: Iterable[Selection]) -> None:
        changed: set[Selection] = set()
        for selection in new:
            self._selections[selection] += 1
            if self._selections[selection] == 1:
                self._ruleset.put(("selection", selection), plan_selection(selection))
                changed.add(selection)
        for selection in old:
            self._selections[selection] -= 1
            if not self._selections[selection]:
                del self._selections[selection]
                self._ruleset.put(("selection", selection), None)
                changed.add(selection)
        if changed:
            for key in self._pods:
                if self._select(key, changed):
                    self._write(key)

    def _select(self, key: Key, selections: Iterable[Selection]) -> bool:
        """Look at a pod with some of the selections; whether its place in any changed."""
        pod = self._pods.get(key)
        before = self._selected.get(key, {})
        after = dict(before)
        labels = self._namespaces.get(key.namespace, {})
        for selection in selections:
            wanted = pod is not None and selection in self._selections
            addresses = selection.addresses(pod, labels) if pod is not None and wanted else ()
            if addresses:
                after[selection] = addresses
            else:
                after.pop(selection, None)
        if after:
            self._selected[key] = after
        else:
            self._selected.pop(key, None)
        return after != before

    # Who guards a pod.

    def _guard(self, key: Key) -> None:
        pod = self._pods.get(key)
        groups = self._groups_of(pod) if pod is not None and pod.node == self._node_name else ()
        before = self._groups.pop(key, ())
        if groups:
            self._groups[key] = groups
        for group in groups:
            self._group_sizes[group] += 1
            if self._group_sizes[group] == 1:
                self._ruleset.put(("group", group), plan_group(*group))
        self._write(key)
        for group in before:
            self._group_sizes[group] -= 1
            if not self._group_sizes[group]:
                del self._group_sizes[group]
                self._ruleset.put(("group", group), None)

    def _groups_of(self, pod: PodFacts) -> tuple[Group, ...]:
        policies = [
            policy
            for policy in self._policies.get(pod.key.namespace, {}).values()
            if policy.pods.matches(pod.labels)
        ]
        ingress = tuple(sorted((p.key for p in policies if p.ingress is not None), key=str))
        egress = tuple(sorted((p.key for p in policies if p.egress is not None), key=str))
        found = ((INGRESS, ingress), (EGRESS, egress))
        return tuple((direction, keys) for direction, keys in found if keys)

    def _write(self, key: Key) -> None:
        """The elements that a pod adds to sets and maps."""
        elements: dict[ElementKey, str] = {
            (set_name(selection), address): ""
            for selection, addresses in self._selected.get(key, {}).items()
            for address in addresses
        }
        groups = self._groups.get(key, ())
        for direction, policies in groups:
            chain = group_chain(direction, policies)
            elements[PODS[direction], self._pods[key].ip] = f"goto {chain}"
        if groups:
            ip = self._pods[key].ip
            elements[LOOPBACKS, f"{ip} . {ip}"] = ""
        self._ruleset.put(("pod", key), Fragment(elements=elements) if elements else None)
