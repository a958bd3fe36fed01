"""CSINode, and what of a driver stands on the Node: its id, topology labels.

Semantics: upstream's ``nodeinfomanager``. A CSINode exists for every node from its first minute.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from sagong.api.errors import AlreadyExists, Conflict, NotFound
from sagong.api.meta import annotations_of, deep_copy, labels_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.node.csi.driver import NodeInfo

log = logging.getLogger(__name__)

CSI_NODES = "csinodes.storage.k8s.io"
NODE_ID_ANNOTATION = "csi.volume.kubernetes.io/nodeid"
MIGRATED_ANNOTATION = "storage.alpha.kubernetes.io/migrated-plugins"
# Volumes of these are CSI volumes by now (CSIMigration), for the scheduler to count.
MIGRATED_PLUGINS = (
    "kubernetes.io/aws-ebs", "kubernetes.io/azure-disk", "kubernetes.io/azure-file",
    "kubernetes.io/cinder", "kubernetes.io/gce-pd", "kubernetes.io/portworx-volume",
    "kubernetes.io/vsphere-volume",
)  # fmt: skip
ATTEMPTS = 10  # of an update that others' updates cross


class TopologyCollision(Exception):
    """A driver's topology contradicts a label of the node."""


@dataclass(frozen=True, slots=True)
class CsiNodeWriter:
    """Writes of the agent about its node's drivers. Raise ApiError."""

    node_name: str
    client: Client

    async def ensure(self) -> None:
        """The CSINode, without drivers yet."""
        await self._change_csi_node(lambda obj: obj)

    async def install(self, driver: str, info: NodeInfo) -> None:
        """Raises TopologyCollision too."""
        await self._change_node(lambda node: with_driver_id(node, driver, info))
        await self._change_csi_node(lambda obj: with_driver(obj, driver, info))

    async def uninstall(self, driver: str) -> None:
        await self._change_csi_node(lambda obj: without_driver(obj, driver))
        await self._change_node(lambda node: without_driver_id(node, driver))

    async def _change_node(self, change: Callable[[Obj], Obj]) -> None:
        for _ in range(ATTEMPTS):
            node = await self.client.get("nodes", self.node_name)
            changed = change(deep_copy(node))
            if changed == node:
                return
            try:
                await self.client.update("nodes", changed)
            except Conflict:
                continue
            return
        raise Conflict(f"node {self.node_name} is changed too often")

    async def _change_csi_node(self, change: Callable[[Obj], Obj]) -> None:
        for _ in range(ATTEMPTS):
            try:
                current = await self.client.get(CSI_NODES, self.node_name)
            except NotFound:
                current = await self._create()
            changed = change(deep_copy(current))
            if changed == current:
                return
            try:
                await self.client.update(CSI_NODES, changed)
            except (Conflict, NotFound):
                continue
            return
        raise Conflict(f"CSINode {self.node_name} is changed too often")

    async def _create(self) -> Obj:
        node = await self.client.get("nodes", self.node_name)
        try:
            return await self.client.create(CSI_NODES, initial_csi_node(node))
        except AlreadyExists:
            return await self.client.get(CSI_NODES, self.node_name)


def initial_csi_node(node: Obj) -> Obj:
    metadata = node["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {
            "name": metadata["name"],
            "ownerReferences": [owner],
            "annotations": {MIGRATED_ANNOTATION: ",".join(MIGRATED_PLUGINS)},
        },
        "spec": {"drivers": []},
    }


def with_driver(csi_node: Obj, driver: str, info: NodeInfo) -> Obj:
    entry: Obj = {
        "name": driver,
        "nodeID": info.node_id,
        "topologyKeys": sorted(info.topology) or None,
    }
    if info.volumes_max > 0:
        entry["allocatable"] = {"count": info.volumes_max}
    others = [d for d in csi_node["spec"].get("drivers") or [] if d["name"] != driver]
    return {**csi_node, "spec": {**csi_node["spec"], "drivers": [*others, entry]}}


def without_driver(csi_node: Obj, driver: str) -> Obj:
    drivers = csi_node["spec"].get("drivers") or []
    others = [d for d in drivers if d["name"] != driver]
    if len(others) == len(drivers):
        return csi_node
    return {**csi_node, "spec": {**csi_node["spec"], "drivers": others}}


def with_driver_id(node: Obj, driver: str, info: NodeInfo) -> Obj:
    """Raises TopologyCollision."""
    labels = dict(labels_of(node))
    for key, value in info.topology.items():
        if labels.get(key, value) != value:
            raise TopologyCollision(
                f'detected topology value collision: driver reported "{key}":"{value}" but '
                f'existing label is "{key}":"{labels[key]}"'
            )
        labels[key] = value
    ids = {**_driver_ids(node), driver: info.node_id}
    return _with_ids(node, ids, labels)


def without_driver_id(node: Obj, driver: str) -> Obj:
    ids = _driver_ids(node)
    if driver not in ids:
        return node
    return _with_ids(node, {k: v for k, v in ids.items() if k != driver}, labels_of(node))


def _driver_ids(node: Obj) -> dict[str, str]:
    return dict(orjson.loads(annotations_of(node).get(NODE_ID_ANNOTATION) or "{}"))


def _with_ids(node: Obj, ids: Mapping[str, str], labels: Mapping[str, str]) -> Obj:
    annotations = {k: v for k, v in annotations_of(node).items() if k != NODE_ID_ANNOTATION}
    if ids:
        annotations[NODE_ID_ANNOTATION] = orjson.dumps(
            dict(ids), option=orjson.OPT_SORT_KEYS
        ).decode()
    metadata = {**node["metadata"], "annotations": annotations, "labels": dict(labels)}
    return {**node, "metadata": metadata}
