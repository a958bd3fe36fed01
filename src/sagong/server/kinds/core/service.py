"""Services. Addresses and node ports are given by ``server/allocation``."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.core.service_validation import (
    validate_service,
    validate_service_status_update,
    validate_service_update,
)
from sagong.server.kinds.core.service_warnings import service_warnings
from sagong.server.kinds.strategy import Strategy

# Three hours; upstream's v1.DefaultClientIPServiceAffinitySeconds.
CLIENT_IP_AFFINITY_SECONDS = 10800


def default(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    _default_affinity(spec)
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    _default_traffic_policies(spec)
    status = service.setdefault("status", {}).setdefault("loadBalancer", {})
    for ingress in status.get("ingress") or ():
        if ingress.get("ip") and ingress.get("ipMode") is None:
            ingress["ipMode"] = "VIP"


def _default_affinity(spec: Obj) -> None:
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        client_ip = config.get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            seconds = {"timeoutSeconds": CLIENT_IP_AFFINITY_SECONDS}
            spec["sessionAffinityConfig"] = {"clientIP": seconds}


def _default_traffic_policies(spec: Obj) -> None:
    if is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    internal = spec["type"] in ("NodePort", "LoadBalancer", "ClusterIP")
    if internal and spec.get("internalTrafficPolicy") is None:
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True


def is_externally_accessible(spec: Obj) -> bool:
    """Can traffic from outside the cluster reach the service by itself?"""
    if spec.get("type") in ("LoadBalancer", "NodePort"):
        return True
    return spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))


def needs_cluster_ip(spec: Obj) -> bool:
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_port(spec: Obj) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and bool(
        spec.get("allocateLoadBalancerNodePorts", True)
    )


def needs_health_check_port(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def prepare_for_create(service: Obj) -> None:
    service["status"] = {"loadBalancer": {}}
    normalise_cluster_ips(service["spec"], None)
    drop_type_dependent_fields(service["spec"], None)


def prepare_for_update(new: Obj, old: Obj) -> None:
    _patch_allocated_values(new["spec"], old["spec"])
    normalise_cluster_ips(new["spec"], old["spec"])
    drop_type_dependent_fields(new["spec"], old["spec"])


def normalise_cluster_ips(spec: Obj, old: Obj | None) -> None:
    """Keep ``clusterIP`` and ``clusterIPs[0]`` equal, whichever of the two a client changed."""
    ip, ips = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if old is None:
        if ip and not ips:
            spec["clusterIPs"] = [ip]
        return
    old_ip, old_ips = old.get("clusterIP") or "", old.get("clusterIPs") or []
    if old_ip != ip:
        if not ip and ips == old_ips:
            spec.pop("clusterIPs", None)
        elif ip and (not ips or ips == old_ips):
            spec["clusterIPs"] = [ip]
    elif old_ips != ips and not ips and ip == old_ip:
        spec.pop("clusterIP", None)


def _patch_allocated_values(new: Obj, old: Obj) -> None:
    """What the system allocated and a plain PUT leaves out stays (no read-modify-write needed)."""
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        if not new.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP"):
            new["clusterIPs"] = list(old.get("clusterIPs") or ())
        _patch_families(new, old)
    if needs_node_port(old) and needs_node_port(new):
        _patch_node_ports(new, old)
    checked = needs_health_check_port(old) and needs_health_check_port(new)
    if checked and old.get("healthCheckNodePort") and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old["healthCheckNodePort"]


def _patch_families(new: Obj, old: Obj) -> None:
    for field in ("ipFamilyPolicy", "ipFamilies"):
        if not new.get(field) and old.get(field):
            new[field] = old[field]


def _patch_node_ports(new: Obj, old: Obj) -> None:
    used = {p.get("nodePort") for p in new.get("ports") or () if p.get("nodePort")}
    known = {(p.get("protocol"), p.get("port")): p for p in old.get("ports") or ()}
    for port in new.get("ports") or ():
        before = known.get((port.get("protocol"), port.get("port")))
        if port.get("nodePort") or before is None or not before.get("nodePort"):
            continue
        if before["nodePort"] not in used:
            port["nodePort"] = before["nodePort"]
            used.add(before["nodePort"])


def drop_type_dependent_fields(new: Obj, old: Obj | None) -> None:
    """Fields that only the old type had go away with it, unless the client set them just now."""
    if old is None:
        return
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if _same(new, old, "clusterIP", "clusterIPs"):
            _drop(new, "clusterIP", "clusterIPs")
        if _same(new, old, "ipFamilies", "ipFamilyPolicy"):
            _drop(new, "ipFamilies", "ipFamilyPolicy")
    if needs_node_port(old) and not needs_node_port(new) and _same_node_ports(new, old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check_port(old) and not needs_health_check_port(new):
        _drop_if_same(new, old, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        _drop_if_same(new, old, "allocateLoadBalancerNodePorts")
        _drop_if_same(new, old, "loadBalancerClass")
    if old.get("type") == "ExternalName" and new.get("type") != "ExternalName":
        _drop_if_same(new, old, "externalName")
    if is_externally_accessible(old) and not is_externally_accessible(new):
        _drop_if_same(new, old, "externalTrafficPolicy")
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        _drop_if_same(new, old, "internalTrafficPolicy")


def _same(new: Obj, old: Obj, *fields: str) -> bool:
    return all(new.get(field) == old.get(field) for field in fields)


def _drop(spec: Obj, *fields: str) -> None:
    for field in fields:
        spec.pop(field, None)


def _drop_if_same(new: Obj, old: Obj, field: str) -> None:
    if _same(new, old, field):
        new.pop(field, None)


def _same_node_ports(new: Obj, old: Obj) -> bool:
    ours = {p["nodePort"] for p in new.get("ports") or () if p.get("nodePort")}
    return ours <= {p.get("nodePort") for p in old.get("ports") or ()}


def selectable_fields(service: Obj) -> Mapping[str, str]:
    spec = service.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


STRATEGY = Strategy(
    warnings=service_warnings,
    validate=validate_service,
    validate_update=validate_service_update,
    validate_status_update=validate_service_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.clusterIP", "spec.type"),
    name_rule="label1035",
    create_on_update=True,
)
