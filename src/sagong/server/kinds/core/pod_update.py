"""What an update may change of a pod: main resource, status, resize, ephemeral containers."""

from collections.abc import Sequence
from typing import Any

from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path, show_value
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_qos import qos_class
from sagong.server.kinds.core.pod_validation import validate_pod

_SPEC = Path("spec")
_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_RESIZABLE = ("cpu", "memory")


def validate_pod_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """An update of the pod itself."""
    spec, before = new["spec"], old["spec"]
    validate_pod(new, errors)
    if _counts_differ(spec, before, errors):
        return
    _validate_deadline(spec, before, errors)
    _validate_tolerations(spec, before, errors)
    _validate_gates(spec, before, errors)
    gated = bool(before.get("schedulingGates"))
    if gated:
        _validate_narrowed_selector(spec, before, errors)
    munged = _munged(spec, before, gated=gated)
    if munged != before:
        fields = ",".join(_UPDATABLE)
        shown = "\n".join(_differences(before, munged, "spec"))
        errors.forbidden(_SPEC, f"pod updates may not change fields other than {fields}\n{shown}")


def _counts_differ(spec: Obj, before: Obj, errors: ErrorList) -> bool:
    differ = False
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            message = "pod updates may not add or remove containers"
            errors.forbidden(_SPEC.child(field), message)
            differ = True
    return differ


def _validate_deadline(spec: Obj, before: Obj, errors: ErrorList) -> None:
    seconds, was = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    where = _SPEC.child("activeDeadlineSeconds")
    if seconds is not None:
        if not checks.in_range(seconds, 0, checks.INT32_MAX, where, errors):
            return
        if was is not None and seconds > was:
            errors.invalid(where, seconds, "must be less than or equal to previous value")
    elif was is not None:
        errors.invalid(where, None, "must not update from a positive integer to nil value")


def _validate_tolerations(spec: Obj, before: Obj, errors: ErrorList) -> None:
    """Old tolerations stay, but for their seconds; new ones may come."""
    kept = [_without_seconds(t) for t in spec.get("tolerations") or ()]
    for toleration in before.get("tolerations") or ():
        if _without_seconds(toleration) not in kept:
            message = "existing toleration can not be modified except its tolerationSeconds"
            errors.forbidden(_SPEC.child("tolerations"), message)
            return


def _without_seconds(toleration: Obj) -> Obj:
    return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}


def _validate_gates(spec: Obj, before: Obj, errors: ErrorList) -> None:
    known = {g.get("name") for g in before.get("schedulingGates") or ()}
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            where = _SPEC.child("schedulingGates").index(i).child("name")
            name = gate.get("name")
            errors.forbidden(
                where, f"only deletion is allowed, but found new scheduling gate '{name}'"
            )


def _validate_narrowed_selector(spec: Obj, before: Obj, errors: ErrorList) -> None:
    """While gated, a node selector may gain entries, never lose or change one."""
    ours, theirs = spec.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(ours.get(key) != value for key, value in theirs.items()):
        message = "only additions are allowed (no mutations or deletions)"
        errors.invalid(_SPEC.child("nodeSelector"), ours, message)


def _munged(spec: Obj, before: Obj, *, gated: bool) -> Obj:
    """The new spec with everything that may change put back."""
    munged: Obj = deep_copy(spec)
    for group in ("containers", "initContainers"):
        for ours, theirs in zip(munged.get(group) or (), before.get(group) or (), strict=False):
            ours["image"] = theirs.get("image", "")
    fields = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if gated:
        fields += ["nodeSelector", "affinity"]
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and (
        munged.get("terminationGracePeriodSeconds") == 1
    ):
        fields.append("terminationGracePeriodSeconds")
    for field in fields:
        _restore(munged, before, field)
    return munged


