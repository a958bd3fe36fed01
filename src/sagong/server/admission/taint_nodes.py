"""TaintNodesByCondition: a new node takes no pods until its conditions have been looked at.

Source of semantics: upstream's ``plugin/pkg/admission/nodetaint``.
"""

from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Mutating, created

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Mutating):
    name = "TaintNodesByCondition"
    resources = frozenset(("nodes",))

    async def admit(self, attributes: Attributes) -> None:
        node = created(attributes, "nodes")
        if node is None:
            return
        spec = node.setdefault("spec", {})
        taints = spec.get("taints") or []
        if all((t.get("key"), t.get("effect")) != tuple(_NOT_READY.values()) for t in taints):
            spec["taints"] = [*taints, dict(_NOT_READY)]
