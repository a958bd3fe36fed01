"""DefaultTolerationSeconds: pods stay five minutes on a node that is gone or not ready.

Source of semantics: upstream's ``plugin/pkg/admission/defaulttolerationseconds``.
"""

from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Mutating, created, updated

DEFAULT_SECONDS = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Mutating):
    name = "DefaultTolerationSeconds"
    resources = frozenset(("pods",))

    async def admit(self, attributes: Attributes) -> None:
        both = updated(attributes, "pods")
        pod = both[0] if both else created(attributes, "pods")
        if pod is None:
            return
        tolerations = pod["spec"].get("tolerations") or []
        missing = [taint for taint in _TAINTS if not any(_tolerates(t, taint) for t in tolerations)]
        if missing:
            pod["spec"]["tolerations"] = [*tolerations, *map(_toleration, missing)]


def _tolerates(toleration: Obj, taint: str) -> bool:
    return (toleration.get("key") or taint) == taint and (
        toleration.get("effect") or "NoExecute"
    ) == "NoExecute"


def _toleration(taint: str) -> Obj:
    return {
        "key": taint,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": DEFAULT_SECONDS,
    }
