"""Validation of security contexts, of pods and of containers."""

import re
from typing import Any

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_SYSCTL = re.compile(r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
_SYSCTL_TEXT = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_SYSCTL_CHARACTERS_MAX = 253
_GO_FIELDS = (
    *("Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup"),
    *("RunAsNonRoot", "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount"),
    *("SeccompProfile", "AppArmorProfile"),
)
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def _validate_id(value: int | None, path: Path, errors: ErrorList) -> None:
    if value is not None:
        checks.in_range(value, 0, checks.INT32_MAX, path, errors)


def validate_container_security(
    context: Obj, path: Path, errors: ErrorList, *, host_users: bool
) -> None:
    """A container's SecurityContext; ``host_users`` False: the pod has its own user namespace."""
    _validate_id(context.get("runAsUser"), path.child("runAsUser"), errors)
    _validate_id(context.get("runAsGroup"), path.child("runAsGroup"), errors)
    mount = context.get("procMount")
    if mount is not None:
        checks.one_of(mount, ("Default", "Unmasked"), path.child("procMount"), errors)
        if mount == "Unmasked" and host_users:
            message = "`hostUsers` must be false to use `Unmasked`"
            errors.invalid(path.child("procMount"), mount, message)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            message = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.invalid(path, _in_go(context), message)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            message = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            )
            errors.invalid(path, _in_go(context), message)
    _validate_profiles(context, path, errors)


def _in_go(value: Any) -> Any:
    """A container's security context as upstream shows it: its internal type, by Go's names."""
    shown: Obj = dict.fromkeys(_GO_FIELDS)
    for field, given in value.items():
        name = field.replace("seLinux", "SELinux") if field.startswith("seL") else field
        if isinstance(given, dict):
            given = {inner[0].upper() + inner[1:]: what for inner, what in given.items()}
        shown[name[0].upper() + name[1:]] = given
    if shown["Capabilities"] is not None:
        shown["Capabilities"] = {"Add": None, "Drop": None} | shown["Capabilities"]
    return shown


def validate_pod_security(spec: Obj, path: Path, errors: ErrorList) -> None:
    """``spec.securityContext`` and the host namespaces that go with it; ``path`` is the spec's."""
    context = spec.get("securityContext") or {}
    at = path.child("securityContext")
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        _validate_id(context.get(field), at.child(field), errors)
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        _validate_id(group, at.child("supplementalGroups").index(i), errors)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        message = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.invalid(path.child("shareProcessNamespace"), True, message)
    _validate_sysctls(context, spec, at, errors)
    for field, supported in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        if context.get(field) is not None:
            checks.one_of(context[field], supported, at.child(field), errors)
    _validate_profiles(context, at, errors)


def _validate_sysctls(context: Obj, spec: Obj, path: Path, errors: ErrorList) -> None:
    seen: set[str] = set()
    for i, sysctl in enumerate(context.get("sysctls") or ()):
        at = path.child("sysctls").index(i).child("name")
        name = sysctl.get("name") or ""
        if not name:
            errors.required(at)
        elif len(name) > _SYSCTL_CHARACTERS_MAX or not _SYSCTL.match(name):
            message = f"must have at most 253 characters and match regex {_SYSCTL_TEXT}"
            errors.invalid(at, name, message)
        elif name.replace("/", ".") in seen:
            errors.duplicate(at, name)
        seen.add(name.replace("/", "."))
        _validate_host_sysctl(name.replace("/", "."), spec, at, errors)


def _validate_host_sysctl(name: str, spec: Obj, path: Path, errors: ErrorList) -> None:
    for field, prefixes in (
        ("hostNetwork", ("net.",)),
        ("hostIPC", ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")),
    ):
        if spec.get(field) and name.startswith(prefixes):
            message = f"may not be specified when '{field}' is true"
            errors.invalid(path, name, message)


def _validate_profiles(context: Obj, path: Path, errors: ErrorList) -> None:
    seccomp, apparmor = context.get("seccompProfile"), context.get("appArmorProfile")
    if seccomp is not None:
        _validate_profile(seccomp, "seccomp", path.child("seccompProfile"), errors)
    if apparmor is not None:
        _validate_profile(apparmor, "AppArmor", path.child("appArmorProfile"), errors)


def _validate_profile(profile: Obj, word: str, path: Path, errors: ErrorList) -> None:
    type_, local = profile.get("type") or "", profile.get("localhostProfile")
    where = path.child("localhostProfile")
    if not type_:
        message = "type is required when " + path.text.rpartition(".")[2] + " is set"
        errors.required(path.child("type"), message)
    elif type_ == "Localhost":
        if not local:
            errors.required(where, f"must be set when {word} type is Localhost")
        elif word == "seccomp" and (local.startswith("/") or ".." in local.split("/")):
            message = (
                "must be a relative path" if local.startswith("/") else "must not contain '..'"
            )
            errors.invalid(where, local, message)
    else:
        if local is not None:
            errors.invalid(where, local, f"can only be set when {word} type is Localhost")
        checks.one_of(type_, _PROFILES, path.child("type"), errors)
