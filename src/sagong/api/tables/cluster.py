"""The rows of everything that is neither core nor a workload."""

from collections.abc import Sequence
from typing import Any

from sagong.api.meta import condition
from sagong.api.selectors import shown_selector
from sagong.api.tables import cells
from sagong.api.tables.column import (
    AGE,
    CREATED_AT,
    NAME,
    Column,
    Printer,
    boolean,
    integer,
    text,
    wide,
)
from sagong.api.types import Obj

_HOSTS_SHOWN = 3
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_DEFAULT_ATTRIBUTES_CLASS = "volumeattributesclass.alpha.kubernetes.io/is-default-class"


def _counted(field: str) -> Any:
    def row(obj: Obj, now: float) -> list[Any]:
        return [cells.name(obj), len(obj.get(field) or ()), cells.age(obj, now)]

    return row


def _plain(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), cells.age(obj, now)]


def _created(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), obj["metadata"].get("creationTimestamp")]


def _policy(field: str) -> Any:
    def row(obj: Obj, now: float) -> list[Any]:
        spec = obj.get("spec") or {}
        kind = spec.get("paramKind")
        shown = f"{kind['apiVersion']}/{kind['kind']}" if kind else cells.UNSET
        return [cells.name(obj), len(spec.get(field) or ()), shown, cells.age(obj, now)]

    return row


def _policy_binding(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    ref = spec.get("paramRef")
    shown = cells.UNSET
    if ref and ref.get("name"):
        shown = f"{ref['namespace']}/{ref['name']}" if ref.get("namespace") else f"*/{ref['name']}"
    elif ref and ref.get("selector") is not None:
        shown = shown_selector(ref["selector"])
    return [cells.name(obj), spec.get("policyName", ""), shown, cells.age(obj, now)]


def _apiservice(obj: Obj, now: float) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    shown = f"{service['namespace']}/{service['name']}" if service else "Local"
    available = condition(obj, "Available")
    status = "Unknown"
    if available:
        status = available["status"]
        if status != "True" and available.get("reason"):
            status = f"{status} ({available['reason']})"
    return [cells.name(obj), shown, status, cells.age(obj, now)]


def _csr_condition(obj: Obj) -> str:
    status = obj.get("status") or {}
    types = {c["type"] for c in status.get("conditions") or ()}
    if "Denied" in types:
        word = "Denied"
    elif "Approved" in types:
        word = "Approved"
    else:
        word = "Pending"
    if "Failed" in types:
        word += ",Failed"
    return word + (",Issued" if status.get("certificate") else "")


def _csr(obj: Obj, now: float) -> list[Any]:
    spec = obj["spec"]
    seconds = spec.get("expirationSeconds")
    return [
        cells.name(obj),
        cells.age(obj, now),
        spec.get("signerName") or cells.NONE,
        spec.get("username", ""),
        cells.NONE if seconds is None else cells.human_duration(seconds),
        _csr_condition(obj),
    ]


def _lease(obj: Obj, now: float) -> list[Any]:
    holder = (obj.get("spec") or {}).get("holderIdentity") or ""
    return [cells.name(obj), holder, cells.age(obj, now)]


def _slice_port(port: Obj) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])


def _endpointslice(obj: Obj, now: float) -> list[Any]:
    ports = [_slice_port(port) for port in obj.get("ports") or ()]
    shown = (cells.shortened(ports, 3) if ports else "") or UNSET
    addresses = [a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()]
    listed = cells.shortened(addresses, 3) if addresses else UNSET
    return [cells.name(obj), obj.get("addressType", ""), shown, listed, cells.age(obj, now)]


UNSET = cells.UNSET


