"""API services: who serves a group and version."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    obj.setdefault("status", {})


def prepare_for_create(obj: Obj) -> None:
    """Locally served groups are available from the start."""
    obj["status"] = {}
    if obj["spec"].get("service") is None:
        obj["status"]["conditions"] = [
            {
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": obj["metadata"].get("creationTimestamp"),
            }
        ]


STRATEGY = Strategy(
    default=default, prepare_for_create=prepare_for_create, name_rule="path-segment"
)
