"""PodSecurity: namespaces hold their pods to a standard, by their labels.

Source of semantics: upstream's ``pod-security-admission/admission``.
"""

from collections.abc import Mapping, Sequence

from sagong.api.errors import invalid
from sagong.api.meta import annotations_of, labels_of, name_of
from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating, refuse
from sagong.server.admission.pod_security.checks import Violation
from sagong.server.admission.pod_security.policy import Level, Policy, Standard, read_policy
from sagong.server.admission.pod_security.settings import NO_SETTINGS, Settings

# Pods of a namespace that are looked at when its standard is raised, as upstream bounds it.
PODS_CHECKED_MAX = 3000

_IGNORED_SUBRESOURCES = frozenset(
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"]
)
# Where kinds that make pods keep their template.
_TEMPLATES: Mapping[str, Sequence[str]] = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Validating):
    name = "PodSecurity"
    resources = frozenset(("pods", "namespaces", *_TEMPLATES))

    def __init__(self, settings: Settings = NO_SETTINGS) -> None:
        self._settings = settings

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None or attributes.operation is Operation.CONNECT:
            return
        resource, settings = attributes.resource.name, self._settings
        if resource != "namespaces" and settings.exempts(
            attributes.user.name, attributes.namespace
        ):
            return
        if resource == "pods":
            _check_pod(attributes, attributes.obj, settings)
        elif resource in _TEMPLATES and not attributes.subresource:
            _warn_of_template(attributes, attributes.obj, settings)
        elif resource == "namespaces" and not attributes.subresource:
            _check_namespace(attributes, attributes.obj)


def _policy(attributes: Attributes, settings: Settings) -> Policy:
    namespace = attributes.lister.get("namespaces", "", attributes.namespace)
    labels = labels_of(namespace.obj) if namespace else {}
    return read_policy({**settings.defaults, **labels})


def _check_pod(attributes: Attributes, pod: Obj, settings: Settings) -> None:
    if attributes.subresource in _IGNORED_SUBRESOURCES:
        return
    if pod["spec"].get("runtimeClassName") in settings.runtime_classes:
        return
    policy = _policy(attributes, settings)
    if max(policy.enforce.level, policy.warn.level) is Level.PRIVILEGED:
        return
    if attributes.old is not None and not _is_significant(pod, attributes.old):
        return
    found = policy.enforce.violations(pod["metadata"], pod["spec"])
    if found:
        raise refuse(attributes, f'violates PodSecurity "{policy.enforce}": {_show(found)}')
    _warn(attributes, policy.warn, pod["metadata"], pod["spec"])


def _warn_of_template(attributes: Attributes, obj: Obj, settings: Settings) -> None:
    policy = _policy(attributes, settings)
    if policy.warn.level is Level.PRIVILEGED:
        return
    template: Obj = obj
    for step in _TEMPLATES[attributes.resource.name]:
        template = template.get(step) or {}
    spec = template.get("spec")
    if spec and spec.get("runtimeClassName") not in settings.runtime_classes:
        _warn(attributes, policy.warn, template.get("metadata") or {}, spec)


def _warn(attributes: Attributes, standard: Standard, metadata: Obj, spec: Obj) -> None:
    found = standard.violations(metadata, spec)
    if found:
        attributes.warnings.append(f'would violate PodSecurity "{standard}": {_show(found)}')


def _show(found: Sequence[Violation]) -> str:
    return ", ".join(map(str, found))


def _is_significant(new: Obj, old: Obj) -> bool:
    """True if an update changes what the checks look at: containers, images, seccomp notes."""
    if _seccomp_notes(new) != _seccomp_notes(old):
        return True
    for part in ("containers", "initContainers"):
        after, before = new["spec"].get(part) or [], old["spec"].get(part) or []
        if [c.get("image") for c in after] != [c.get("image") for c in before]:
            return True
    known = {c["name"]: c.get("image") for c in old["spec"].get("ephemeralContainers") or ()}
    return any(
        c["name"] not in known or known[c["name"]] != c.get("image")
        for c in new["spec"].get("ephemeralContainers") or ()
    )


def _seccomp_notes(pod: Obj) -> dict[str, str]:
    return {
        key: value
        for key, value in annotations_of(pod).items()
        if "seccomp.security.alpha.kubernetes.io/" in key
    }


def _check_namespace(attributes: Attributes, namespace: Obj) -> None:
    """Labels must be readable; raising the standard warns of pods that break it already."""
    found = ErrorList()
    policy = read_policy(labels_of(namespace), found)
    old = attributes.old
    known = ErrorList()
    before = read_policy(labels_of(old), known) if old is not None else None
    if found and found != known:
        raise invalid("", "Namespace", name_of(namespace), found)
    if before is None or policy.enforce == before.enforce:
        return
    same_version = policy.enforce.minor == before.enforce.minor
    if same_version and policy.enforce.level <= before.enforce.level:
        return
    if policy.enforce.level is not Level.PRIVILEGED:
        attributes.warnings += _existing(attributes, name_of(namespace), policy.enforce)


def _existing(attributes: Attributes, namespace: str, standard: Standard) -> list[str]:
    """Warnings about pods that are there, alike ones together."""
    pods = [encoded.obj for encoded in attributes.lister.list("pods", namespace)]
    names: dict[str, list[str]] = {}
    for pod in pods[:PODS_CHECKED_MAX]:
        reasons = [v.reason for v in standard.violations(pod["metadata"], pod["spec"])]
        if reasons:
            names.setdefault(", ".join(reasons), []).append(name_of(pod))
    warnings = []
    if len(pods) > PODS_CHECKED_MAX:
        warnings.append(
            "new PodSecurity enforce level only checked against the first"
            f" {PODS_CHECKED_MAX} of {len(pods)} existing pods"
        )
    if names:
        warnings.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level'
            f' "{standard}"'
        )
    return [*warnings, *sorted(_decorated(reason, who) for reason, who in names.items())]


def _decorated(reason: str, names: Sequence[str]) -> str:
    others = len(names) - 1
    if not others:
        return f"{names[0]}: {reason}"
    pods = "other pod" if others == 1 else "other pods"
    return f"{min(names)} (and {others} {pods}): {reason}"
