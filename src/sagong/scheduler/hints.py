"""Queueing hints: which happenings can change a plugin's mind about a pod (KEP-4247).

A pod that a plugin refused is tried again when one of these says so, and not before: trying all of
them at every event is what makes a full cluster slow. When in doubt a hint says yes.
"""

from collections.abc import Callable, Mapping

from sagong.api.meta import name_of, namespace_of
from sagong.scheduler.columns import NodeFacts
from sagong.scheduler.filters.taint_toleration import intolerable
from sagong.scheduler.happenings import (
    Anything,
    DevicesChanged,
    Happening,
    NodeChanged,
    PodChanged,
    Storage,
    StorageChanged,
)
from sagong.scheduler.node_selectors import required_of
from sagong.scheduler.pod import PodFacts, Template
from sagong.scheduler.terms import OwnedTerm, PodTerms, canonical

Hint = Callable[[PodFacts, Happening, PodTerms], bool]
EXTENDER = "extender"
DEVICES = "DynamicResources"


def helps(pod: PodFacts, refused_by: frozenset[str], happening: Happening, terms: PodTerms) -> bool:
    """Whether what happened may help a pod that these plugins refused."""
    if not refused_by or isinstance(happening, Anything):
        return True
    return any(HINTS.get(plugin, _always)(pod, happening, terms) for plugin in refused_by)


def _always(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    return True


def _node_improves(happening: Happening, fine: Callable[[NodeFacts], bool]) -> bool:
    """Whether a node is fine now and was not before."""
    if not isinstance(happening, NodeChanged) or happening.new is None:
        return False
    return fine(happening.new) and (happening.old is None or not fine(happening.old))


def _unschedulable(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    return _node_improves(happening, lambda node: not node.unschedulable)


def _node_name(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    return _node_improves(happening, lambda node: node.name == pod.node_name)


def _taints(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    return _node_improves(happening, lambda node: not intolerable(pod.template, node.taints))


def _node_affinity(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    return _node_improves(happening, lambda node: _admits(pod.template, node))


def _admits(template: Template, node: NodeFacts) -> bool:
    wanted = template.node_selector.items()
    required = required_of(template)
    return all(node.labels.get(key) == value for key, value in wanted) and (
        required is None or required.matches(node.name, node.labels)
    )


def _ports(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, NodeChanged):
        return happening.old is None
    if not isinstance(happening, PodChanged) or happening.new is not None:
        return False
    gone = {(protocol, port) for protocol, _, port in _of(happening.old).host_ports}
    return any((protocol, port) in gone for protocol, _, port in pod.host_ports)


def _of(pod: PodFacts | None) -> PodFacts:
    assert pod is not None, "a change has an old or a new side"
    return pod


def _resources(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, PodChanged):
        if happening.new is None:
            return True
        before = happening.old
        return before is not None and any(
            before.requests.get(r, 0) > happening.new.requests.get(r, 0)
            for r, wanted in pod.requests.items()
            if wanted
        )
    if not isinstance(happening, NodeChanged) or happening.new is None:
        return False
    new, old = happening.new.allocatable, happening.old
    wanted = {r: n for r, n in pod.requests.items() if n}
    if any(new.get(r, 0) < n for r, n in wanted.items()):
        return False
    return old is None or any(new.get(r, 0) > old.allocatable.get(r, 0) for r in wanted)


def _spread(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    keys = [c["topologyKey"] for c in pod.template.spread]
    if isinstance(happening, NodeChanged):
        return _labels_differ(happening, keys)
    if not isinstance(happening, PodChanged):
        return False
    selectors = [canonical(c.get("labelSelector")) for c in pod.template.spread]
    sides = [
        p for p in (happening.old, happening.new) if p and p.key.namespace == pod.key.namespace
    ]
    # Constraints by default have a selector that is not known here.
    return any(not selectors or _matches_any(p, selectors, terms) for p in sides)


def _matches_any(pod: PodFacts, selectors: list[bytes], terms: PodTerms) -> bool:
    return any(terms.selectors.matches(selector, pod.labels) for selector in selectors)


def _labels_differ(happening: NodeChanged, keys: list[str]) -> bool:
    """Whether a node's place in the topology is new."""
    old = happening.old.labels if happening.old else {}
    new = happening.new.labels if happening.new else {}
    if happening.old is None or happening.new is None:
        return not keys or any(key in old or key in new for key in keys)
    return any(old.get(key) != new.get(key) for key in keys)


def _pod_affinity(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    own = terms.own("required", pod.template)
    against = terms.own("required-anti", pod.template)
    if isinstance(happening, NodeChanged):
        keys = [term.topology_key for term in (*own, *against)]
        return happening.new is not None and _labels_differ(happening, keys)
    if not isinstance(happening, PodChanged):
        return False
    old, new = happening.old, happening.new
    if new is not None and _spoken_of(own, new, terms):
        return True
    if old is None or (new is not None and new.template is old.template):
        return False
    others = terms.own("required-anti", old.template)
    return _spoken_of(against, old, terms) or _spoken_of(others, pod, terms)


def _spoken_of(spoken: list[OwnedTerm], pod: PodFacts, terms: PodTerms) -> bool:
    return any(terms.concerns(term, pod.template) for term in spoken)


def _own_claim(pod: PodFacts, happening: StorageChanged) -> bool:
    claim = happening.new or happening.old
    return (
        claim is not None
        and namespace_of(claim) == pod.key.namespace
        and name_of(claim) in pod.claims
    )


def _volume_binding(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, NodeChanged):
        return happening.new is not None
    if not isinstance(happening, StorageChanged):
        return False
    return happening.kind is not Storage.CLAIM or _own_claim(pod, happening)


def _volume_restrictions(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, PodChanged) and happening.new is None:
        gone = _of(happening.old)
        shared = gone.key.namespace == pod.key.namespace and bool({*gone.claims} & {*pod.claims})
        return shared or bool(gone.template.disks)
    if isinstance(happening, StorageChanged):
        return happening.kind is Storage.CLAIM and _own_claim(pod, happening)
    return isinstance(happening, NodeChanged) and happening.old is None


def _volume_limits(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, PodChanged):
        return happening.new is None and bool(_of(happening.old).claims)
    if isinstance(happening, StorageChanged):
        return happening.kind is Storage.NODE or _own_claim(pod, happening)
    return isinstance(happening, NodeChanged) and happening.old is None


def _volume_zone(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, NodeChanged):
        old = happening.old.labels if happening.old else None
        return happening.new is not None and happening.new.labels != old
    return isinstance(happening, StorageChanged) and _volume_binding(pod, happening, terms)


def _devices(pod: PodFacts, happening: Happening, terms: PodTerms) -> bool:
    if isinstance(happening, NodeChanged):
        return happening.old is None
    return isinstance(happening, DevicesChanged)


HINTS: Mapping[str, Hint] = {
    "NodeUnschedulable": _unschedulable,
    "NodeName": _node_name,
    "TaintToleration": _taints,
    "NodeAffinity": _node_affinity,
    "NodePorts": _ports,
    "NodeResourcesFit": _resources,
    "VolumeRestrictions": _volume_restrictions,
    "NodeVolumeLimits": _volume_limits,
    "VolumeBinding": _volume_binding,
    "VolumeZone": _volume_zone,
    "PodTopologySpread": _spread,
    "InterPodAffinity": _pod_affinity,
    DEVICES: _devices,
    EXTENDER: _always,
}