def _restore(target: Obj, source: Obj, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def _differences(old: Any, new: Any, path: str) -> list[str]:
    """Changed leaves, one a line. Upstream shows Go's cmp.Diff here, whose text is not stable."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [line for k in keys for line in _differences(old.get(k), new.get(k), f"{path}.{k}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, f"{path}[{i}]")]
    return [] if old == new else [f"  {path}: {show_value(old)} -> {show_value(new)}"]


def validate_pod_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """An update of ``/status``: QoS stays, what has terminated for good stays terminated."""
    path = Path("status")
    status, before = new.get("status") or {}, old.get("status") or {}
    if status.get("nominatedNodeName"):
        where = path.child("nominatedNodeName")
        checks.dns_subdomain(status["nominatedNodeName"], where, errors)
    if before.get("qosClass") is not None:
        checks.unchanged(status.get("qosClass"), before["qosClass"], path.child("qosClass"), errors)
    policy = old["spec"].get("restartPolicy")
    if policy == "Always" or _may_restart_all(old):
        return
    for field, group in (
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
    ):
        sidecars = {
            c.get("name")
            for c in old["spec"].get(group) or ()
            if c.get("restartPolicy") is not None
        }
        _validate_transitions(
            (status.get(field) or (), before.get(field) or ()),
            policy or "",
            sidecars,
            path.child(field),
            errors,
        )


def _may_restart_all(pod: Obj) -> bool:
    """Whether some container's end may start all of them anew, those that have succeeded too."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for group in ("initContainers", "containers")
        for container in pod["spec"].get(group) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _validate_transitions(
    statuses: tuple[Sequence[Obj], Sequence[Obj]],
    policy: str,
    exempt: set[str | None],
    path: Path,
    errors: ErrorList,
) -> None:
    new, old = statuses
    for was in old:
        terminated = (was.get("state") or {}).get("terminated")
        if terminated is None or was.get("name") in exempt:
            continue
        if policy == "OnFailure" and terminated.get("exitCode") != 0:
            continue
        for i, now in enumerate(new):
            state = now.get("state") or {}
            if now.get("name") == was.get("name") and state.get("terminated") is None:
                where = path.index(i).child("state")
                errors.forbidden(where, "may not be transitioned to non-terminated state")


def validate_ephemeral_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """An update of ``/ephemeralcontainers``: containers may be added, never changed or removed."""
    validate_pod(new, errors)
    path = _SPEC.child("ephemeralContainers")
    ours = {c.get("name"): (i, c) for i, c in _named(new)}
    for name, container in ((c.get("name"), c) for _, c in _named(old)):
        if name not in ours:
            message = f"existing ephemeral containers {name!r} may not be removed"
            errors.forbidden(path, message.replace("'", '"') + "\n")
        elif ours[name][1] != container:
            message = f"existing ephemeral containers {name!r} may not be changed"
            errors.forbidden(path, message.replace("'", '"') + "\n")


def _named(pod: Obj) -> list[tuple[int, Obj]]:
    return list(enumerate(pod["spec"].get("ephemeralContainers") or ()))


def validate_resize(new: Obj, old: Obj, errors: ErrorList) -> None:
    """An update of ``/resize``: only cpu and memory of containers and of the pod itself, the
    QoS class unchanged."""
    validate_pod(new, errors)
    if _counts_differ(new["spec"], old["spec"], errors):
        return
    if qos_class(new["spec"]) != qos_class(old["spec"]):
        errors.invalid(
            _SPEC, qos_class(new["spec"]), "Pod QOS Class may not change as a result of resizing"
        )
    munged: Obj = deep_copy(new["spec"])
    _validate_removed(
        munged.get("resources") or {},
        old["spec"].get("resources") or {},
        _SPEC.child("resources"),
        errors,
    )
    _put_back_amounts(munged, old["spec"])
    for group in ("containers", "initContainers"):
        pairs = zip(munged.get(group) or (), old["spec"].get(group) or (), strict=False)
        for i, (ours, theirs) in enumerate(pairs):
            where = _SPEC.child(group).index(i).child("resources")
            _validate_removed(
                ours.get("resources") or {}, theirs.get("resources") or {}, where, errors
            )
            _put_back_amounts(ours, theirs)
            _restore(ours, theirs, "resizePolicy")
    if munged != old["spec"]:
        shown = "\n".join(_differences(old["spec"], munged, "spec"))
        errors.forbidden(_SPEC, f"only cpu and memory resources are mutable\n{shown}")


def _validate_removed(ours: Obj, theirs: Obj, path: Path, errors: ErrorList) -> None:
    for kind in ("requests", "limits"):
        for name in theirs.get(kind) or {}:
            if name in _RESIZABLE and name not in (ours.get(kind) or {}):
                errors.forbidden(path.child(kind), f"resource {kind} cannot be removed")


def _put_back_amounts(ours: Obj, theirs: Obj) -> None:
    resources = ours.get("resources") or {}
    before = theirs.get("resources") or {}
    for kind in ("requests", "limits"):
        merged = {k: v for k, v in (resources.get(kind) or {}).items() if k not in _RESIZABLE}
        merged |= {k: v for k, v in (before.get(kind) or {}).items() if k in _RESIZABLE}
        if merged:
            resources[kind] = merged
        else:
            resources.pop(kind, None)
    if resources or "resources" in theirs:
        ours["resources"] = resources
