"""The devices of a node: what plugins offer, and what containers have been given.

The books outlive the agent (a checkpoint file): a container that runs keeps its devices, whoever
restarts. Devices of a plugin that has gone count as unhealthy.
"""

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from sagong.api.types import Obj
from sagong.core.atomic_files import write_atomically
from sagong.core.protobuf import MessageSet
from sagong.core.tasks import Tasks
from sagong.node.alignment.asked import at_once, lasting_containers
from sagong.node.alignment.failures import AllotmentFailure
from sagong.node.alignment.hints import Hint, Hints
from sagong.node.alignment.topology import Topology
from sagong.node.devices.choice import (
    DeviceShortage,
    Offer,
    choose,
    free_devices,
    nearest_first,
)
from sagong.node.plugins.channel import PluginChannel, PluginFailure
from sagong.node.pods.container_config import DevicePlan, MountPlan
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import is_sidecar

log = logging.getLogger(__name__)

HEALTHY = "Healthy"
CHECKPOINT = "kubelet_internal_checkpoint"
NOWHERE: frozenset[int] = frozenset()


@cache
def messages() -> MessageSet:
    return MessageSet.load("v1beta1", __package__, "deviceplugin_v1beta1.json")


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """What a container is started with for its devices."""

    devices: Sequence[DevicePlan] = ()
    mounts: Sequence[MountPlan] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cdi_devices: Sequence[str] = ()


@dataclass(slots=True)
class _Plugin:
    """A plugin that serves one resource."""

    channel: PluginChannel
    pre_start: bool
    prefers: bool


@dataclass(frozen=True, slots=True)
class _Grant:
    """The devices of one resource that one container has, and the plugin's answer."""

    ids: tuple[str, ...]
    answer: bytes


@dataclass(frozen=True, slots=True)
class _Wish:
    """So many devices of a resource, at these NUMA nodes if it can be; None for anywhere."""

    resource: str
    count: int
    nodes: frozenset[int] | None