def _flowschema(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    method = spec.get("distinguisherMethod")
    dangling = condition(obj, "Dangling")
    return [
        cells.name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        method["type"] if method else cells.NONE,
        cells.age(obj, now),
        dangling["status"] if dangling else "?",
    ]


def _precedence(obj: Obj) -> tuple[int, str]:
    return (obj.get("spec") or {}).get("matchingPrecedence", 0), cells.name(obj)


def _prioritylevel(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    numbers = [limited.get("nominalConcurrencyShares")]
    numbers += [queuing.get(field) for field in ("queues", "handSize", "queueLengthLimit")]
    return [
        cells.name(obj),
        spec.get("type", ""),
        *(cells.NONE if number is None else number for number in numbers),
        cells.age(obj, now),
    ]


def _ingressclass(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters, shown = spec.get("parameters"), cells.NONE
    if parameters:
        kind = parameters["kind"]
        if parameters.get("apiGroup") is not None:
            kind += "." + parameters["apiGroup"]
        shown = f"{kind}/{parameters['name']}"
    return [cells.name(obj), spec.get("controller", ""), shown, cells.age(obj, now)]


def _hosts(rules: Sequence[Obj]) -> str:
    """Three hosts, and how many rules there are past three, as upstream counts."""
    hosts: list[str] = []
    for index, rule in enumerate(rules):
        if rule.get("host"):
            hosts.append(rule["host"])
        if len(hosts) == _HOSTS_SHOWN and index + 1 < len(rules):
            return ",".join(hosts) + f" + {len(rules) - _HOSTS_SHOWN} more..."
    return ",".join(hosts) or "*"


def _ingress(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = sorted({i.get("ip") or i.get("hostname") or "" for i in ingress} - {""})
    return [
        cells.name(obj),
        cells.pointer(spec.get("ingressClassName"), cells.NONE),
        _hosts(spec.get("rules") or []),
        ",".join(addresses),
        "80, 443" if spec.get("tls") else "80",
        cells.age(obj, now),
    ]


def _ipaddress(obj: Obj, now: float) -> list[Any]:
    ref = (obj.get("spec") or {}).get("parentRef")
    shown = cells.NONE
    if ref:
        kind = ref["resource"] + (f".{ref['group']}" if ref.get("group") else "")
        namespace = f"{ref['namespace']}/" if ref.get("namespace") else ""
        shown = f"{kind.lower()}/{namespace}{ref['name']}"
    # Upstream has no column for the age it sends.
    return [cells.name(obj), shown, cells.age(obj, now)]


def _networkpolicy(obj: Obj, now: float) -> list[Any]:
    pods = cells.selector((obj.get("spec") or {}).get("podSelector"))
    return [cells.name(obj), pods, cells.age(obj, now)]


def _servicecidr(obj: Obj, now: float) -> list[Any]:
    cidrs = ",".join((obj.get("spec") or {}).get("cidrs") or ())
    return [cells.name(obj), cidrs, cells.age(obj, now)]


def _runtimeclass(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), obj.get("handler", ""), cells.age(obj, now)]


def _subjects(obj: Obj, kind: str) -> str:
    found = []
    for subject in obj.get("subjects") or ():
        if subject["kind"] != kind:
            continue
        prefix = f"{subject.get('namespace', '')}/" if kind == "ServiceAccount" else ""
        found.append(prefix + subject["name"])
    return ", ".join(found)


def _binding(obj: Obj, now: float) -> list[Any]:
    ref = obj.get("roleRef") or {}
    return [
        cells.name(obj),
        f"{ref.get('kind', '')}/{ref.get('name', '')}",
        cells.age(obj, now),
        *(_subjects(obj, kind) for kind in ("User", "Group", "ServiceAccount")),
    ]


def _claim_states(obj: Obj) -> list[str]:
    states = []
    status = obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        states.append("deleted")
    if status.get("allocation") is None:
        if not states:
            states.append("pending")
    else:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    return states


def _resourceclaim(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), ",".join(_claim_states(obj)), cells.age(obj, now)]


def _resourceslice(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    node = spec.get("nodeName") or cells.UNSET
    if spec.get("allNodes"):
        node = "<all>"
    pool = (spec.get("pool") or {}).get("name", "")
    return [cells.name(obj), node, spec.get("driver", ""), pool, cells.age(obj, now)]


def _priorityclass(obj: Obj, now: float) -> list[Any]:
    return [
        cells.name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        cells.age(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


def _csidriver(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    return [
        cells.name(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        ",".join(t.get("audience", "") for t in requests) if requests else UNSET,
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes") or ()) or cells.NONE,
        cells.age(obj, now),
    ]


def _csinode(obj: Obj, now: float) -> list[Any]:
    drivers = (obj.get("spec") or {}).get("drivers") or ()
    return [cells.name(obj), len(drivers), cells.age(obj, now)]


def _storageclass(obj: Obj, now: float) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        cells.name(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        cells.age(obj, now),
    ]


def _attachment(obj: Obj, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        cells.name(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        bool((obj.get("status") or {}).get("attached")),
        cells.age(obj, now),
    ]


def _attributesclass(obj: Obj, now: float) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get(_DEFAULT_ATTRIBUTES_CLASS) == "true"
    shown = cells.name(obj) + (" (default)" if default else "")
    return [shown, obj.get("driverName", ""), cells.age(obj, now)]


_BINDING = Printer(
    [NAME, *text("Role"), AGE, *wide("Users", "Groups", "ServiceAccounts")], _binding
)
_POLICY_BINDING = Printer([NAME, *text("PolicyName", "ParamRef"), AGE], _policy_binding)
_WEBHOOKS = Printer([NAME, *integer("Webhooks"), AGE], _counted("webhooks"))
_CREATED = Printer([NAME, CREATED_AT], _created)

PRINTERS = {
    "mutatingadmissionpolicies.admissionregistration.k8s.io": Printer(
        [NAME, *integer("Mutations"), *text("ParamKind"), AGE], _policy("mutations")
    ),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "validatingadmissionpolicies.admissionregistration.k8s.io": Printer(
        [NAME, *integer("Validations"), *text("ParamKind"), AGE], _policy("validations")
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "customresourcedefinitions.apiextensions.k8s.io": _CREATED,
    "apiservices.apiregistration.k8s.io": Printer(
        [NAME, *text("Service", "Available"), AGE], _apiservice
    ),
    "certificatesigningrequests.certificates.k8s.io": Printer(
        [NAME, AGE, *text("SignerName", "Requestor", "RequestedDuration", "Condition")], _csr
    ),
    "leases.coordination.k8s.io": Printer([NAME, *text("Holder"), AGE], _lease),
    "endpointslices.discovery.k8s.io": Printer(
        [NAME, *text("AddressType", "Ports", "Endpoints"), AGE], _endpointslice
    ),
    "flowschemas.flowcontrol.apiserver.k8s.io": Printer(
        [
            NAME,
            *text("PriorityLevel", "MatchingPrecedence", "DistinguisherMethod"),
            AGE,
            *text("MissingPL"),
        ],
        _flowschema,
        order=_precedence,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Printer(
        [
            NAME,
            *text("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit"),
            AGE,
        ],
        _prioritylevel,
    ),
    "ingressclasses.networking.k8s.io": Printer(
        [NAME, *text("Controller", "Parameters"), AGE], _ingressclass
    ),
    "ingresses.networking.k8s.io": Printer(
        [NAME, *text("Class", "Hosts", "Address", "Ports"), AGE], _ingress
    ),
    "ipaddresses.networking.k8s.io": Printer([NAME, *text("ParentRef")], _ipaddress),
    "networkpolicies.networking.k8s.io": Printer(
        [NAME, *text("Pod-Selector"), AGE], _networkpolicy
    ),
    "servicecidrs.networking.k8s.io": Printer([NAME, *text("CIDRs"), AGE], _servicecidr),
    "runtimeclasses.node.k8s.io": Printer([NAME, *text("Handler"), AGE], _runtimeclass),
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterroles.rbac.authorization.k8s.io": _CREATED,
    "roles.rbac.authorization.k8s.io": _CREATED,
    "deviceclasses.resource.k8s.io": Printer([NAME, AGE], _plain),
    "resourceclaims.resource.k8s.io": Printer([NAME, *text("State"), AGE], _resourceclaim),
    "resourceclaimtemplates.resource.k8s.io": Printer([NAME, AGE], _plain),
    "resourceslices.resource.k8s.io": Printer(
        [NAME, *text("Node", "Driver", "Pool"), AGE], _resourceslice
    ),
    "priorityclasses.scheduling.k8s.io": Printer(
        [
            NAME,
            *integer("Value"),
            *boolean("Global-Default"),
            AGE,
            *text("PreemptionPolicy"),
        ],
        _priorityclass,
    ),
    "csidrivers.storage.k8s.io": Printer(
        [
            NAME,
            *boolean("AttachRequired", "PodInfoOnMount", "StorageCapacity"),
            *text("TokenRequests"),
            *boolean("RequiresRepublish"),
            *text("Modes"),
            AGE,
        ],
        _csidriver,
    ),
    "csinodes.storage.k8s.io": Printer([NAME, *integer("Drivers"), AGE], _csinode),
    "csistoragecapacities.storage.k8s.io": _CREATED,
    "storageclasses.storage.k8s.io": Printer(
        [
            NAME,
            *text("Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion"),
            AGE,
        ],
        _storageclass,
    ),
    "volumeattachments.storage.k8s.io": Printer(
        [
            NAME,
            Column("Attacher", format="name"),
            *text("PV", "Node"),
            *boolean("Attached"),
            AGE,
        ],
        _attachment,
    ),
    "volumeattributesclasses.storage.k8s.io": Printer(
        [NAME, *text("DriverName"), AGE], _attributesclass
    ),
}
