"""The checks of the Pod Security Standards, each in every version of the policy that there was.

Pure: a check looks at a pod's metadata and spec and says what it forbids, or nothing. Source of
semantics: upstream's ``pod-security-admission/policy``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sagong.api.types import Obj

LATEST = 10_000  # the version "latest": newer than any 1.x


@dataclass(frozen=True, slots=True)
class Violation:
    """What a check forbids: in two words, and in detail."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


# Of metadata, spec and the version's minor number.
Check = Callable[[Obj, Obj, int], Violation | None]


def baseline(metadata: Obj, spec: Obj, minor: int) -> list[Violation]:
    """What the level "baseline" of version 1.<minor> forbids."""
    return _run(_BASELINE, metadata, spec, minor)


def restricted(metadata: Obj, spec: Obj, minor: int) -> list[Violation]:
    """What the level "restricted" of version 1.<minor> forbids.

    Stricter checks stand in for those of baseline that they contain.
    """
    replaced = {"hostPathVolumes"}
    if minor >= 19:
        replaced.add("seccompProfile_baseline")
    if minor >= 22:
        replaced.add("capabilities_baseline")
    kept = [entry for entry in _BASELINE if entry[0] not in replaced]
    return _run([*kept, *_RESTRICTED], metadata, spec, minor)


def _run(
    checks: Iterable[tuple[str, int, Check]], metadata: Obj, spec: Obj, minor: int
) -> list[Violation]:
    found = [check(metadata, spec, minor) for _, since, check in checks if minor >= since]
    return [violation for violation in found if violation is not None]


def _containers(spec: Obj) -> Iterator[Obj]:
    for part in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(part) or ()


def _context(holder: Obj) -> Obj:
    return holder.get("securityContext") or {}


def _is_windows(spec: Obj) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _has_own_users(spec: Obj, minor: int) -> bool:
    """Root of a pod with a user namespace is nobody outside: from 1.35 on that counts."""
    return minor >= 35 and spec.get("hostUsers") is False


