"""Warnings about pods and pod templates that are accepted but not as meant.

Upstream: pkg/api/pod/warnings.go. The pod's own paths begin at ``spec``, a template's below it.
"""

from collections.abc import Iterator

from sagong.api import names
from sagong.api.pod_defaults import CONTAINER_LISTS
from sagong.api.types import Obj
from sagong.api.validation import Path
from sagong.server.kinds import checks

_DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
}
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
    "seccomp.security.alpha.kubernetes.io/pod": (
        'non-functional in v1.27+; use the "seccompProfile" field instead'
    ),
}
_ANNOTATION_PREFIXES = {
    "container.seccomp.security.alpha.kubernetes.io/": (
        'non-functional in v1.27+; use the "seccompProfile" field instead'
    ),
    "container.apparmor.security.beta.kubernetes.io/": (
        'deprecated since v1.30; use the "appArmorProfile" field instead'
    ),
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_NO_SELECTOR = "a null labelSelector results in matching no pod"
_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of a pod: its name as a hostname (when new), then everything in its spec."""
    found = [] if old is not None else name_warnings(new, "the Pod's hostname")
    return found + _warnings(new, Path())


def workload_warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of a workload's template; nothing while the template stays as it was."""
    template = new["spec"].get("template") or {}
    if old is not None and old["spec"].get("template") == template:
        return []
    return _warnings(template, Path("spec").child("template"))


def cron_job_warnings(new: Obj, old: Obj | None) -> list[str]:
    template = ((new["spec"].get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
    path = Path("spec").child("jobTemplate", "spec", "template")
    return name_warnings(new, "Pod names and hostnames") + _warnings(template, path)


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


def _warnings(template: Obj, path: Path) -> list[str]:
    spec = template.get("spec") or {}
    meta = template.get("metadata") or {}
    at = path.child("spec")
    return [
        *_placement(spec, at),
        *_annotations(meta, path.child("metadata", "annotations")),
        *_volumes(spec, at.child("volumes")),
        *_spec(spec, at),
        *_containers(spec, at),
    ]


def _placement(spec: Obj, path: Path) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in _DEPRECATED_LABELS:
            yield f"{path.child('nodeSelector').key(key)}: {_DEPRECATED_LABELS[key]}"
    affinity = spec.get("affinity") or {}
    where = path.child("affinity", "nodeAffinity")
    node = affinity.get("nodeAffinity") or {}
    required = (node.get(_TERMS) or {}).get("nodeSelectorTerms") or ()
    for i, term in enumerate(required):
        at = where.child(_TERMS, "nodeSelectorTerms").index(i)
        yield from _node_term(term, at)
    for i, weighted in enumerate(node.get(_PREFERRED) or ()):
        at = where.child(_PREFERRED).index(i).child("preference")
        yield from _node_term(weighted.get("preference") or {}, at)
    for name in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(name) or {}, path.child("affinity", name))
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at = path.child("topologySpreadConstraints").index(i)
        key = constraint.get("topologyKey")
        if key in _DEPRECATED_LABELS:
            yield f"{at.child('topologyKey')}: {key} is {_DEPRECATED_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at.child('labelSelector')}: {_NO_SELECTOR}"


def _node_term(term: Obj, path: Path) -> Iterator[str]:
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        key = requirement.get("key")
        if key in _DEPRECATED_LABELS:
            where = path.child("matchExpressions").index(i).child("key")
            yield f"{where}: {key} is {_DEPRECATED_LABELS[key]}"


def _pod_affinity(affinity: Obj, path: Path) -> Iterator[str]:
    for i, term in enumerate(affinity.get(_TERMS) or ()):
        if term.get("labelSelector") is None:
            yield f"{path.child(_TERMS).index(i).child('labelSelector')}: {_NO_SELECTOR}"
    for i, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
            where = path.child(_PREFERRED).index(i).child("podAffinityTerm", "labelSelector")
            yield f"{where}: {_NO_SELECTOR}"


def _annotations(meta: Obj, path: Path) -> Iterator[str]:
    for key in meta.get("annotations") or {}:
        why = _ANNOTATIONS.get(key)
        for prefix, reason in _ANNOTATION_PREFIXES.items():
            why = reason if key.startswith(prefix) else why
        if why:
            yield f"{path.key(key)}: {why}"


def _volumes(spec: Obj, path: Path) -> Iterator[str]:
    for i, volume in enumerate(spec.get("volumes") or ()):
        for name, why in _VOLUMES.items():
            if volume.get(name) is not None:
                yield f"{path.index(i).child(name)}: {why}"


def _spec(spec: Obj, path: Path) -> Iterator[str]:
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        name = secret.get("name") or ""
        where = path.child("imagePullSecrets").index(i).child("name")
        if not name:
            yield f'{where}: invalid empty name ""'
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path.child('terminationGracePeriodSeconds')}: {why}"


def _containers(spec: Obj, path: Path) -> Iterator[str]:
    places: dict[tuple[str, str, int], Path] = {}
    for group in CONTAINER_LISTS:
        for i, container in enumerate(spec.get(group) or ()):
            at = path.child(group).index(i)
            yield from _fractions(container, at.child("resources"))
            yield from _hidden_variables(container, at.child("env"))
            if group == "containers":
                yield from _repeated_ports(container, at.child("ports"), places)


def _fractions(container: Obj, path: Path) -> Iterator[str]:
    for kind in ("limits", "requests"):
        amounts = (container.get("resources") or {}).get(kind) or {}
        for name in ("memory", "ephemeral-storage"):
            value = amounts.get(name)
            if value is not None and checks.quantity(value).nano % 10**9:
                where = path.child(kind).key(name)
                yield f'{where}: fractional byte value "{value}" is invalid, must be an integer'


def _hidden_variables(container: Obj, path: Path) -> Iterator[str]:
    """A variable may mention its own earlier value; otherwise naming it twice hides the first."""
    seen: set[str] = set()
    for i, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name in seen and f"$({name})" not in (variable.get("value") or ""):
            why = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path.index(i)}: {why}"
        seen.add(name)


def _repeated_ports(
    container: Obj, path: Path, places: dict[tuple[str, str, int], Path]
) -> Iterator[str]:
    seen: dict[tuple[str, int, int, str], Path] = {}
    for i, port in enumerate(container.get("ports") or ()):
        key = (
            port.get("protocol") or "",
            port.get("containerPort") or 0,
            port.get("hostPort") or 0,
            port.get("hostIP") or "",
        )
        at = path.index(i)
        if key in seen:
            yield f"{at}: duplicate port definition with {seen[key]}"
        seen.setdefault(key, at)
        name = port.get("name")
        if name:
            place = (name, key[0], 0)
            if place in places and not str(places[place]).startswith(str(path)):
                why = f'duplicate port name "{name}" with {places[place]}, services and probes '
                yield f"{at}: {why}that select ports by name will use {places[place]}"
            places.setdefault(place, at)
