"""Starting sandboxes and containers: everything between a decision and a running process."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sagong.api.errors import ApiError
from sagong.api.types import Obj
from sagong.ctl.controller import Events
from sagong.node.alignment.aligner import Aligner
from sagong.node.api_objects import ApiObjects
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure, RuntimeNotFound
from sagong.node.devices.pool import DeviceOptions, DevicePool
from sagong.node.dra.cdi import CdiFailure, edits_of
from sagong.node.dra.claims import ClaimFailure, PodClaims
from sagong.node.dra.device_health import health_of
from sagong.node.images.puller import ImagePuller
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.container_config import ContainerFacts, container_config
from sagong.node.pods.container_mounts import ContainerMounts, read_text
from sagong.node.pods.downward import NodeFacts
from sagong.node.pods.environment import EnvironmentSources, build_environment, referenced
from sagong.node.pods.failures import (
    ConfigFailure,
    CreateFailure,
    HookFailure,
    ImageFailure,
    ResizeFailure,
    RunFailure,
    SandboxFailure,
    StartFailure,
)
from sagong.node.pods.hooks import HookError, run_hook
from sagong.node.pods.lifecycle import StartContainer
from sagong.node.pods.model import Kind, SeenPod, SeenSandbox
from sagong.node.pods.naming import parse_resolv_conf, resolver_of
from sagong.node.pods.references import container_reference, pod_reference
from sagong.node.pods.resources import container_resources, largest
from sagong.node.pods.sandbox_config import SandboxFacts, sandbox_config
from sagong.node.pods.security import check_non_root
from sagong.node.pods.spec import find_container, is_host_network, qos_class
from sagong.node.volumes.mounted import Mounted

log = logging.getLogger(__name__)

REFERENCE_AGE_SECONDS = 2.0  # ConfigMaps and Secrets for environments; shared by a pod's containers


@dataclass(frozen=True, slots=True)
class Launcher:
    """One an agent; holds no state of pods."""

    config: NodeConfig
    cri: CriClient
    events: Events
    objects: ApiObjects
    puller: ImagePuller
    devices: DevicePool
    aligner: Aligner
    claims: PodClaims
    knows_cdi: bool  # the runtime
    cgroups: CgroupTree
    mounts: ContainerMounts
    services: Callable[[str], Iterable[Obj]]  # of a namespace, with default/kubernetes
    node_facts: Callable[[], NodeFacts]
    memory_capacity_bytes: int

    def log_directory(self, pod: Obj) -> Path:
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
        return self.config.log_dir / name

    def pod_ips(self, pod: Obj, sandbox: SeenSandbox | None) -> Sequence[str]:
        if is_host_network(pod):
            return self.config.host_ips
        return sandbox.ips if sandbox is not None else ()

    async def create_sandbox(self, pod: Obj, attempt: int) -> str:
        """Make and start the sandbox; its id. Raises SandboxFailure."""
        config = self._sandbox_config(pod, attempt)
        try:
            handler = await self._handler(pod)
            if pod["spec"].get("hostUsers") is False:
                # Left out silently, the pod's root would be the node's.
                text = f'RuntimeClass handler "{handler}" does not support user namespaces'
                raise SandboxFailure(text)
            return await self.cri.run_sandbox(config, handler=handler)
        except (RuntimeFailure, SandboxFailure) as error:
            text = f"Failed to create pod sandbox: {error}"
            self.events.emit(pod_reference(pod), "Warning", "FailedCreatePodSandBox", text)
            raise SandboxFailure(str(error)) from error

    async def _handler(self, pod: Obj) -> str:
        """The runtime's handler that the pod's RuntimeClass names; "" is the runtime's default."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        try:
            found = await self.objects.get(
                "runtimeclasses.node.k8s.io", "", name, max_age_seconds=REFERENCE_AGE_SECONDS
            )
        except ApiError as error:
            raise SandboxFailure(f"failed to get sandbox runtime: {error}") from error
        if found is None:
            raise SandboxFailure(
                f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found'
            )
        return str(found["handler"])

    def _sandbox_config(self, pod: Obj, attempt: int) -> Any:
        quality, uid = qos_class(pod), pod["metadata"]["uid"]
        self.cgroups.create_pod(uid, quality, self.aligner.limits(pod))
        logs = self.log_directory(pod)
        logs.mkdir(parents=True, exist_ok=True)
        resolver = resolver_of(
            pod,
            parse_resolv_conf(read_text(self.config.resolv_conf)),
            self.config.cluster_dns,
            self.config.cluster_domain,
        )
        parent = self.cgroups.parent_of(uid, quality)
        facts = SandboxFacts(parent, logs, resolver, self.config.cluster_domain)
        return sandbox_config(pod, attempt, facts)

    async def start_container(
        self, pod: Obj, action: StartContainer, volumes: Mapping[str, Mounted], seen: SeenPod
    ) -> str:
        """Pull, create, start, postStart; its id. Raises StartFailure with the waiting reason."""
        found = find_container(pod, action.name)
        if found is None:
            raise ConfigFailure(f"container {action.name} is not in the pod's spec")
        kind, container = found
        about = container_reference(pod, kind, action.name)
        try:
            await self.claims.prepare(pod)
        except ClaimFailure as error:
            raise ConfigFailure(f"failed to prepare devices: {error}") from error

        def emit(type_: str, reason: str, message: str) -> None:
            self.events.emit(about, type_, reason, message)

        try:
            container_id = await self._create(pod, container, action, volumes, seen)
            emit("Normal", "Created", "Container created")
            await self._start(container_id)
            emit("Normal", "Started", "Container started")
            await self._post_start(pod, container, container_id, action.sandbox)
            return container_id
        except ImageFailure as failure:
            emit("Warning", "Failed", f"Error: {failure.reason}")
            raise
        except HookFailure as failure:
            emit("Warning", "FailedPostStartHook", failure.message)
            raise
        except StartFailure as failure:
            emit("Warning", "Failed", f"Error: {failure.message}")
            raise

    async def _create(
        self,
        pod: Obj,
        container: Obj,
        action: StartContainer,
        volumes: Mapping[str, Mounted],
        seen: SeenPod,
    ) -> str:
        image = await self._pull(pod, action, container)
        check_non_root(
            pod,
            container,
            image_uid=image.uid.value if image.HasField("uid") else None,
            image_user=image.username,
        )
        facts = await self._facts(pod, container, action, volumes, seen, image)
        message = container_config(pod, container, facts)
        sandbox = self._sandbox_config(pod, action.sandbox.attempt)
        try:
            return await self.cri.create_container(action.sandbox.id, message, sandbox)
        except RuntimeFailure as error:
            raise CreateFailure(str(error)) from error

    async def _pull_secrets(self, pod: Obj) -> list[Obj]:
        found = []
        for reference in pod["spec"].get("imagePullSecrets") or []:
            try:
                secret = await self.objects.get(
                    "secrets",
                    pod["metadata"]["namespace"],
                    reference["name"],
                    max_age_seconds=REFERENCE_AGE_SECONDS,
                )
            except ApiError as error:
                log.warning("image pull secret %s: %s", reference["name"], error)
                continue
            if secret is not None:
                found.append(secret)
        return found

    async def _environment(
        self, pod: Obj, container: Obj, sandbox: SeenSandbox
    ) -> Mapping[str, str]:
        namespace = pod["metadata"]["namespace"]
        references: dict[tuple[str, str], Obj | None] = {}
        for resource, name in referenced(container):
            try:
                references[resource, name] = await self.objects.get(
                    resource, namespace, name, max_age_seconds=REFERENCE_AGE_SECONDS
                )
            except ApiError as error:
                raise ConfigFailure(str(error)) from error
        sources = EnvironmentSources(
            references,
            tuple(self.services(namespace)),
            self.node_facts(),
            self.pod_ips(pod, sandbox),
        )
        return build_environment(pod, container, sources)

    async def _facts(
        self,
        pod: Obj,
        container: Obj,
        action: StartContainer,
        volumes: Mapping[str, Mounted],
        seen: SeenPod,
        image: Any,
    ) -> ContainerFacts:
        """Everything about a container that its spec does not say."""
        environment = await self._environment(pod, container, action.sandbox)

        async def pull(wanted: Obj) -> Any:
            return await self._pull(pod, action, wanted)

        mounts = await self.mounts.plan(pod, container, action, volumes, environment, pull)
        taken = {plan.container_path for plan in mounts}
        ips = self.pod_ips(pod, action.sandbox)
        mounts += self.mounts.own_files(pod, container, action, ips, taken)
        target = seen.latest(container.get("targetContainerName") or "")
        own = await self._devices(pod, container)
        return ContainerFacts(
            attempt=action.attempt,
            image_ref=image.id,
            environment={**own.environment, **environment},
            mounts=[*mounts, *own.mounts],
            devices=[*self.mounts.devices(container, volumes), *own.devices],
            annotations=own.annotations,
            cdi_devices=own.cdi_devices,
            binding=self.aligner.binding(pod["metadata"]["uid"], action.name),
            memory_capacity_bytes=self.memory_capacity_bytes,
            may_lower_oom_score=self.config.may_lower_oom_score,
            target_id=target.id if target is not None else "",
            volume_groups=[v.group for v in volumes.values() if v.group is not None],
        )

    async def _devices(self, pod: Obj, container: Obj) -> DeviceOptions:
        """What plugins and claims give; CDI is carried out here for a runtime without it."""
        try:
            own = await self.devices.options(pod["metadata"]["uid"], container["name"])
            names = [*own.cdi_devices, *self.claims.cdi_devices(pod, container)]
            if self.knows_cdi or not names:
                return replace(own, cdi_devices=names)
            edits = edits_of(names, self.config.cdi_dirs)
        except (PluginFailure, CdiFailure) as error:
            raise ConfigFailure(f"failed to prepare devices: {error}") from error
        return replace(
            own,
            environment={**own.environment, **edits.environment},
            devices=[*own.devices, *edits.devices],
            mounts=[*own.mounts, *edits.mounts],
            cdi_devices=(),
        )

    def device_health(self, pod: Obj) -> Mapping[str, Sequence[Obj]]:
        return health_of(pod, self.devices, self.claims)

    async def _pull(self, pod: Obj, action: StartContainer, wanted: Obj) -> Any:
        """The image of a container or of an image volume. Raises ImageFailure."""
        about = container_reference(pod, action.kind, action.name)
        return await self.puller.ensure(
            wanted,
            lambda type_, reason, message: self.events.emit(about, type_, reason, message),
            secrets=await self._pull_secrets(pod),
            pod_key=pod["metadata"]["uid"],
        )

    async def _start(self, container_id: str) -> None:
        try:
            await self.cri.start_container(container_id)
        except RuntimeFailure as error:
            raise RunFailure(str(error)) from error

    async def resize(self, before: Obj, after: Obj, names: Sequence[str], seen: SeenPod) -> None:
        """Give running containers other limits: ``before`` and ``after`` have the pod's resources.

        A group below another may never be promised more than it: the pod's cgroup grows first and
        shrinks last. Raises ResizeFailure.
        """
        uid, quality = after["metadata"]["uid"], qos_class(after)
        old, new = self.aligner.limits(before), self.aligner.limits(after)
        try:
            self.cgroups.create_pod(uid, quality, largest(old, new))
            for name in names:
                await self._resize_container(after, name, quality, seen)
            self.cgroups.create_pod(uid, quality, new)
        except (RuntimeFailure, OSError) as error:
            raise ResizeFailure(str(error)) from error

    async def _resize_container(self, pod: Obj, name: str, quality: str, seen: SeenPod) -> None:
        found = find_container(pod, name)
        running = next((c for c in seen.running if c.name == name), None)
        if found is None or running is None:
            return
        fields = self._resources(pod, found[1])
        limit = fields.get("memory_limit_in_bytes")
        used = self.cgroups.memory_used(pod["metadata"]["uid"], quality, running.id)
        if limit is not None and used is not None and used >= limit:
            raise ResizeFailure(
                f'attempting to set container "{name}" memory limit ({limit}) '
                f"below current usage ({used})"
            )
        del fields["oom_score_adj"]  # of a running process it stays as it is
        await self.cri.update_resources(running.id, fields)

    def _resources(self, pod: Obj, container: Obj) -> dict[str, Any]:
        return container_resources(
            pod,
            container,
            memory_capacity_bytes=self.memory_capacity_bytes,
            may_lower=self.config.may_lower_oom_score,
            binding=self.aligner.binding(pod["metadata"]["uid"], container["name"]),
        )

    async def _post_start(
        self, pod: Obj, container: Obj, container_id: str, sandbox: SeenSandbox
    ) -> None:
        hook = (container.get("lifecycle") or {}).get("postStart")
        if not hook:
            return
        pod_ip = next(iter(self.pod_ips(pod, sandbox)), "")
        try:
            await run_hook(self.cri, pod, container, container_id, hook, pod_ip)
        except (HookError, ValueError) as error:
            # A container whose postStart hook failed is stopped, and restarted by policy.
            try:
                await self.cri.stop_container(container_id, grace_seconds=1)
            except RuntimeNotFound:
                log.debug("container %s is gone already", container_id)
            raise HookFailure(f"PostStartHook failed: {error}") from error


__all__ = ["Kind", "Launcher"]
