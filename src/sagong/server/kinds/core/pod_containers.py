"""Validation of a pod's containers: regular, init and ephemeral ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_env import validate_env, validate_env_from
from sagong.server.kinds.core.pod_probes import validate_lifecycle, validate_probes
from sagong.server.kinds.core.pod_resources import validate_resources
from sagong.server.kinds.core.pod_security import validate_container_security
from sagong.server.kinds.core.pod_volumes import PULL_POLICIES, relative_inside

PROTOCOLS = ("SCTP", "TCP", "UDP")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_EPHEMERAL_FORBIDDEN = ("ports", *_PROBES, "lifecycle", "resources", "resizePolicy")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of a container depend on outside of it."""

    volumes: Mapping[str, Obj]
    claims: Collection[str]
    grace_seconds: int
    host_users: bool
    pod_restart_policy: str
    is_pod: bool  # and not a template of pods


def validate_containers(
    containers: Sequence[Obj], around: Surroundings, path: Path, errors: ErrorList
) -> None:
    """``spec.containers``: at least one, names and host ports unique."""
    if not containers:
        errors.required(path)
        return
    seen: set[str] = set()
    for i, container in enumerate(containers):
        at = path.index(i)
        _validate_container(container, around, at, errors)
        name = container.get("name") or ""
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)
        _validate_running(container, around, at, errors)
        _validate_restart(container, at, errors, init=False)
    _validate_host_ports(containers, path, errors)


def validate_init_containers(
    containers: Sequence[Obj],
    regular: Sequence[Obj],
    around: Surroundings,
    path: Path,
    errors: ErrorList,
) -> None:
    """Init containers; those that restart always (sidecars) may have probes and hooks."""
    seen = {c.get("name") for c in regular}
    for i, container in enumerate(containers):
        at = path.index(i)
        _validate_container(container, around, at, errors)
        sidecar = container.get("restartPolicy") == "Always"
        _validate_restart(container, at, errors, init=True)
        name = container.get("name") or ""
        if name in seen:
            errors.duplicate(at.child("name"), name)
        elif name:
            seen.add(name)
        _validate_host_ports([container], path, errors)
        if sidecar:
            _validate_running(container, around, at, errors)
            continue
        for field in ("lifecycle", *_PROBES):
            if container.get(field) is not None:
                message = "may not be set for init containers without restartPolicy=Always"
                errors.forbidden(at.child(field), message)


def validate_ephemeral_containers(
    spec: Obj, around: Surroundings, path: Path, errors: ErrorList
) -> None:
    """Ephemeral containers; ``path`` is the list's own."""
    regular = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    others = {c.get("name") for c in regular}
    targets = {c.get("name") for c in spec.get("containers") or ()}
    targets |= {
        c.get("name")
        for c in spec.get("initContainers") or ()
        if c.get("restartPolicy") == "Always"
    }
    seen = set(others)
    for i, container in enumerate(spec.get("ephemeralContainers") or ()):
        at = path.index(i)
        _validate_container(container, around, at, errors)
        name = container.get("name") or ""
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.not_found(at.child("targetContainerName"), target)
        for field in _EPHEMERAL_FORBIDDEN:
            if container.get(field):
                message = "cannot be set for an Ephemeral Container"
                errors.forbidden(at.child(field), message)
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    where = at.child("volumeMounts").index(j).child(field)
                    errors.forbidden(where, "cannot be set for an Ephemeral Container")


def _validate_running(container: Obj, around: Surroundings, path: Path, errors: ErrorList) -> None:
    """What only containers that keep running may have."""
    if container.get("lifecycle") is not None:
        validate_lifecycle(
            container["lifecycle"],
            path.child("lifecycle"),
            errors,
            grace_seconds=around.grace_seconds,
        )
    validate_probes(container, path, errors)


