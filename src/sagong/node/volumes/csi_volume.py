"""CSI volumes of pods: attached, staged, published; and the way back.

What is done is on disk before it is done (``csi/records.py``), so an agent that was killed finds
it again. Calls for one volume exclude each other by a lock of its own; the last pod that leaves a
volume unstages it.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sagong.api.types import Obj
from sagong.api.volumes import attachment_name
from sagong.core.clock import format_time
from sagong.node.csi.driver import MOUNT_GROUP, SINGLE_NODE_MULTI_WRITER, STAGE_UNSTAGE, CsiDriver
from sagong.node.csi.drivers import CsiDrivers
from sagong.node.csi.records import (
    CsiPlaces,
    CsiRecord,
    records_of,
    remove_record,
    write_record,
)
from sagong.node.csi.source import (
    CsiSource,
    Lifecycle,
    SecretName,
    capability_of,
    lifecycle_problem,
    owns_by_group,
    pod_facts,
)
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.environment import decode
from sagong.node.pods.failures import DeviceFailure, NotAttached, VolumeFailure
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.mounts import is_mount_point, make_directory
from sagong.node.volumes.ownership import give_to_group

CSI_DRIVERS = "csidrivers.storage.k8s.io"
ATTACHMENTS = "volumeattachments.storage.k8s.io"
OBJECT_AGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Use:
    """One volume for one pod, with everything that the calls need."""

    source: CsiSource
    context: VolumeContext
    driver: CsiDriver
    policies: Obj  # spec of the CSIDriver object, {} if there is none
    publish_context: Mapping[str, str]
    staging: Path | None
    target: Path

    @property
    def group(self) -> int | None:
        return self.context.fs_group

    async def capability(self) -> dict[str, Any]:
        by_driver = self.group is not None and await self.driver.can(MOUNT_GROUP)
        return capability_of(
            self.source,
            finer_modes=await self.driver.can(SINGLE_NODE_MULTI_WRITER),
            mount_group=str(self.group) if by_driver else "",
        )


@dataclass(slots=True)
class CsiMounter:
    """One an agent."""

    node_name: str
    places: CsiPlaces
    drivers: CsiDrivers
    node: Callable[[], Obj]  # our Node as the API last told
    use_changed: Callable[[], None]  # volumes_in_use has changed
    _locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)
    # Volumes on the way to pods: in use from before they are attached until a record says so.
    _wanted: dict[str, set[str]] = field(default_factory=dict)  # pod's uid -> unique names

    def volumes_in_use(self) -> list[str]:
        """Attachable volumes that must not be detached from this node."""
        mounted = {r.unique_name for _, r in self.places.all_records() if r.attachmentID}
        return sorted(mounted.union(*self._wanted.values()))

    async def set_up(self, source: CsiSource, context: VolumeContext) -> Mounted:
        """Raises VolumeFailure; DeviceFailure for what happens before the pod's own part."""
        try:
            driver = self.drivers.get(source.driver)
        except PluginFailure as error:
            raise _without_driver(source, str(error)) from error
        description = await context.objects.get(
            CSI_DRIVERS, "", source.driver, max_age_seconds=OBJECT_AGE_SECONDS
        )
        if problem := lifecycle_problem(source, description):
            raise VolumeFailure(f"kubernetes.io/csi: mounter.SetUpAt failed: {problem}")
        policies: Obj = (description or {}).get("spec") or {}
        if not _needs_attaching(source, policies):
            return await self._mount(source, context, driver, policies, {}, "")
        wanted = self._wanted.setdefault(context.pod["metadata"]["uid"], set())
        if source.unique_name not in wanted:
            wanted.add(source.unique_name)
            self.use_changed()
        # Not before the Node says so: what is not in use may be detached at any moment.
        reported = (self.node().get("status") or {}).get("volumesInUse") or ()
        if source.unique_name not in reported:
            raise NotAttached(f"{source.unique_name} is not reported as in use yet")
        name = attachment_name(source.handle, source.driver, self.node_name)
        publish_context = await _attachment(name, context)
        return await self._mount(source, context, driver, policies, publish_context, name)

    def staging_of(self, pod: Obj, source: CsiSource) -> Path | None:
        """Where a mounted volume is staged; None if its driver does not stage."""
        for _, record in records_of(self.places.pod_dir(pod["metadata"]["uid"])):
            if record.key == source.key:
                return record.staging
        return None

    async def republish(self, source: CsiSource, context: VolumeContext) -> None:
        """For drivers with requiresRepublish: publish again, with fresh facts and tokens."""
        description = await context.objects.get(
            CSI_DRIVERS, "", source.driver, max_age_seconds=OBJECT_AGE_SECONDS
        )
        if ((description or {}).get("spec") or {}).get("requiresRepublish"):
            await self.set_up(source, context)

    async def tear_down(self, pod_uid: str) -> None:
        """Unpublish what a pod has, and unstage what no other pod has. Raises PluginFailure."""
        for directory, record in list(records_of(self.places.pod_dir(pod_uid))):
            driver = self.drivers.get(record.driverName)
            async with self._lock(record.key):
                await driver.unpublish(record.volumeHandle, record.target)
                _remove_target(record.target)
                if record.staging is not None and not self._is_used_besides(directory, record):
                    await driver.unstage(record.volumeHandle, record.staging)
                    _remove_staging(record)
                remove_record(directory)
        if self._wanted.pop(pod_uid, None):
            self.use_changed()

    def _is_used_besides(self, directory: Path, record: CsiRecord) -> bool:
        return any(
            other.key == record.key and place != directory
            for place, other in self.places.all_records()
        )

    def _lock(self, key: tuple[str, str]) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    async def _mount(
        self,
        source: CsiSource,
        context: VolumeContext,
        driver: CsiDriver,
        policies: Obj,
        publish_context: Mapping[str, str],
        attachment: str,
    ) -> Mounted:
        uid = context.pod["metadata"]["uid"]
        try:
            stages = source.lifecycle is Lifecycle.PERSISTENT and await driver.can(STAGE_UNSTAGE)
        except PluginFailure as error:
            raise VolumeFailure(str(error)) from error
        staging = self.places.staging(source) if stages else None
        target = self.places.target(uid, source)
        use = _Use(source, context, driver, policies, publish_context, staging, target)
        async with self._lock(source.key):
            record = _record(use, self.node_name, attachment)
            write_record(self.places.volume_dir(uid, source.name), record)
            if staging is not None:
                await _stage(use, staging)
            await _publish(use)
        return Mounted(target, read_only=source.read_only, is_device=source.is_block)


