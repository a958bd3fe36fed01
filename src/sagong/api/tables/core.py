"""The rows of the core group's kinds."""

from typing import Any

from sagong.api.meta import condition, is_deleting, labels_of
from sagong.api.tables import cells
from sagong.api.tables.column import AGE, CREATED_AT, NAME, Column, Printer, integer, text, wide
from sagong.api.types import Obj

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _componentstatus(obj: Obj, now: float) -> list[Any]:
    for item in obj.get("conditions") or ():
        if item["type"] == "Healthy":
            status = "Healthy" if item["status"] == "True" else "Unhealthy"
            return [cells.name(obj), status, item.get("message", ""), item.get("error", "")]
    return [cells.name(obj), "Unknown", "", ""]


def _configmap(obj: Obj, now: float) -> list[Any]:
    count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [cells.name(obj), count, cells.age(obj, now)]


def _endpoints(obj: Obj, now: float) -> list[Any]:
    subsets = obj.get("subsets") or ()
    found: list[str] = []
    for subset in subsets:
        ips = [address["ip"] for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        found += [_joined(ip, port["port"]) for port in ports for ip in ips] if ports else ips
    shown = cells.shortened(found, 3) if found or not subsets else ""
    return [cells.name(obj), shown, cells.age(obj, now)]


def _joined(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _event_times(obj: Obj, now: float) -> tuple[str, str]:
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    first = cells.since(first or obj.get("eventTime"), now)
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    if obj.get("series") is not None:
        return first, cells.since(obj["series"].get("lastObservedTime"), now)
    return first, cells.since(last, now) if last else first


def _event_count(obj: Obj) -> int:
    if obj.get("series") is not None:
        return int(obj["series"].get("count") or 0)
    return int(obj.get("count") or obj.get("deprecatedCount") or 1)


def _event(obj: Obj, now: float) -> list[Any]:
    first, last = _event_times(obj, now)
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    component = component or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    kind = str(about.get("kind", "")).lower()
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        _event_count(obj),
        cells.name(obj),
    ]


def _created(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), obj["metadata"].get("creationTimestamp")]


def _namespace(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), (obj.get("status") or {}).get("phase", ""), cells.age(obj, now)]


def _node_status(obj: Obj) -> str:
    ready = condition(obj, "Ready")
    status = [("Ready" if ready["status"] == "True" else "NotReady") if ready else "Unknown"]
    if obj["spec"].get("unschedulable"):
        status.append("SchedulingDisabled")
    return ",".join(status)


def _node_roles(obj: Obj) -> str:
    roles = set()
    for label, value in labels_of(obj).items():
        if label.startswith(_ROLE_PREFIX) and len(label) > len(_ROLE_PREFIX):
            roles.add(label.removeprefix(_ROLE_PREFIX))
        elif label == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or cells.NONE


def _node(obj: Obj, now: float) -> list[Any]:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or [])}
    return [
        cells.name(obj),
        _node_status(obj),
        _node_roles(obj),
        cells.age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", cells.NONE),
        addresses.get("ExternalIP", cells.NONE),
        info.get("osImage") or cells.UNKNOWN,
        info.get("kernelVersion") or cells.UNKNOWN,
        info.get("containerRuntimeVersion") or cells.UNKNOWN,
    ]


def _access_modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in (modes or ()))


def _claim(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        cells.name(obj),
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        spec.get("volumeName", ""),
        str((status.get("capacity") or {}).get("storage", "0")) if bound else "",
        _access_modes(status.get("accessModes")) if bound else "",
        _storage_class(obj),
        cells.pointer(spec.get("volumeAttributesClassName")),
        cells.age(obj, now),
        spec.get("volumeMode") or cells.UNSET,
    ]


def _storage_class(obj: Obj) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    legacy = annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(obj["spec"].get("storageClassName") or "" if legacy is None else legacy)


def _volume(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        cells.name(obj),
        str((spec.get("capacity") or {}).get("storage", "0")),
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(obj),
        cells.pointer(spec.get("volumeAttributesClassName")),
        status.get("reason", ""),
        cells.age(obj, now),
        spec.get("volumeMode") or cells.UNSET,
    ]


