"""Validation of pod specs, of pods and of pod templates."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_containers import (
    Surroundings,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from sagong.server.kinds.core.pod_dns import validate_dns, validate_host_aliases
from sagong.server.kinds.core.pod_resources import (
    validate_container_resource_name,
    validate_pod_level_resources,
    validate_quantity_value,
)
from sagong.server.kinds.core.pod_scheduling import (
    validate_affinity,
    validate_gates,
    validate_spread_constraints,
    validate_tolerations,
)
from sagong.server.kinds.core.pod_security import validate_pod_security
from sagong.server.kinds.core.pod_volumes import validate_volumes
from sagong.server.kinds.object_meta import validate_template_meta

PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
_WINDOWS_ONLY = ("windowsOptions",)
_LINUX_ONLY_POD = ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")
_LINUX_ONLY = (
    *("seLinuxOptions", "seccompProfile", "appArmorProfile", "capabilities", "procMount"),
    *("readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "fsGroup"),
    *("fsGroupChangePolicy", "sysctls", "runAsUser", "runAsGroup", "supplementalGroups"),
    "supplementalGroupsPolicy",
)


def validate_pod_create(pod: Obj, errors: ErrorList) -> None:
    """A new pod, besides its metadata."""
    path = Path("spec")
    spec = pod.get("spec") or {}
    validate_pod(pod, errors)
    if spec.get("ephemeralContainers"):
        errors.forbidden(path.child("ephemeralContainers"), "cannot be set on create")
    if spec.get("schedulingGates") and spec.get("nodeName"):
        message = "cannot be set until all schedulingGates have been cleared"
        errors.forbidden(path.child("nodeName"), message)


def validate_pod(pod: Obj, errors: ErrorList) -> None:
    """A pod's spec and the annotations that belong to it."""
    name = pod["metadata"].get("name") or ""
    validate_pod_spec(pod.get("spec") or {}, Path("spec"), errors, pod_name=name, is_pod=True)


def validate_pod_template(template: Obj, path: Path, errors: ErrorList) -> None:
    """A PodTemplateSpec."""
    validate_template_meta(template.get("metadata") or {}, path.child("metadata"), errors)
    spec = template.get("spec") or {}
    validate_pod_spec(spec, path.child("spec"), errors)
    if spec.get("ephemeralContainers"):
        message = "ephemeral containers not allowed in pod template"
        errors.forbidden(path.child("spec", "ephemeralContainers"), message)


def validate_pod_spec(
    spec: Obj, path: Path, errors: ErrorList, *, pod_name: str = "", is_pod: bool = False
) -> None:
    """A pod spec wherever it stands; ``is_pod``: in a pod, not in a template."""
    volumes = spec.get("volumes") or ()
    found = validate_volumes(volumes, path.child("volumes"), errors, pod_name=pod_name)
    claims = _validate_claims(spec.get("resourceClaims") or (), path, errors)
    grace = spec.get("terminationGracePeriodSeconds")
    around = Surroundings(
        volumes=found,
        claims=claims,
        grace_seconds=30 if grace is None else grace,
        host_users=spec.get("hostUsers") is not False,
        pod_restart_policy=spec.get("restartPolicy") or "",
        is_pod=is_pod,
    )
    regular, init = spec.get("containers") or (), spec.get("initContainers") or ()
    validate_containers(regular, around, path.child("containers"), errors)
    validate_init_containers(init, regular, around, path.child("initContainers"), errors)
    validate_ephemeral_containers(spec, around, path.child("ephemeralContainers"), errors)
    if spec.get("resources"):
        validate_pod_level_resources(spec, claims, path.child("resources"), errors)
    _validate_host_network(spec, path, errors, is_pod=is_pod)
    _validate_policies_and_place(spec, path, errors)
    _validate_names(spec, path, errors)
    _validate_classes(spec, path, errors)


def _validate_policies_and_place(spec: Obj, path: Path, errors: ErrorList) -> None:
    policy = spec.get("restartPolicy") or ""
    if checks.required(policy, path.child("restartPolicy"), errors):
        checks.one_of(policy, RESTART_POLICIES, path.child("restartPolicy"), errors)
    validate_dns(spec, path, errors, only_policy=True)
    checks.labels(spec.get("nodeSelector"), path.child("nodeSelector"), errors)
    validate_pod_security(spec, path, errors)
    if spec.get("affinity") is not None:
        validate_affinity(spec["affinity"], path.child("affinity"), errors)
    validate_dns(spec, path, errors, only_policy=False)
    validate_gates(spec, path, errors)
    constraints = spec.get("topologySpreadConstraints") or ()
    where = path.child("topologySpreadConstraints")
    validate_spread_constraints(constraints, where, errors)
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                shown = field if field == "hostNetwork" else f"H{field[1:]}"
                errors.forbidden(path.child(shown), "when `pod.Spec.HostUsers` is false")