class DevicePool:
    """One an agent. ``changed`` is told of a resource of which the node offers something else
    than before."""

    def __init__(self, directory: Path, topology: Topology, changed: Callable[[str], None]) -> None:
        self.directory = directory
        self._topology = topology
        self._changed = changed
        self._plugins: dict[str, _Plugin] = {}
        self._devices: dict[str, dict[str, bool]] = {}  # resource: id: healthy
        self._near: dict[str, dict[str, frozenset[int]]] = {}  # resource: id: NUMA nodes
        self._grants: dict[str, dict[str, dict[str, _Grant]]] = {}

    def offers(self) -> Mapping[str, Offer]:
        """What the node has, by resource; of a plugin that has gone nothing."""
        return {
            resource: Offer(len(devices), sum(devices.values()))
            for resource, devices in self._devices.items()
        }

    def healthy(self) -> Mapping[str, Sequence[str]]:
        """The devices that may be given, by resource."""
        return {
            resource: sorted(device for device, well in devices.items() if well)
            for resource, devices in self._devices.items()
        }

    # Plugins

    async def follow(
        self, tasks: Tasks, resource: str, endpoint: str, *, pre_start: bool, prefers: bool
    ) -> None:
        """Take a plugin; one that served the resource before is replaced."""
        old = self._plugins.pop(resource, None)
        if old is not None:
            await old.channel.close()
        channel = PluginChannel(self.directory / endpoint, messages(), "DevicePlugin")
        plugin = self._plugins[resource] = _Plugin(channel, pre_start, prefers)
        tasks.start(self._watch(resource, plugin), name=f"devices {resource}")

    async def _watch(self, resource: str, plugin: _Plugin) -> None:
        """Keep the list of devices until the plugin ends."""
        try:
            async for answer in plugin.channel.stream("ListAndWatch"):
                found = {device.ID: device.health == HEALTHY for device in answer.devices}
                self._near[resource] = {
                    device.ID: frozenset(node.ID for node in device.topology.nodes)
                    for device in answer.devices
                }
                self._note(resource, found)
        except PluginFailure as error:
            log.info("device plugin of %s: %s", resource, error)
        finally:
            await plugin.channel.close()
        if self._plugins.get(resource) is plugin:
            del self._plugins[resource]
            self._note(resource, {})

    def _note(self, resource: str, devices: dict[str, bool]) -> None:
        if self._devices.get(resource) != devices:
            self._devices[resource] = devices
            self._changed(resource)

    # Pods

    def hints(self, pod: Obj, kind: Kind, container: Obj) -> Hints:
        wanted = self._wanted(container)
        return {
            resource: self._hints(resource, count, self._reusable(pod, kind, resource))
            for resource, count in wanted.items()
        }

    def pod_hints(self, pod: Obj) -> Hints:
        names = {n for _, container in lasting_containers(pod) for n in self._wanted(container)}

        def total(name: str) -> int:
            return at_once(pod, lambda container: self._wanted(container).get(name, 0))

        return {name: self._hints(name, total(name), ()) for name in sorted(names)}

    def _hints(self, resource: str, count: int, reused: Sequence[str]) -> Sequence[Hint] | None:
        """None for devices that are not near anything."""
        near, topology = self._near.get(resource, {}), self._topology
        if not any(near.values()):
            return None
        free = self._free(resource)
        if count > len({*free, *reused}):
            return []
        return [
            Hint(nodes, len(nodes) == smallest)
            for smallest in [self._smallest(resource, count)]
            for nodes in topology.node_sets()
            if all(near.get(device, nodes) & nodes for device in reused)
            and sum(bool(near.get(d, NOWHERE) & nodes) for d in {*free, *reused}) >= count
        ]

    def _smallest(self, resource: str, count: int) -> int:
        """How few nodes have so many devices, whoever has them now."""
        near = self._near.get(resource, {})
        for nodes in self._topology.node_sets():
            if sum(bool(own & nodes) for own in near.values()) >= count:
                return len(nodes)
        return len(self._topology.numa_nodes)

    async def allocate(
        self, pod: Obj, kind: Kind, container: Obj, nodes: frozenset[int] | None
    ) -> None:
        """Give a container its devices; again does nothing. Raises AllotmentFailure."""
        wanted = self._wanted(container)
        try:
            for resource, count in wanted.items():
                await self._grant(pod, kind, container, _Wish(resource, count, nodes))
        except (DeviceShortage, PluginFailure) as error:
            raise AllotmentFailure(str(error)) from error
        if wanted:
            self._save()

    def _wanted(self, container: Obj) -> dict[str, int]:
        limits = (container.get("resources") or {}).get("limits") or {}
        return {name: int(text) for name, text in limits.items() if name in self._devices}

    def _free(self, resource: str) -> Sequence[str]:
        healthy = [device for device, well in self._devices[resource].items() if well]
        return free_devices(healthy, self._taken(resource))

    async def _grant(self, pod: Obj, kind: Kind, container: Obj, wish: _Wish) -> None:
        uid, resource = str(pod["metadata"]["uid"]), wish.resource
        own = self._grants.get(uid, {}).get(container["name"], {})
        if resource in own:
            return
        plugin = self._plugins.get(resource)
        if plugin is None:
            raise DeviceShortage(
                f"no healthy devices present; cannot allocate unhealthy {resource}"
            )
        reused = self._reusable(pod, kind, resource)
        near = self._near.get(resource, {})
        free = nearest_first(self._free(resource), near, wish.nodes)
        aligned = [d for d in free if wish.nodes is None or near.get(d, NOWHERE) & wish.nodes]
        enough = aligned if len(aligned) + len(reused) >= wish.count else free
        preferred = await self._preferred(plugin, enough, reused, wish.count)
        ids = choose(resource, wish.count, free=free, reused=reused, preferred=preferred)
        request = {"devices_ids": list(ids)}
        answer = await plugin.channel.call("Allocate", container_requests=[request])
        grants = self._grants.setdefault(uid, {}).setdefault(container["name"], {})
        grants[resource] = _Grant(tuple(ids), answer.container_responses[0].SerializeToString())

    def _reusable(self, pod: Obj, kind: Kind, resource: str) -> list[str]:
        """Devices of init containers that have ended by the time this one starts."""
        grants = self._grants.get(str(pod["metadata"]["uid"]), {})
        found: list[str] = []
        kept: set[str] = set()
        for other_kind, other in lasting_containers(pod):
            grant = grants.get(other["name"], {}).get(resource)
            if grant is None:
                continue
            if other_kind is Kind.INIT and not is_sidecar(other):
                found += grant.ids
            else:
                kept |= set(grant.ids)
        return [device for device in dict.fromkeys(found) if device not in kept]

    async def _preferred(
        self, plugin: _Plugin, free: Sequence[str], reused: Sequence[str], count: int
    ) -> Sequence[str]:
        if not plugin.prefers:
            return ()
        request = {
            "available_deviceIDs": [*free, *reused],
            "must_include_deviceIDs": list(reused)[:count],
            "allocation_size": count,
        }
        answer = await plugin.channel.call("GetPreferredAllocation", container_requests=[request])
        responses = answer.container_responses
        return list(responses[0].deviceIDs) if responses else ()

    def _taken(self, resource: str) -> set[str]:
        return {
            device
            for containers in self._grants.values()
            for grants in containers.values()
            if resource in grants
            for device in grants[resource].ids
        }

    def granted(self, uid: str, container: str) -> Mapping[str, Sequence[str]]:
        """The devices of a container by resource."""
        grants = self._grants.get(uid, {}).get(container, {})
        return {resource: grant.ids for resource, grant in grants.items()}

    async def options(self, uid: str, container: str) -> DeviceOptions:
        """What the container is started with. Raises PluginFailure if a plugin must prepare its
        devices and cannot."""
        grants = self._grants.get(uid, {}).get(container, {})
        answers = []
        for resource, grant in grants.items():
            plugin = self._plugins.get(resource)
            if plugin is not None and plugin.pre_start:
                await plugin.channel.call("PreStartContainer", devices_ids=list(grant.ids))
            answer: Any = messages().message_class("ContainerAllocateResponse")()
            answer.ParseFromString(grant.answer)
            answers.append(answer)
        return DeviceOptions(
            [_device(device) for a in answers for device in a.devices],
            [_mount(mount) for a in answers for mount in a.mounts],
            {k: v for a in answers for k, v in a.envs.items()},
            {k: v for a in answers for k, v in a.annotations.items()},
            [device.name for a in answers for device in a.cdi_devices],
        )

    def health(self, resource: str, device: str) -> str:
        """As a pod's status tells it; of a plugin that has gone nothing is known."""
        well = self._devices.get(resource, {}).get(device)
        return "Unknown" if well is None else HEALTHY if well else "Unhealthy"

    def holders(self, resource: str) -> Sequence[str]:
        """Uids of pods that have devices of a resource."""
        return [
            uid
            for uid, containers in self._grants.items()
            if any(resource in grants for grants in containers.values())
        ]

    def near(self, resource: str, ids: Sequence[str]) -> Sequence[int]:
        """The NUMA nodes of devices."""
        own = self._near.get(resource, {})
        return sorted(frozenset().union(*(own.get(device, NOWHERE) for device in ids)))

    def release(self, uid: str) -> None:
        """A pod has ended: its devices are free."""
        if self._grants.pop(uid, None) is not None:
            self._save()

    def keep_only(self, uids: set[str]) -> None:
        """Whoever is not among these has ended while no agent looked."""
        for uid in set(self._grants) - uids:
            self.release(uid)

    # The books

    def load(self) -> None:
        """What an earlier agent has granted; its plugins register again by themselves."""
        try:
            kept = orjson.loads((self.directory / CHECKPOINT).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return
        self._grants = {
            uid: {
                container: {
                    resource: _Grant(tuple(ids), base64.b64decode(answer))
                    for resource, (ids, answer) in grants.items()
                }
                for container, grants in containers.items()
            }
            for uid, containers in kept["grants"].items()
        }
        self._devices = {resource: {} for resource in kept["resources"]}

    def _save(self) -> None:
        grants = {
            uid: {
                container: {
                    resource: [list(grant.ids), base64.b64encode(grant.answer).decode()]
                    for resource, grant in found.items()
                }
                for container, found in containers.items()
            }
            for uid, containers in self._grants.items()
        }
        data = orjson.dumps({"grants": grants, "resources": sorted(self._devices)})
        write_atomically(self.directory / CHECKPOINT, data)


def _device(device: Any) -> DevicePlan:
    return DevicePlan(device.host_path, device.container_path, device.permissions)


def _mount(mount: Any) -> MountPlan:
    return MountPlan(mount.host_path, mount.container_path, mount.read_only)