def _without_driver(source: CsiSource, text: str) -> VolumeFailure:
    if source.lifecycle is Lifecycle.EPHEMERAL or source.is_block:
        return VolumeFailure(f"kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: {text}")
    return DeviceFailure(
        f"kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: {text}"
    )


def _needs_attaching(source: CsiSource, policies: Obj) -> bool:
    return source.lifecycle is Lifecycle.PERSISTENT and policies.get("attachRequired") is not False


async def _attachment(name: str, context: VolumeContext) -> Mapping[str, str]:
    """What the attacher has said for the node. Raises NotAttached while it has not."""
    attachment = await context.objects.get(ATTACHMENTS, "", name)
    status: Obj = (attachment or {}).get("status") or {}
    if attachment is None or attachment["metadata"].get("deletionTimestamp"):
        raise NotAttached(f"volume attachment {name} is not there yet")
    if not status.get("attached"):
        raise NotAttached(f"volume attachment {name} is not attached yet")
    return dict(status.get("attachmentMetadata") or {})


def _record(use: _Use, node_name: str, attachment: str) -> CsiRecord:
    source = use.source
    return CsiRecord(
        specVolID=source.name,
        driverName=source.driver,
        volumeHandle=source.handle,
        nodeName=node_name,
        volumeLifecycleMode=source.lifecycle.value,
        attachmentID=attachment,
        volumeMode="Block" if source.is_block else "Filesystem",
        targetPath=str(use.target),
        stagingPath=str(use.staging) if use.staging else "",
    )


