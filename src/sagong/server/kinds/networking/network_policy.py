"""Network policies."""

from sagong.api.types import Obj
from sagong.server.kinds.networking.network_policy_validation import validate_network_policy
from sagong.server.kinds.strategy import Strategy


def default(policy: Obj) -> None:
    """Empty rule lists are as good as absent, and are written so."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for name in ("ingress", "egress"):
        if spec.get(name) == []:
            del spec[name]
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for name in ("ingress", "egress"):
        for rule in spec.get(name) or ():
            for port in rule.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"


STRATEGY = Strategy(
    validate=validate_network_policy, default=default, has_generation=True, has_status=False
)
