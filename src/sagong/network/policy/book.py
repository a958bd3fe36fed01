"""The plan, kept in step with pods, namespaces and policies. Pure.

A change of a pod costs one look at each selection of its namespace and of all namespaces, a new
selection one look at each pod of the namespaces that it means; what did not change is not planned
anew.
"""

from collections import Counter
from collections.abc import Mapping

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
from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.fragment import ElementKey, Fragment
from sagong.network.tables.ruleset import Ruleset

Group = tuple[str, tuple[Key, ...]]  # direction and the policies that guard


class PolicyBook:
    """Feeds a Ruleset. ``put_...`` with None takes away."""

    def __init__(self, node_name: str, ruleset: Ruleset, family: Family = IPV4) -> None:
        self._node_name = node_name
        self._family = family
        self._ruleset = ruleset
        self._pods: dict[Key, PodFacts] = {}
        self._by_namespace: dict[str, set[Key]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._policies: dict[str, dict[Key, Policy]] = {}
        # Selections go by the names of their sets, which are much quicker to hash than they are.
        self._selections: Counter[str] = Counter()  # by how many policies name them
        # The same by the namespace that they are of, "" for those of several.
        self._selections_of: dict[str, dict[str, Selection]] = {}
        self._selected: dict[Key, dict[str, tuple[str, ...]]] = {}
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
        new = {set_name(s): s for s in selections_of(policy)} if policy else {}
        gone = {set_name(s): s for s in selections_of(old)} if old else {}
        self._change_selections(
            {name: s for name, s in new.items() if name not in gone},
            {name: s for name, s in gone.items() if name not in new},
        )
        # Before the groups that jump to it, and after those that did: the ruleset orders both.
        self._ruleset.put(("policy", key), plan_policy(policy, self._family) if policy else None)
        for pod in tuple(self._by_namespace.get(key.namespace, ())):
            if self._pods[pod].node == self._node_name:
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
        self._select(key)
        self._guard(key)

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        old = self._namespaces.pop(name, None)
        if labels is not None:
            self._namespaces[name] = labels
        if old != labels:
            for key in tuple(self._by_namespace.get(name, ())):
                self._select(key)
                self._write(key)

    # Which sets a pod is in.

    def _change_selections(
        self, new: Mapping[str, Selection], old: Mapping[str, Selection]
    ) -> None:
        changed: set[Key] = set()
        for name, selection in new.items():
            self._selections[name] += 1
            if self._selections[name] == 1:
                self._selections_of.setdefault(selection.namespace, {})[name] = selection
                self._ruleset.put(("selection", name), plan_selection(selection, self._family))
                changed |= self._enter(name, selection)
        for name, selection in old.items():
            self._selections[name] -= 1
            if not self._selections[name]:
                del self._selections[name]
                del self._selections_of[selection.namespace][name]
                self._ruleset.put(("selection", name), None)
                changed |= self._leave(name, selection)
        for key in changed:
            self._write(key)

    def _enter(self, name: str, selection: Selection) -> set[Key]:
        """Put into a new selection the pods that are in it; which."""
        entered: set[Key] = set()
        for namespace in (selection.namespace,) if selection.namespace else self._by_namespace:
            labels = self._namespaces.get(namespace, {})
            if not selection.namespaces.matches(labels):
                continue
            for key in self._by_namespace.get(namespace, ()):
                if addresses := selection.addresses(self._pods[key], labels):
                    self._selected.setdefault(key, {})[name] = addresses
                    entered.add(key)
        return entered

    def _leave(self, name: str, selection: Selection) -> set[Key]:
        """Take everyone out of a selection that nobody names any more; whom."""
        namespaces = (selection.namespace,) if selection.namespace else self._by_namespace
        keys = (key for n in namespaces for key in self._by_namespace.get(n, ()))
        return {key for key in keys if self._selected.get(key, {}).pop(name, None)}

    def _select(self, key: Key) -> None:
        """Find the selections that a pod is in."""
        self._selected.pop(key, None)
        pod = self._pods.get(key)
        if pod is None:
            return
        labels = self._namespaces.get(key.namespace, {})
        found = {
            name: addresses
            for namespace in (key.namespace, "")
            for name, selection in self._selections_of.get(namespace, {}).items()
            if (addresses := selection.addresses(pod, labels))
        }
        if found:
            self._selected[key] = found

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
            (name, address): ""
            for name, addresses in self._selected.get(key, {}).items()
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
