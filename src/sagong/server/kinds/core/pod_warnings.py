"""Warnings about pods and pod templates that are accepted but not as meant.

Upstream: pkg/api/pod/warnings.go. The pod's own paths begin at ``spec``, a template's below it.
"""

from collections.abc import Iterator

from sagong.api import names
from sagong.api.pod_defaults import CONTAINER_LISTS
from sagong.api.types import Obj
from sagong.api.validation import Path
from sagong.server.kinds.core.volume_warnings import fractions, volume_warnings
from sagong.server.kinds.node_labels import DEPRECATED, node_term_warnings

_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
    "security.alpha.kubernetes.io/unsafe-sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_WHY = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_WHY = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_BYTES = ("memory", "ephemeral-storage")
_ZONE_IN_SCHEDULE = (
    "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see "
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)
_NO_SELECTOR = "a null labelSelector results in matching no pod"
_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of a new pod: its name as a hostname, then everything in its spec.

    Pods are changed by programs, which have no use for warnings.
    """
    if old is not None:
        return []
    return name_warnings(new, "the Pod's hostname") + _warnings(new, Path(), is_pod=True)


def workload_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of a workload's template; nothing while its spec stays as it was."""
    if old is not None and _generation(new) == _generation(old):
        return []
    return _warnings(new["spec"].get("template") or {}, Path("spec").child("template"))


def _generation(obj: Obj) -> int:
    return obj["metadata"].get("generation") or 0


