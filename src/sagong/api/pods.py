"""What several components read off a pod in the same way."""

from collections.abc import Sequence

from sagong.api.meta import name_of
from sagong.api.types import Obj

FINISHED = frozenset({"Succeeded", "Failed"})


def phase_of(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_finished(pod: Obj) -> bool:
    """Succeeded or Failed; such a pod never runs again and takes no room on its node."""
    return phase_of(pod) in FINISHED


def claims_of(pod: Obj, *, ephemeral: bool = True) -> list[str]:
    """Names of the claims that a pod's volumes need; its generic ephemeral ones if asked for."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral") and ephemeral:
            found.append(f"{name_of(pod)}-{volume['name']}")
    return found


def addresses_of(pod: Obj) -> Sequence[str]:
    """Its addresses, at most one of each family, the primary one first."""
    status = pod.get("status") or {}
    if ips := status.get("podIPs"):
        return [entry["ip"] for entry in ips]
    return [status["podIP"]] if status.get("podIP") else []
