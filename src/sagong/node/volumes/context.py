"""What a volume source is given to do its work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.node.api_objects import ApiObjects
from sagong.node.pods.downward import NodeFacts


@dataclass(frozen=True, slots=True)
class VolumeContext:
    """One pod's view. ``directory`` is the pod's own."""

    pod: Obj
    directory: Path
    objects: ApiObjects
    node: NodeFacts
    clock: Clock
    pod_ips: Sequence[str] = ()

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def fs_group(self) -> int | None:
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    @property
    def only_on_mismatch(self) -> bool:
        """fsGroupChangePolicy: a volume whose root fits the group is left as it is."""
        context = self.pod["spec"].get("securityContext") or {}
        return context.get("fsGroupChangePolicy") == "OnRootMismatch"

    @property
    def owner(self) -> int | None:
        """The user that all containers agree to run as, for whom token files are readable."""
        spec = self.pod["spec"]
        of_pod = (spec.get("securityContext") or {}).get("runAsUser")
        users = {
            (container.get("securityContext") or {}).get("runAsUser", of_pod)
            for container in (*(spec.get("initContainers") or ()), *spec["containers"])
        }
        only = users.pop() if len(users) == 1 else None
        return None if only is None else int(only)

    def volume_dir(self, plugin: str, name: str) -> Path:
        """Where a volume of the pod is mounted: upstream's layout."""
        return self.directory / "volumes" / f"kubernetes.io~{plugin}" / name
