"""Validation of services (upstream: ValidateService and ValidateServiceUpdate)."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import cidr, ip_address, parse_ip, special_ip
from sagong.server.kinds.core.pod_containers import PROTOCOLS

_SPEC = Path("spec")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_AFFINITY_SECONDS_MAX = 86400


def is_headless(spec: Obj) -> bool:
    return bool((spec.get("clusterIPs") or [""])[0] == "None")


def validate_service(service: Obj, errors: ErrorList) -> None:
    spec = service["spec"]
    type_, ports = spec.get("type") or "", spec.get("ports") or []
    if not ports and not is_headless(spec) and type_ != "ExternalName":
        errors.required(_SPEC.child("ports"))
    _validate_for_type(spec, type_, errors)
    _validate_ports(spec, ports, errors)
    checks.labels(spec.get("selector"), _SPEC.child("selector"), errors)
    _validate_affinity(spec, errors)
    _validate_cluster_ips(spec, errors)
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        where = _SPEC.child("externalIPs").index(i)
        why = special_ip(ip)
        if checks.name(ip, ip_address, where, errors) and why:
            errors.invalid(where, ip, why)
    if checks.required(type_, _SPEC.child("type"), errors):
        checks.one_of(type_, _TYPES, _SPEC.child("type"), errors)
    _validate_node_ports(type_, ports, errors)
    _validate_load_balancer(spec, type_, errors)
    _validate_policies(spec, type_, errors)


def _validate_for_type(spec: Obj, type_: str, errors: ErrorList) -> None:
    headless = is_headless(spec)
    if type_ in ("LoadBalancer", "NodePort") and headless:
        message = f"may not be set to 'None' for {type_} services"
        errors.invalid(_SPEC.child("clusterIPs").index(0), "None", message)
    if type_ == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                message = "may not be set for ExternalName services"
                errors.forbidden(_SPEC.child(field), message)
        name = (spec.get("externalName") or "").removesuffix(".")
        if checks.required(name, _SPEC.child("externalName"), errors):
            checks.dns_subdomain(name, _SPEC.child("externalName"), errors)


def _validate_ports(spec: Obj, ports: Sequence[Obj], errors: ErrorList) -> None:
    names: set[str] = set()
    for i, port in enumerate(ports):
        at = _SPEC.child("ports").index(i)
        name = port.get("name") or ""
        if not name:
            if len(ports) > 1:
                errors.required(at.child("name"))
        else:
            checks.dns_label(name, at.child("name"), errors)
            if name in names:
                errors.duplicate(at.child("name"), name)
            names.add(name)
        checks.port_number(port.get("port") or 0, at.child("port"), errors)
        protocol = port.get("protocol") or ""
        if checks.required(protocol, at.child("protocol"), errors):
            checks.one_of(protocol, PROTOCOLS, at.child("protocol"), errors)
        checks.port_or_name(port.get("targetPort", 0), at.child("targetPort"), errors)
        if port.get("appProtocol") is not None:
            checks.qualified_name(port["appProtocol"], at.child("appProtocol"), errors)


def _validate_affinity(spec: Obj, errors: ErrorList) -> None:
    affinity, where = spec.get("sessionAffinity") or "", _SPEC.child("sessionAffinity")
    if checks.required(affinity, where, errors):
        checks.one_of(affinity, ("ClientIP", "None"), where, errors)
    config, at = spec.get("sessionAffinityConfig"), _SPEC.child("sessionAffinityConfig")
    if affinity == "None" and config is not None:
        errors.forbidden(at, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is None:
        errors.required(at, "when session affinity type is ClientIP")
    elif not 0 < seconds <= _AFFINITY_SECONDS_MAX:
        message = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
        errors.invalid(at.child("clientIP", "timeoutSeconds"), seconds, message)


def _validate_cluster_ips(spec: Obj, errors: ErrorList) -> None:
    if spec.get("type") == "ExternalName":
        return
    ip, ips, where = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], "clusterIPs"
    if not ip and ips:
        message = "must be empty when `clusterIP` is not specified"
        errors.invalid(_SPEC.child(where), ips, message)
    elif ip and not ips:
        errors.required(_SPEC.child(where))
    elif ip and ips[0] != ip:
        errors.invalid(_SPEC.child(where), ips, "first value must match `clusterIP`")
    families = spec.get("ipFamilies") or []
    _validate_families(spec, families, errors)
    if len(ips) > 2:
        errors.invalid(_SPEC.child(where), ips, "may only hold up to 2 values")
    for i in range(len(ips)):
        _validate_cluster_ip(i, ips, families, errors)
    if len(ips) == 2 and all(parse_ip(v) for v in ips):
        versions = {getattr(parse_ip(v), "version", 0) for v in ips}
        if len(versions) == 1:
            message = "may specify no more than one IP for each IP family"
            errors.invalid(_SPEC.child(where), ips, message)


def _validate_families(spec: Obj, families: Sequence[str], errors: ErrorList) -> None:
    seen: set[str] = set()
    for i, family in enumerate(families):
        at = _SPEC.child("ipFamilies").index(i)
        checks.one_of(family, _FAMILIES, at, errors)
        if family in seen:
            errors.duplicate(at, family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None:
        checks.one_of(policy, _POLICIES, _SPEC.child("ipFamilyPolicy"), errors)


def _validate_cluster_ip(
    i: int, ips: Sequence[str], families: Sequence[str], errors: ErrorList
) -> None:
    value, at = ips[i], _SPEC.child("clusterIPs").index(i)
    if value == "None" and i == 0:
        if len(ips) > 1:
            message = "'None' must be the first and only value"
            errors.invalid(_SPEC.child("clusterIPs"), list(ips), message)
        return
    if not checks.name(value, ip_address, at, errors) or i >= len(families):
        return
    ip = parse_ip(value)
    if ip is not None and f"IPv{ip.version}" != families[i]:
        message = f"expected an {families[i]} value as indicated by `ipFamilies[{i}]`"
        errors.invalid(at, value, message)


def _validate_node_ports(type_: str, ports: Sequence[Obj], errors: ErrorList) -> None:
    node_ports: set[tuple[str, int]] = set()
    pairs: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        at = _SPEC.child("ports").index(i)
        node_port = port.get("nodePort") or 0
        if type_ == "ClusterIP" and node_port:
            message = "may not be used when `type` is 'ClusterIP'"
            errors.forbidden(at.child("nodePort"), message)
        protocol = port.get("protocol") or ""
        if node_port:
            if (protocol, node_port) in node_ports:
                errors.duplicate(at.child("nodePort"), node_port)
            node_ports.add((protocol, node_port))
    for i, port in enumerate(ports):
        protocol, number = port.get("protocol") or "", port.get("port") or 0
        if (protocol, number) in pairs:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number}
            shown |= {"TargetPort": 0, "NodePort": 0}
            errors.duplicate(_SPEC.child("ports").index(i), shown)
        pairs.add((protocol, number))


def _validate_load_balancer(spec: Obj, type_: str, errors: ErrorList) -> None:
    ranges, where = spec.get("loadBalancerSourceRanges"), _SPEC.child("LoadBalancerSourceRanges")
    only = "may only be used when `type` is 'LoadBalancer'"
    if ranges:
        if type_ != "LoadBalancer":
            errors.forbidden(where, only)
        for i, value in enumerate(ranges):
            checks.name(value.strip(), cidr, where.index(i), errors)
    if type_ != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) is not None:
                errors.forbidden(_SPEC.child(field), only)
    elif spec.get("allocateLoadBalancerNodePorts") is None:
        errors.required(_SPEC.child("allocateLoadBalancerNodePorts"))
    if spec.get("loadBalancerClass") is not None:
        where = _SPEC.child("loadBalancerClass")
        checks.qualified_name(spec["loadBalancerClass"], where, errors)


def _validate_policies(spec: Obj, type_: str, errors: ErrorList) -> None:
    external, where = spec.get("externalTrafficPolicy") or "", _SPEC.child("externalTrafficPolicy")
    accessible = type_ in ("LoadBalancer", "NodePort") or (
        type_ == "ClusterIP" and bool(spec.get("externalIPs"))
    )
    if not accessible:
        if external:
            message = "may only be set for externally-accessible services"
            errors.invalid(where, external, message)
    elif not external:
        errors.required(where)
    else:
        checks.one_of(external, ("Cluster", "Local"), where, errors)
    health = spec.get("healthCheckNodePort") or 0
    if health and not (type_ == "LoadBalancer" and external == "Local"):
        message = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        errors.invalid(_SPEC.child("healthCheckNodePort"), health, message)
    internal, where = spec.get("internalTrafficPolicy"), _SPEC.child("internalTrafficPolicy")
    if internal is None:
        if type_ in ("ClusterIP", "NodePort", "LoadBalancer"):
            errors.required(where)
    else:
        checks.one_of(internal, ("Cluster", "Local"), where, errors)
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        supported = ("PreferClose", "PreferSameNode", "PreferSameZone")
        checks.one_of(distribution, supported, _SPEC.child("trafficDistribution"), errors)


def validate_service_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Addresses stay, except when the type changes from or to ExternalName."""
    ours, theirs = new["spec"], old["spec"]
    if "ExternalName" not in (ours.get("type"), theirs.get("type")):
        _validate_same_primary(ours, theirs, errors)
    if (ours.get("type"), theirs.get("type")) == ("LoadBalancer", "LoadBalancer"):
        before = theirs.get("loadBalancerClass")
        if ours.get("loadBalancerClass") != before:
            where = _SPEC.child("loadBalancerClass")
            errors.invalid(where, ours.get("loadBalancerClass"), "may not change once set")


