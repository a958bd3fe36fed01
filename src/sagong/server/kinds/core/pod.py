"""Pods."""

from collections.abc import Mapping

from sagong.api.pod_defaults import default_pod_only, default_pod_spec
from sagong.api.types import Obj
from sagong.server.kinds.core.pod_qos import qos_class
from sagong.server.kinds.core.pod_update import validate_pod_status_update, validate_pod_update
from sagong.server.kinds.core.pod_validation import validate_pod_create
from sagong.server.kinds.core.pod_warnings import pod_warnings
from sagong.server.kinds.strategy import Strategy


def default(pod: Obj) -> None:
    spec = pod.setdefault("spec", {})
    default_pod_only(spec)
    default_pod_spec(spec)


def prepare_for_create(pod: Obj) -> None:
    """A new pod is Pending; matchLabelKeys are resolved into selectors once and for all."""
    spec = pod["spec"]
    status: Obj = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    pod["status"] = status
    labels = pod["metadata"].get("labels") or {}
    _merge_affinity_keys(spec, labels)
    _merge_spread_keys(spec, labels)


def prepare_for_update(new: Obj, old: Obj) -> None:
    """Status and its QoS class stay as they are."""
    if old.get("status") is not None:
        new["status"] = dict(old["status"])


def prepare_for_status_update(new: Obj, old: Obj) -> None:
    """A status write cannot change what kubelet and scheduler must agree on."""
    new["spec"] = old["spec"]
    if old["metadata"].get("deletionTimestamp") is None:
        new["metadata"].pop("deletionTimestamp", None)
    status = new.setdefault("status", {})
    if not status.get("qosClass"):
        status["qosClass"] = (old.get("status") or {}).get("qosClass") or qos_class(old["spec"])
    _normalise_ips(status, "podIP", "podIPs", (old.get("status") or {}))
    _normalise_ips(status, "hostIP", "hostIPs", (old.get("status") or {}))


def _normalise_ips(status: Obj, single: str, several: str, old: Obj) -> None:
    """Keep the one address equal to the first of the list, whichever of the two a client set."""
    ip, ips = status.get(single), status.get(several)
    if ip and (not ips or (ips == old.get(several) and ip != old.get(single))):
        status[several] = [{"ip": ip}]
    elif ips and not ip:
        status[single] = ips[0].get("ip", "")


def _merge_affinity_keys(spec: Obj, labels: Mapping[str, str]) -> None:
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name) or {}
        for term in part.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_term(term, labels)
        for weighted in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_term(weighted.get("podAffinityTerm") or {}, labels)


def _merge_term(term: Obj, labels: Mapping[str, str]) -> None:
    if term.get("labelSelector") is None:
        return
    for keys, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        _merge_keys(term["labelSelector"], term.get(keys) or (), operator, labels)


def _merge_spread_keys(spec: Obj, labels: Mapping[str, str]) -> None:
    for constraint in spec.get("topologySpreadConstraints") or ():
        selector = constraint.get("labelSelector")
        if selector is not None:
            _merge_keys(selector, constraint.get("matchLabelKeys") or (), "In", labels)


def _merge_keys(selector: Obj, keys: object, operator: str, labels: Mapping[str, str]) -> None:
    for key in keys if isinstance(keys, list) else ():
        if key in labels:
            requirement = {"key": key, "operator": operator, "values": [labels[key]]}
            selector.setdefault("matchExpressions", []).append(requirement)


def selectable_fields(pod: Obj) -> Mapping[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ips = status.get("podIPs") or ()
    return {
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.restartPolicy": spec.get("restartPolicy", ""),
        "spec.schedulerName": spec.get("schedulerName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase", ""),
        "status.podIP": ips[0].get("ip", "") if ips else status.get("podIP", ""),
        "status.nominatedNodeName": status.get("nominatedNodeName", ""),
    }


STRATEGY = Strategy(
    warnings=pod_warnings,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    prepare_for_status_update=prepare_for_status_update,
    validate=validate_pod_create,
    validate_update=validate_pod_update,
    validate_status_update=validate_pod_status_update,
    # An update has rules of its own; validate_pod_update runs those of the spec as well.
    validates_on_update=False,
    selectable_fields=selectable_fields,
    selectable_field_names=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    has_generation=True,
    graceful=True,
)