def _validate_names(spec: Obj, path: Path, errors: ErrorList) -> None:
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            checks.dns_subdomain(spec[field], path.child(field), errors)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None:
        where = path.child("activeDeadlineSeconds")
        checks.in_range(deadline, 1, checks.INT32_MAX, where, errors)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            checks.dns_label(spec[field], path.child(field), errors)
    _validate_hostname_override(spec, path, errors)
    validate_tolerations(spec.get("tolerations") or (), path.child("tolerations"), errors)
    validate_host_aliases(spec.get("hostAliases") or (), path.child("hostAliases"), errors)


def _validate_hostname_override(spec: Obj, path: Path, errors: ErrorList) -> None:
    override = spec.get("hostnameOverride")
    if override is None:
        return
    where = path.child("hostnameOverride")
    if spec.get("setHostnameAsFQDN"):
        errors.forbidden(where, "may not be specified when setHostnameAsFQDN is true")
    if spec.get("hostNetwork"):
        errors.forbidden(where, "may not be specified when hostNetwork is true")
    if len(override) > 64:
        errors.invalid(where, override, "must be no more than 64 characters")
    checks.name(override, names.dns1123_subdomain, where, errors)


def _validate_classes(spec: Obj, path: Path, errors: ErrorList) -> None:
    if spec.get("priorityClassName"):
        where = path.child("priorityClassName")
        checks.dns_subdomain(spec["priorityClassName"], where, errors)
    if spec.get("runtimeClassName") is not None:
        where = path.child("runtimeClassName")
        checks.dns_subdomain(spec["runtimeClassName"], where, errors)
    if spec.get("preemptionPolicy") is not None:
        where = path.child("preemptionPolicy")
        if checks.required(spec["preemptionPolicy"], where, errors):
            checks.one_of(spec["preemptionPolicy"], PREEMPTION_POLICIES, where, errors)
    for name, value in (spec.get("overhead") or {}).items():
        where = path.child("overhead").key(name)
        validate_container_resource_name(name, where, errors)
        validate_quantity_value(name, value, where, errors)
    if spec.get("os") is not None:
        _validate_os(spec, path, errors)


def _validate_os(spec: Obj, path: Path, errors: ErrorList) -> None:
    name = spec["os"].get("name") or ""
    where = path.child("os")
    if not name:
        errors.required(where.child("name"), "cannot be empty")
        return
    if not checks.one_of(name, ("linux", "windows"), where, errors):
        return
    wrong = _WINDOWS_ONLY if name == "linux" else _LINUX_ONLY
    message = f"cannot be set for a {'linux' if name == 'linux' else 'windows'} pod"
    context = spec.get("securityContext") or {}
    for field in wrong:
        if context.get(field) is not None:
            errors.forbidden(path.child("securityContext", field), message)
    if name == "windows":
        for field in _LINUX_ONLY_POD:
            if spec.get(field):
                errors.forbidden(path.child(field), message)
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(group) or ()):
            at = path.child(group).index(i).child("securityContext")
            for field in wrong:
                if (container.get("securityContext") or {}).get(field) is not None:
                    errors.forbidden(at.child(field), message)


def _validate_host_network(spec: Obj, path: Path, errors: ErrorList, *, is_pod: bool) -> None:
    """On the host's network, a container's port is the host's port."""
    if not spec.get("hostNetwork"):
        return
    for i, container in enumerate(spec.get("containers") or ()):
        ports = path.child("containers").index(i).child("ports")
        for j, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                message = "must match `containerPort` when `hostNetwork` is true"
                errors.invalid(ports.index(j).child("hostPort"), host, message)


def _claim_in_go(claim: Obj) -> Obj:
    """A pod's claim as upstream shows it: its internal type, by Go's field names."""
    fields = ("name", "resourceClaimName", "resourceClaimTemplateName")
    shown: Obj = {field[0].upper() + field[1:]: claim.get(field) for field in fields}
    shown["Name"] = shown["Name"] or ""
    return shown


def _validate_claims(claims: Sequence[Obj], path: Path, errors: ErrorList) -> set[str]:
    """Check the pod's resource claims; returns their names."""
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        at = path.child("resourceClaims").index(i)
        name = claim.get("name") or ""
        if name in seen:
            errors.duplicate(at.child("name"), name)
        elif not name:
            errors.required(at.child("name"))
        else:
            checks.dns_label(name, at.child("name"), errors)
        seen.add(name)
        given = checks.exactly_one(claim, ("resourceClaimName", "resourceClaimTemplateName"))
        if not given:
            message = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.invalid(at, _claim_in_go(claim), message)
        elif len(given) > 1:
            message = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
            errors.invalid(at, _claim_in_go(claim), message)
        for field in given:
            checks.dns_subdomain(claim[field], at.child(field), errors)
    return seen