async def _stage(use: _Use, staging: Path) -> None:
    source = use.source
    make_directory(staging)
    try:
        await use.driver.stage(
            volume_id=source.handle,
            publish_context=dict(use.publish_context),
            staging_target_path=str(staging),
            volume_capability=await use.capability(),
            secrets=await secrets_of(source.stage_secret, use.context),
            volume_context=dict(source.attributes),
        )
    except PluginFailure as error:
        raise DeviceFailure(str(error)) from error


async def _publish(use: _Use) -> None:
    source, context = use.source, use.context
    make_directory(use.target.parent)
    attributes = dict(source.attributes)
    if use.policies.get("podInfoOnMount"):
        attributes |= pod_facts(context.pod, source.lifecycle)
    secrets = await secrets_of(source.publish_secret, context)
    if requests := use.policies.get("tokenRequests"):
        tokens = {"csi.storage.k8s.io/serviceAccount.tokens": await _tokens(requests, context)}
        if use.policies.get("serviceAccountTokenInSecrets"):
            secrets |= tokens
        else:
            attributes |= tokens
    try:
        capability = await use.capability()
        await use.driver.publish(
            volume_id=source.handle,
            publish_context=dict(use.publish_context),
            staging_target_path=str(use.staging) if use.staging else "",
            target_path=str(use.target),
            volume_capability=capability,
            readonly=source.read_only,
            secrets=secrets,
            volume_context=attributes,
        )
    except PluginFailure as error:
        raise VolumeFailure(str(error)) from error
    policy = use.policies.get("fsGroupPolicy") or "ReadWriteOnceWithFSType"
    done_by_driver = capability.get("mount", {}).get("volume_mount_group")
    if use.group is not None and not done_by_driver and owns_by_group(source, policy):
        await give_to_group(use.target, use.group, only_on_mismatch=context.only_on_mismatch)


async def secrets_of(name: SecretName | None, context: VolumeContext) -> dict[str, str]:
    """What a driver is told of a Secret. Raises VolumeFailure if it is not there."""
    if name is None:
        return {}
    secret = await context.objects.get("secrets", name.namespace, name.name)
    if secret is None:
        raise VolumeFailure(
            f'fetching secret {name.namespace}/{name.name} failed: secrets "{name.name}" not found'
        )
    return {
        key: decode(text).decode(errors="surrogateescape")
        for key, text in (secret.get("data") or {}).items()
    }


async def _tokens(requests: list[Obj], context: VolumeContext) -> str:
    """Audience -> token and expiration, as JSON."""
    found = {}
    for request in requests:
        audience = request.get("audience") or ""
        token = await context.objects.token(
            context.pod,
            audience=audience,
            expiration_seconds=int(request.get("expirationSeconds") or 3600),
        )
        expiration = format_time(token.expires_at)
        found[audience] = {"token": token.text, "expirationTimestamp": expiration}
    return orjson.dumps(found).decode()


def _remove_target(target: Path) -> None:
    """What the driver has left of an unpublished target. Raises OSError if it is still mounted."""
    if not os.path.lexists(target):
        return
    if is_mount_point(target):
        raise OSError(f"{target} is still mounted")
    if target.is_dir() and not target.is_symlink():
        target.rmdir()
    else:
        target.unlink()


def _remove_staging(record: CsiRecord) -> None:
    staging = record.staging
    if staging is None:
        return
    _remove_target(staging)
    if record.volumeMode == "Filesystem" and staging.parent.exists():
        staging.parent.rmdir()