def quoted(names: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(f'"{name}"' for name in names)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


def _named(names: Sequence[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{_plural('container', len(names))} {quoted(names)}"


def _setters(pod: bool, containers: Sequence[str]) -> str:
    """Who sets something bad: ``pod and container "a"``; "" if nobody."""
    parts = ["pod"] if pod else []
    return " and ".join([*parts, _named(containers)] if containers else parts)


# Baseline


def _app_armor(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = (None, "RuntimeDefault", "Localhost")
    bad: set[str] = set()

    def is_bad(holder: Obj) -> bool:
        type_ = (_context(holder).get("appArmorProfile") or {}).get("type")
        if type_ not in allowed:
            bad.add(type_)
        return type_ not in allowed

    in_pod = is_bad(spec)
    names = [c["name"] for c in _containers(spec) if is_bad(c)]
    prefix = "container.apparmor.security.beta.kubernetes.io/"
    notes = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(prefix)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    setters = [s for s in (_setters(in_pod, names),) if s]
    if notes:
        setters.append(_plural("annotation", len(notes)))
    if not setters:
        return None
    values = [*sorted(bad), *notes]
    return Violation(
        _plural("forbidden AppArmor profile", len(values)),
        f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(values)}",
    )


_DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)


def _capabilities_baseline(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names, values = [], set()
    for container in _containers(spec):
        added = set((_context(container).get("capabilities") or {}).get("add") or ())
        if added - _DEFAULT_CAPABILITIES:
            names.append(container["name"])
            values |= added - _DEFAULT_CAPABILITIES
    if not names:
        return None
    return Violation(
        "non-default capabilities",
        f"{_named(names)} must not include {quoted(sorted(values))}"
        " in securityContext.capabilities.add",
    )


def _host_namespaces(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def _host_path_volumes(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    if not names:
        return None
    return Violation("hostPath volumes", f"{_plural('volume', len(names))} {quoted(names)}")


def _host_ports(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names, ports = [], set()
    for container in _containers(spec):
        used = {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}
        if used:
            names.append(container["name"])
            ports |= used
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    detail = f"{_named(names)} {uses} {_plural('hostPort', len(ports))} {', '.join(sorted(ports))}"
    return Violation("hostPort", detail)


def _probe_hosts(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names, hosts = set(), set()
    for container in _containers(spec):
        handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        lifecycle = container.get("lifecycle") or {}
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        for handler in handlers:
            for action in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(action) or {}).get("host")
                if host:
                    names.add(container["name"])
                    hosts.add(host)
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("probe or lifecycle host", len(hosts))
    return Violation(
        "probe or lifecycle host", f"{_named(sorted(names))} {uses} {what} {quoted(sorted(hosts))}"
    )


def _privileged(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names = [c["name"] for c in _containers(spec) if _context(c).get("privileged")]
    if not names:
        return None
    return Violation("privileged", f"{_named(names)} must not set securityContext.privileged=true")


def _proc_mount(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if _has_own_users(spec, minor):
        return None
    bad = {
        c["name"]: _context(c)["procMount"]
        for c in _containers(spec)
        if _context(c).get("procMount") not in (None, "Default")
    }
    if not bad:
        return None
    values = quoted(sorted(set(bad.values())))
    return Violation(
        "procMount", f"{_named(list(bad))} must not set securityContext.procMount to {values}"
    )


def _selinux(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = {"", "container_t", "container_init_t", "container_kvm_t"}
    if minor >= 31:
        allowed.add("container_engine_t")
    types: set[str] = set()
    fields: set[str] = set()

    def is_bad(holder: Obj) -> bool:
        options = _context(holder).get("seLinuxOptions") or {}
        type_ = options.get("type") or ""
        own = {field for field in ("user", "role") if options.get(field)}
        fields.update(own)
        if type_ not in allowed:
            types.add(type_)
        return bool(own) or type_ not in allowed

    setters = _setters(is_bad(spec), [c["name"] for c in _containers(spec) if is_bad(c)])
    if not setters:
        return None
    bad = [f"{_plural('type', len(types))} {quoted(sorted(types))}"] if types else []
    bad += [f"{field} may not be set" for field in ("user", "role") if field in fields]
    detail = f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(bad)}"
    return Violation("seLinuxOptions", detail)


def _seccomp_annotations(metadata: Obj, spec: Obj) -> Violation | None:
    """Before 1.19 profiles were annotations."""
    suffix = "seccomp.security.alpha.kubernetes.io/"
    keys = [suffix + "pod", *(f"container.{suffix}{c['name']}" for c in _containers(spec))]
    annotations = metadata.get("annotations") or {}
    bad = sorted(
        f'{key}="{annotations[key]}"'
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    if not bad:
        return None
    what = _plural("annotation", len(bad))
    return Violation("seccompProfile", f"forbidden {what} {', '.join(bad)}")


_SECCOMP_ALLOWED = ("RuntimeDefault", "Localhost")


def _seccomp_type(holder: Obj) -> str | None:
    profile = _context(holder).get("seccompProfile")
    return None if profile is None else str(profile.get("type", ""))


def _seccomp_baseline(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 19:
        return _seccomp_annotations(metadata, spec)
    allowed = (None, *_SECCOMP_ALLOWED)
    bad = [c for c in _containers(spec) if _seccomp_type(c) not in allowed]
    in_pod = _seccomp_type(spec) not in allowed
    setters = _setters(in_pod, [c["name"] for c in bad])
    if not setters:
        return None
    values = {str(_seccomp_type(holder)) for holder in ([spec, *bad] if in_pod else bad)}
    return Violation(
        "seccompProfile",
        f"{setters} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}",
    )


_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}  # with the minor version since when each is allowed


def _sysctls(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names = [s.get("name", "") for s in _context(spec).get("sysctls") or ()]
    bad = [name for name in names if minor < _SYSCTLS.get(name, LATEST + 1)]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def _windows_host_process(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    def is_bad(holder: Obj) -> bool:
        return bool((_context(holder).get("windowsOptions") or {}).get("hostProcess"))

    setters = _setters(is_bad(spec), [c["name"] for c in _containers(spec) if is_bad(c)])
    if not setters:
        return None
    return Violation(
        "hostProcess",
        f"{setters} must not set securityContext.windowsOptions.hostProcess=true",
    )


# Restricted


def _privilege_escalation(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= 25 and _is_windows(spec):
        return None
    names = [
        c["name"]
        for c in _containers(spec)
        if _context(c).get("allowPrivilegeEscalation") is not False
    ]
    if not names:
        return None
    return Violation(
        "allowPrivilegeEscalation != false",
        f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false",
    )


def _capabilities_restricted(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= 25 and _is_windows(spec):
        return None
    keeping, adding, added = [], [], set()
    for container in _containers(spec):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keeping.append(container["name"])
        extra = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(container["name"])
            added |= extra
    details = []
    if keeping:
        details.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(
            f"{_named(adding)} must not include {quoted(sorted(added))}"
            " in securityContext.capabilities.add"
        )
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


_PLAIN_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_OTHER_VOLUMES = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
]


def _restricted_volumes(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    names, types = [], set()
    for volume in spec.get("volumes") or ():
        if not _PLAIN_VOLUMES & volume.keys():
            names.append(volume["name"])
            types.add(next((t for t in _OTHER_VOLUMES if t in volume), "unknown"))
    if not names:
        return None
    uses = "uses" if len(names) == 1 else "use"
    what = _plural("restricted volume type", len(types))
    return Violation(
        "restricted volume types",
        f"{_plural('volume', len(names))} {quoted(names)} {uses} {what} {quoted(sorted(types))}",
    )


def _run_as_non_root(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if _has_own_users(spec, minor):
        return None
    in_pod = _context(spec).get("runAsNonRoot")
    own = {c["name"]: _context(c).get("runAsNonRoot") for c in _containers(spec)}
    setters = _setters(in_pod is False, [name for name, value in own.items() if value is False])
    if setters:
        return Violation(
            "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
        )
    silent = [name for name, value in own.items() if value is None]
    if in_pod or not silent:
        return None
    return Violation(
        "runAsNonRoot != true",
        f"pod or {_named(silent)} must set securityContext.runAsNonRoot=true",
    )


def _run_as_user(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if _has_own_users(spec, minor):
        return None
    names = [c["name"] for c in _containers(spec) if _context(c).get("runAsUser") == 0]
    setters = _setters(_context(spec).get("runAsUser") == 0, names)
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _seccomp_restricted(metadata: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= 25 and _is_windows(spec):
        return None
    bad = _seccomp_baseline(metadata, spec, minor)
    if bad:
        return bad
    silent = [c["name"] for c in _containers(spec) if _seccomp_type(c) is None]
    if not silent or _seccomp_type(spec) in _SECCOMP_ALLOWED:
        return None
    return Violation(
        "seccompProfile",
        f"pod or {_named(silent)} must set securityContext.seccompProfile.type to"
        ' "RuntimeDefault" or "Localhost"',
    )


# By upstream's identifier, in its order; with the first version that has the check.
_BASELINE: tuple[tuple[str, int, Check], ...] = (
    ("appArmorProfile", 0, _app_armor),
    ("capabilities_baseline", 0, _capabilities_baseline),
    ("hostNamespaces", 0, _host_namespaces),
    ("hostPathVolumes", 0, _host_path_volumes),
    ("hostPorts", 0, _host_ports),
    ("hostProbesAndHostLifecycle", 34, _probe_hosts),
    ("privileged", 0, _privileged),
    ("procMount", 0, _proc_mount),
    ("seLinuxOptions", 0, _selinux),
    ("seccompProfile_baseline", 0, _seccomp_baseline),
    ("sysctls", 0, _sysctls),
    ("windowsHostProcess", 0, _windows_host_process),
)
_RESTRICTED: tuple[tuple[str, int, Check], ...] = (
    ("allowPrivilegeEscalation", 8, _privilege_escalation),
    ("capabilities_restricted", 22, _capabilities_restricted),
    ("restrictedVolumes", 0, _restricted_volumes),
    ("runAsNonRoot", 0, _run_as_non_root),
    ("runAsUser", 23, _run_as_user),
    ("seccompProfile_restricted", 19, _seccomp_restricted),
)