def _validate_restart(container: Obj, path: Path, errors: ErrorList, *, init: bool) -> None:
    policy = container.get("restartPolicy")
    rules = container.get("restartPolicyRules") or ()
    if policy is not None:
        supported = ("Always", "Never", "OnFailure")
        checks.one_of(policy, supported, path.child("restartPolicy"), errors)
    elif rules:
        message = "must specify restartPolicy when restart rules are used"
        errors.required(path.child("restartPolicy"), message)
    for i, rule in enumerate(rules):
        at = path.child("restartPolicyRules").index(i)
        checks.one_of(
            rule.get("action"), ("Restart", "RestartAllContainers"), at.child("action"), errors
        )
        exit_codes = rule.get("exitCodes")
        if exit_codes is None:
            errors.required(at.child("exitCodes"), "must be specified")
            continue
        operator = exit_codes.get("operator")
        checks.one_of(operator, ("In", "NotIn"), at.child("exitCodes", "operator"), errors)
    if init and policy == "Always" and rules:
        message = (
            "restartPolicyRules are not allowed for init containers with restart policy Always"
        )
        errors.forbidden(path.child("restartPolicyRules"), message)


def _validate_container(
    container: Obj, around: Surroundings, path: Path, errors: ErrorList
) -> None:
    """What all containers have in common."""
    name = container.get("name") or ""
    if checks.required(name, path.child("name"), errors):
        checks.dns_label(name, path.child("name"), errors)
    image = container.get("image") or ""
    checks.required(image, path.child("image"), errors)
    if around.is_pod and image.strip() != image:
        message = "must not have leading or trailing whitespace"
        errors.invalid(path.child("image"), image, message)
    policy = container.get("terminationMessagePolicy") or ""
    where = path.child("terminationMessagePolicy")
    if checks.required(policy, where, errors):
        checks.one_of(policy, ("File", "FallbackToLogsOnError"), where, errors)
    validate_ports(container.get("ports") or (), path.child("ports"), errors)
    validate_env(container.get("env") or (), path.child("env"), errors)
    validate_env_from(container.get("envFrom") or (), path.child("envFrom"), errors)
    _validate_mounts(container, around.volumes, path.child("volumeMounts"), errors)
    _validate_devices(container, around.volumes, path.child("volumeDevices"), errors)
    pull = container.get("imagePullPolicy") or ""
    if checks.required(pull, path.child("imagePullPolicy"), errors):
        checks.one_of(pull, PULL_POLICIES, path.child("imagePullPolicy"), errors)
    resources = container.get("resources") or {}
    validate_resources(resources, around.claims, path.child("resources"), errors)
    _validate_resize(container, around.pod_restart_policy, path.child("resizePolicy"), errors)
    if container.get("securityContext") is not None:
        validate_container_security(
            container["securityContext"],
            path.child("securityContext"),
            errors,
            host_users=around.host_users,
        )