def _podtemplate(obj: Obj, now: float) -> list[Any]:
    template = obj.get("template") or {}
    pod_labels = (template.get("metadata") or {}).get("labels")
    return [
        cells.name(obj),
        *cells.containers(template.get("spec") or {}),
        cells.labels(pod_labels),
    ]


def _replicationcontroller(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        cells.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        cells.age(obj, now),
        *cells.containers((spec.get("template") or {}).get("spec") or {}),
        cells.labels(spec.get("selector")),
    ]


def _quota(obj: Obj, now: float) -> list[Any]:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        entry = f"{resource}: {used.get(resource, '0')}/{hard[resource]}"
        (limits if resource.startswith("limits") else requests).append(entry)
    return [cells.name(obj), ", ".join(requests), ", ".join(limits), cells.age(obj, now)]


def _secret(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), obj.get("type", ""), len(obj.get("data") or ()), cells.age(obj, now)]


def _serviceaccount(obj: Obj, now: float) -> list[Any]:
    return [cells.name(obj), cells.age(obj, now)]


def _load_balancer(obj: Obj) -> str:
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(sorted({i.get("ip") or i.get("hostname") or "" for i in ingress} - {""}))


def _external_ip(obj: Obj) -> str:
    spec = obj["spec"]
    external = list(spec.get("externalIPs") or ())
    kind = spec.get("type")
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        assigned = _load_balancer(obj)
        if not external:
            return assigned or "<pending>"
        external = [*filter(None, assigned.split(",")), *external]
    return ",".join(external) or cells.NONE


def _port(port: Obj) -> str:
    protocol = port.get("protocol", "TCP")
    if port.get("nodePort"):
        return f"{port['port']}:{port['nodePort']}/{protocol}"
    return f"{port['port']}/{protocol}"


def _service(obj: Obj, now: float) -> list[Any]:
    spec = obj["spec"]
    return [
        cells.name(obj),
        spec.get("type", ""),
        spec.get("clusterIP") or cells.NONE,
        _external_ip(obj),
        ",".join(_port(p) for p in spec.get("ports") or ()) or cells.NONE,
        cells.age(obj, now),
        cells.labels(spec.get("selector")),
    ]


_EVENT = Printer(
    [
        *text("Last Seen", "Type", "Reason", "Object"),
        *wide("Subobject", "Source"),
        Column("Message"),
        *wide("First Seen", "Count"),
        Column("Name", format="name", priority=1),
    ],
    _event,
)

PRINTERS = {
    "componentstatuses": Printer([NAME, *text("Status", "Message", "Error")], _componentstatus),
    "configmaps": Printer([NAME, *text("Data"), AGE], _configmap),
    "endpoints": Printer([NAME, *text("Endpoints"), AGE], _endpoints),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "limitranges": Printer([NAME, CREATED_AT], _created),
    "namespaces": Printer([NAME, *text("Status"), AGE], _namespace),
    "nodes": Printer(
        [
            NAME,
            *text("Status", "Roles"),
            AGE,
            *text("Version"),
            *wide("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ],
        _node,
    ),
    "persistentvolumeclaims": Printer(
        [
            NAME,
            *text("Status", "Volume", "Capacity", "Access Modes", "StorageClass"),
            *text("VolumeAttributesClass"),
            AGE,
            *wide("VolumeMode"),
        ],
        _claim,
    ),
    "persistentvolumes": Printer(
        [
            NAME,
            *text("Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass"),
            *text("VolumeAttributesClass", "Reason"),
            AGE,
            *wide("VolumeMode"),
        ],
        _volume,
    ),
    "podtemplates": Printer([NAME, *text("Containers", "Images", "Pod Labels")], _podtemplate),
    "replicationcontrollers": Printer(
        [
            NAME,
            *integer("Desired", "Current", "Ready"),
            AGE,
            *wide("Containers", "Images", "Selector"),
        ],
        _replicationcontroller,
    ),
    "resourcequotas": Printer([NAME, *text("Request", "Limit"), AGE], _quota),
    "secrets": Printer([NAME, *text("Type", "Data"), AGE], _secret),
    "serviceaccounts": Printer([NAME, AGE], _serviceaccount),
    "services": Printer(
        [
            NAME,
            *text("Type", "Cluster-IP", "External-IP", "Port(s)"),
            AGE,
            *wide("Selector"),
        ],
        _service,
    ),
}