def _validate_same_primary(ours: Obj, theirs: Obj, errors: ErrorList) -> None:
    for field, word in (("clusterIPs", "clusterIP"), ("ipFamilies", "ipFamily")):
        before, now = theirs.get(field) or [], ours.get(field) or []
        where = _SPEC.child(field).index(0)
        if before and not now:
            errors.invalid(where, ours.get(field), f"primary {word} can not be unset")
        elif before and now[0] != before[0]:
            errors.invalid(where, now, "may not change once set")


def validate_service_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Load balancer addresses are addresses or host names, on load balancers only."""
    path = Path("status").child("loadBalancer", "ingress")
    ingress = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if ingress and new["spec"].get("type") != "LoadBalancer":
        message = 'may only be used when `spec.type` is "LoadBalancer"'
        errors.forbidden(path, message)
    validate_ingress_points(ingress, path, errors, with_mode=True)


def validate_ingress_points(
    points: Sequence[Obj], path: Path, errors: ErrorList, *, with_mode: bool
) -> None:
    """LoadBalancerIngress entries, of services and of ingresses."""
    for i, point in enumerate(points):
        at = path.index(i)
        if point.get("ip"):
            checks.name(point["ip"], ip_address, at.child("ip"), errors)
        if with_mode and point.get("ip") and point.get("ipMode") is None:
            errors.required(at.child("ipMode"), "must be specified when `ip` is set")
        if with_mode and point.get("ipMode") is not None:
            if not point.get("ip"):
                errors.forbidden(at.child("ipMode"), "may not be specified when `ip` is not set")
            checks.one_of(point["ipMode"], ("Proxy", "VIP"), at.child("ipMode"), errors)
        host = point.get("hostname")
        if host:
            if parse_ip(host) is not None:
                message = "must be a DNS name, not an IP address"
                errors.invalid(at.child("hostname"), host, message)
            checks.dns_subdomain(host, at.child("hostname"), errors)
