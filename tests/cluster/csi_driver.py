"""A CSI driver of our own: volumes are directories (or loop devices) below one of its own.

It serves the registration and the Node service as a driver's containers do, keeps what it was
told, and fails on request.
"""

import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tests.cluster.plugin_sockets import both_sockets, handlers

from sagong.node.csi.driver import csi_messages
from sagong.node.plugins.registry import registration_messages
from sagong.node.volumes import mounts

NAME = "hostpath.sagong.example"
_TYPE = "NodeServiceCapability.RPC.Type"


@dataclass
class CsiDriver:
    """One driver on one node; ``calls`` has (method, request) in order."""

    directory: Path
    name: str = NAME
    capabilities: tuple[str, ...] = (
        "STAGE_UNSTAGE_VOLUME",
        "EXPAND_VOLUME",
        "GET_VOLUME_STATS",
        "VOLUME_CONDITION",
    )
    shared: Path | None = None  # where the data of several nodes' drivers is
    node_id: str = "node-id-1"
    topology: dict[str, str] = field(default_factory=dict)
    volumes_max: int = 0
    versions: tuple[str, ...] = ("1.0.0",)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    failures: dict[str, tuple[grpc.StatusCode, str]] = field(default_factory=dict)
    told: list[tuple[bool, str]] = field(default_factory=list)  # registration status
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def staged(self) -> list[str]:
        return self._balance("NodeStageVolume", "NodeUnstageVolume")

    @property
    def published(self) -> list[str]:
        return self._balance("NodePublishVolume", "NodeUnpublishVolume")

    def _balance(self, up: str, down: str) -> list[str]:
        """Volumes of which something is left up, whatever was repeated."""
        at: dict[tuple[str, str], bool] = {}
        for method, request in self.calls:
            if method in (up, down):
                path = getattr(request, "target_path", "") or request.staging_target_path
                at[request.volume_id, path] = method == up
        return sorted(volume for (volume, _), is_up in at.items() if is_up)

    def methods(self) -> list[str]:
        return [method for method, _ in self.calls if "Get" not in method]

    def last(self, method: str) -> Any:
        return next(request for name, request in reversed(self.calls) if name == method)

    def data(self, volume_id: str) -> Path:
        """The files of a volume."""
        return (self.shared or self.directory) / "volumes" / volume_id

    @contextlib.asynccontextmanager
    async def serving(self, registry: Path) -> AsyncIterator[None]:
        """Both sockets; the registration's lies in ``registry`` while the block runs."""
        endpoint, registration = self.directory / "csi.sock", registry / f"{self.name}-reg.sock"
        services = [handlers(csi_messages(), "Node", self._answer)]
        async with both_sockets(endpoint, services, registration, self._register):
            yield

    def _register(self, method: str, request: Any, context: Any) -> Any:
        if method == "GetInfo":
            return registration_messages().make(
                "PluginInfo",
                type="CSIPlugin",
                name=self.name,
                endpoint=str(self.directory / "csi.sock"),
                supported_versions=list(self.versions),
            )
        self.told.append((request.plugin_registered, request.error))
        return registration_messages().make("RegistrationStatusResponse")

    def _answer(self, method: str, request: Any, context: Any) -> Any:
        self.calls.append((method, request))
        failure = self.failures.get(method)
        if failure is not None:
            context.set_code(failure[0])
            context.set_details(failure[1])
            return csi_messages().make(f"{method}Response")
        made: Callable[[Any], dict[str, Any] | None] = getattr(self, f"_{method}")
        return csi_messages().make(f"{method}Response", **(made(request) or {}))

    def _NodeGetInfo(self, request: Any) -> dict[str, Any]:
        return {
            "node_id": self.node_id,
            "max_volumes_per_node": self.volumes_max,
            "accessible_topology": {"segments": self.topology},
        }

    def _NodeGetCapabilities(self, request: Any) -> dict[str, Any]:
        numbers = [csi_messages().enum_number(_TYPE, name) for name in self.capabilities]
        return {"capabilities": [{"rpc": {"type": number}} for number in numbers]}

    def _NodeStageVolume(self, request: Any) -> None:
        target = Path(request.staging_target_path)
        if request.volume_capability.HasField("block"):
            return
        self.data(request.volume_id).mkdir(parents=True, exist_ok=True)
        if not mounts.is_mount_point(target):
            mounts.bind(str(self.data(request.volume_id)), target)

    def _NodeUnstageVolume(self, request: Any) -> None:
        mounts.unmount(Path(request.staging_target_path))

    def _NodePublishVolume(self, request: Any) -> None:
        target = Path(request.target_path)
        if mounts.is_mount_point(target):
            return
        if request.volume_capability.HasField("block"):
            target.touch()
            mounts.bind(str(self._device(request.volume_id)), target)
            return
        source = request.staging_target_path or str(self.data(request.volume_id))
        Path(source).mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True)
        mounts.bind(source, target)

    def _NodeUnpublishVolume(self, request: Any) -> None:
        target = Path(request.target_path)
        mounts.unmount(target)
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)

    def _NodeExpandVolume(self, request: Any) -> dict[str, Any]:
        self.sizes[request.volume_id] = request.capacity_range.required_bytes
        return {"capacity_bytes": request.capacity_range.required_bytes}

    def _NodeGetVolumeStats(self, request: Any) -> dict[str, Any]:
        bytes_ = csi_messages().enum_number("VolumeUsage.Unit", "BYTES")
        usage = {"available": 60, "total": 100, "used": 40, "unit": bytes_}
        return {"usage": [usage], "volume_condition": {"abnormal": True, "message": "worn out"}}

    def _device(self, volume_id: str) -> Path:
        """A loop device of 8 MiB; it lives as long as its file is attached."""
        image = self.data(volume_id).with_suffix(".img")
        image.parent.mkdir(parents=True, exist_ok=True)
        if not image.exists():
            image.write_bytes(b"sagong" + bytes(8 << 20))
        command = ["losetup", "--find", "--show", str(image)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.loops.append(done.stdout.strip())
        return Path(done.stdout.strip())

    loops: list[str] = field(default_factory=list)

    def detach_devices(self) -> None:
        for loop in self.loops:
            subprocess.run(["losetup", "--detach", loop], check=False)