def validate_ports(ports: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    seen: set[str] = set()
    for i, port in enumerate(ports):
        at = path.index(i)
        name = port.get("name") or ""
        if name and checks.port_name(name, at.child("name"), errors):
            if name in seen:
                errors.duplicate(at.child("name"), name)
            seen.add(name)
        number = port.get("containerPort") or 0
        if checks.required(number or None, at.child("containerPort"), errors):
            checks.port_number(number, at.child("containerPort"), errors)
        if port.get("hostPort"):
            checks.port_number(port["hostPort"], at.child("hostPort"), errors)
        protocol = port.get("protocol") or ""
        if checks.required(protocol, at.child("protocol"), errors):
            checks.one_of(protocol, PROTOCOLS, at.child("protocol"), errors)


def _validate_host_ports(containers: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    """A host port may be asked for once. Each init container is looked at alone, as upstream's
    paths tell: they all are the first."""
    seen: set[str] = set()
    for i, container in enumerate(containers):
        at = path.index(i).child("ports")
        for j, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            place = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if place in seen:
                errors.duplicate(at.index(j).child("hostPort"), place)
            seen.add(place)


def _validate_mounts(
    container: Obj, volumes: Mapping[str, Obj], path: Path, errors: ErrorList
) -> None:
    places: set[str] = set()
    devices = container.get("volumeDevices") or ()
    device_names = {d.get("name") for d in devices}
    device_paths = {d.get("devicePath") for d in devices}
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        at = path.index(i)
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        checks.required(name, at.child("name"), errors)
        if name not in volumes:
            errors.not_found(at.child("name"), name)
        checks.required(place, at.child("mountPath"), errors)
        if place in places:
            errors.invalid(at.child("mountPath"), place, "must be unique")
        places.add(place)
        if name in device_names:
            errors.invalid(at.child("name"), name, "must not already exist in volumeDevices")
        if place in device_paths:
            message = "must not already exist as a path in volumeDevices"
            errors.invalid(at.child("mountPath"), place, message)
        # Upstream's paths of the following name the list, not the mount.
        _validate_sub_paths(mount, at, path, errors)
        _validate_propagation(container, mount, path, errors)


def _validate_sub_paths(mount: Obj, at: Path, path: Path, errors: ErrorList) -> None:
    for field in ("subPath", "subPathExpr"):
        value = mount.get(field)
        if not value:
            continue
        if field == "subPathExpr" and mount.get("subPath"):
            message = "subPathExpr and subPath are mutually exclusive"
            errors.invalid(at.child(field), value, message)
        relative_inside(value, path.child(field), errors)


def _validate_propagation(container: Obj, mount: Obj, path: Path, errors: ErrorList) -> None:
    propagation = mount.get("mountPropagation")
    where = path.child("mountPropagation")
    if propagation is not None:
        checks.one_of(propagation, _PROPAGATIONS, where, errors)
        privileged = (container.get("securityContext") or {}).get("privileged")
        if propagation == "Bidirectional" and not privileged:
            message = "Bidirectional mount propagation is available only to privileged containers"
            errors.forbidden(where, message)
    recursive = mount.get("recursiveReadOnly")
    if recursive is None:
        return
    at = path.child("recursiveReadOnly")
    supported = ("Disabled", "Enabled", "IfPossible")
    if not checks.one_of(recursive, supported, at, errors) or recursive == "Disabled":
        return
    if not mount.get("readOnly"):
        errors.forbidden(at, "may only be specified when readOnly is true")
    if propagation not in (None, "None"):
        errors.forbidden(at, "may only be specified when mountPropagation is None or not specified")


def _validate_devices(
    container: Obj, volumes: Mapping[str, Obj], path: Path, errors: ErrorList
) -> None:
    names: set[str] = set()
    places: set[str] = set()
    mounted = {m.get("name") for m in container.get("volumeMounts") or ()}
    mounted_paths = {m.get("mountPath") for m in container.get("volumeMounts") or ()}
    for i, device in enumerate(container.get("volumeDevices") or ()):
        at = path.index(i)
        name, place = device.get("name") or "", device.get("devicePath") or ""
        checks.required(name, at.child("name"), errors)
        if name in names:
            errors.invalid(at.child("name"), name, "must be unique")
        names.add(name)
        volume = volumes.get(name)
        if volume is None:
            errors.not_found(at.child("name"), name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            message = (
                "can only use volume source type of PersistentVolumeClaim or Ephemeral "
                "for block mode"
            )
            errors.invalid(at.child("name"), name, message)
        checks.required(place, at.child("devicePath"), errors)
        if place in places:
            errors.invalid(at.child("devicePath"), place, "must be unique")
        if ".." in place.split("/"):
            message = "can not contain backsteps ('..')"
            errors.invalid(at.child("devicePath"), place, message)
        else:
            places.add(place)
        if name in mounted:
            errors.invalid(at.child("name"), name, "must not already exist in volumeMounts")
        if place in mounted_paths:
            message = "must not already exist as a path in volumeMounts"
            errors.invalid(at.child("devicePath"), place, message)


def _validate_resize(container: Obj, pod_policy: str, path: Path, errors: ErrorList) -> None:
    seen: set[str] = set()
    for policy in container.get("resizePolicy") or ():
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            errors.duplicate(path, name)
        seen.add(name)
        if name == "":
            errors.required(path)
        else:
            checks.one_of(name, ("cpu", "memory"), path, errors)
        if restart == "":
            errors.required(path)
        else:
            checks.one_of(restart, ("NotRequired", "RestartContainer"), path, errors)
        if pod_policy == "Never" and restart not in ("", "NotRequired"):
            message = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.invalid(path, restart, message)