def cron_job_warnings(new: Obj, old: Obj | None) -> list[str]:
    found = [] if old is not None else name_warnings(new, "Pod names and hostnames")
    if old is None or _generation(new) != _generation(old):
        template = ((new["spec"].get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
        path = Path("spec").child("jobTemplate", "spec", "template")
        found += _warnings(template, path)
    if "TZ" in (new["spec"].get("schedule") or ""):
        found.append(_ZONE_IN_SCHEDULE)
    return found


def replicated_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of workloads whose pods have the workload's name in theirs."""
    found = [] if old is not None else name_warnings(new, "Pod names and hostnames")
    return found + workload_warnings(new, old)


def name_warnings(obj: Obj, use: str) -> list[str]:
    name = obj["metadata"].get("name") or ""
    problems = names.dns1123_label(name) if name else []
    if not problems:
        return []
    listed = "[" + " ".join(problems) + "]"
    why = "which can result in surprising behavior; a DNS label is recommended"
    return [f"metadata.name: this is used in {use}, {why}: {listed}"]


def template_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of a PodTemplate."""
    template = new.get("template") or {}
    if old is not None and _generation(new) == _generation(old):
        return []
    return _warnings(template, Path("template"))


def _warnings(template: Obj, path: Path, *, is_pod: bool = False) -> list[str]:
    spec = template.get("spec") or {}
    meta = template.get("metadata") or {}
    at = path.child("spec")
    annotations = _profiles(spec, meta, path.child("metadata", "annotations"), is_pod=is_pod)
    return [
        *_placement(spec, at),
        *_annotations(meta, path.child("metadata", "annotations")),
        *volume_warnings(spec.get("volumes") or (), at.child("volumes")),
        *_spec(spec, at),
        *annotations,
        *_containers(spec, at),
        *_ports(spec, at),
    ]


def _placement(spec: Obj, path: Path) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in DEPRECATED:
            yield f"{path.child('nodeSelector').key(key)}: {DEPRECATED[key]}"
    affinity = spec.get("affinity") or {}
    where = path.child("affinity", "nodeAffinity")
    node = affinity.get("nodeAffinity") or {}
    required = (node.get(_TERMS) or {}).get("nodeSelectorTerms") or ()
    for i, term in enumerate(required):
        at = where.child(_TERMS, "nodeSelectorTerms").index(i)
        yield from node_term_warnings(term, at)
    for i, weighted in enumerate(node.get(_PREFERRED) or ()):
        at = where.child(_PREFERRED).index(i).child("preference")
        yield from node_term_warnings(weighted.get("preference") or {}, at)
    for name in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(name) or {}, path.child("affinity", name))
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at = path.child("topologySpreadConstraints").index(i)
        key = constraint.get("topologyKey")
        if key in DEPRECATED:
            yield f"{at.child('topologyKey')}: {key} is {DEPRECATED[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at.child('labelSelector')}: {_NO_SELECTOR}"


def _pod_affinity(affinity: Obj, path: Path) -> Iterator[str]:
    for i, term in enumerate(affinity.get(_TERMS) or ()):
        if term.get("labelSelector") is None:
            yield f"{path.child(_TERMS).index(i).child('labelSelector')}: {_NO_SELECTOR}"
    for i, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
            where = path.child(_PREFERRED).index(i).child("podAffinityTerm", "labelSelector")
            yield f"{where}: {_NO_SELECTOR}"


def _annotations(meta: Obj, path: Path) -> Iterator[str]:
    for key, why in _ANNOTATIONS.items():
        if key in (meta.get("annotations") or {}):
            yield f"{path.key(key)}: {why}"


def _profiles(spec: Obj, meta: Obj, path: Path, *, is_pod: bool) -> Iterator[str]:
    """Profiles that are only named by annotations. Of a pod's own AppArmor, fields were made."""
    annotations = meta.get("annotations") or {}
    whole = spec.get("securityContext") or {}
    if _SECCOMP_POD in annotations and whole.get("seccompProfile") is None:
        yield f"{path.key(_SECCOMP_POD)}: {_SECCOMP_WHY}"
    for group in CONTAINER_LISTS:
        for container in spec.get(group) or ():
            own, name = container.get("securityContext") or {}, container.get("name") or ""
            if _SECCOMP_CONTAINER + name in annotations and own.get("seccompProfile") is None:
                yield f"{path.key(_SECCOMP_CONTAINER + name)}: {_SECCOMP_WHY}"
            has_field = any(c.get("appArmorProfile") is not None for c in (whole, own))
            if _APPARMOR_CONTAINER + name in annotations and not (is_pod or has_field):
                yield f"{path.key(_APPARMOR_CONTAINER + name)}: {_APPARMOR_WHY}"


def _spec(spec: Obj, path: Path) -> Iterator[str]:
    yield from _repeated(spec, "hostAliases", "ip", path)
    yield from _repeated(spec, "imagePullSecrets", "name", path)
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        name = secret.get("name") or ""
        where = path.child("imagePullSecrets").index(i).child("name")
        if not name:
            yield f'{where}: invalid empty name ""'
    yield from fractions(spec.get("overhead") or {}, path.child("overhead"), _BYTES)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path.child('terminationGracePeriodSeconds')}: {why}"


def _repeated(spec: Obj, field: str, key: str, path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for i, item in enumerate(spec.get(field) or ()):
        value = item.get(key) or ""
        if value in seen:
            yield f'{path.child(field).index(i).child(key)}: duplicate {key} "{value}"'
        seen.add(value)


def _containers(spec: Obj, path: Path) -> Iterator[str]:
    for group in CONTAINER_LISTS:
        for i, container in enumerate(spec.get(group) or ()):
            at = path.child(group).index(i)
            resources = container.get("resources") or {}
            for name in _BYTES:
                for kind in ("limits", "requests"):
                    where = at.child("resources", kind)
                    yield from fractions(resources.get(kind) or {}, where, (name,))
            yield from _hidden_variables(container, at.child("env"))


def _hidden_variables(container: Obj, path: Path) -> Iterator[str]:
    """A variable may mention its own earlier value; otherwise naming it twice hides the first."""
    seen: set[str] = set()
    for i, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        earlier, value = f"$({name})", variable.get("value") or ""
        kept = earlier in value and value != earlier and variable.get("valueFrom") is None
        if name in seen and not kept:
            why = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path.index(i)}: {why}"
        seen.add(name)


def _ports(spec: Obj, path: Path) -> Iterator[str]:
    """Ports that get in each other's way, in all containers together."""
    known: dict[tuple[int, str], list[tuple[Path, int, str]]] = {}
    for group in CONTAINER_LISTS:
        for i, container in enumerate(spec.get(group) or ()):
            for j, port in enumerate(container.get("ports") or ()):
                at = path.child(group).index(i).child("ports").index(j)
                host, ip = port.get("hostPort") or 0, port.get("hostIP") or ""
                if ip and not host:
                    yield f"{at}: hostIP set without hostPort: {_port_in_go(port)}"
                place = (port.get("containerPort") or 0, port.get("protocol") or "")
                for other, other_host, other_ip in known.setdefault(place, []):
                    relation = _relation(host, ip, other_host, other_ip)
                    if relation:
                        yield f"{at}: {relation} port definition with {other}"
                known[place].append((at, host, ip))


def _relation(host: int, ip: str, other_host: int, other_ip: str) -> str:
    if (host, ip) == (other_host, other_ip):
        return "duplicate"
    if not host or not other_host:
        return "overlapping"
    if host == other_host and (not ip) != (not other_ip):
        return "dangerously ambiguous"
    return ""


def _port_in_go(port: Obj) -> str:
    """A port as Go's ``%+v`` shows the internal type."""
    fields = ("name", "hostPort", "containerPort", "protocol", "hostIP")
    shown = (f"{f[0].upper()}{f[1:]}:{port.get(f) or (0 if 'Port' in f else '')}" for f in fields)
    return "{" + " ".join(shown) + "}"
