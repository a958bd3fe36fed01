"""Warnings about services (upstream: pkg/api/service/warnings.go)."""

import ipaddress

from sagong.api.types import Obj
from sagong.server.kinds.core.service_validation import is_headless

_HINTS = "service.kubernetes.io/topology-aware-hints"
_MODE = "service.kubernetes.io/topology-mode"


def service_warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new["spec"]
    type_, external = spec.get("type"), spec.get("externalIPs") or []
    found = []
    if _HINTS in (new["metadata"].get("annotations") or {}):
        found.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
    if type_ == "ClusterIP" and is_headless(spec):
        found += _headless(spec)
    if external:
        found.append("spec.externalIPs is deprecated")
    found += _addresses(spec)
    if type_ == "ExternalName" and external:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if type_ != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        use = '"PreferClose" is deprecated; use "PreferSameZone"'
        found.append(f"spec.trafficDistribution: {use}")
    return found


def _headless(spec: Obj) -> list[str]:
    ignored = []
    if spec.get("loadBalancerIP"):
        ignored.append("loadBalancerIP")
    if spec.get("externalIPs"):
        ignored.append("externalIPs")
    if spec.get("sessionAffinity") != "None":
        ignored.append("SessionAffinity")
    return [f"spec.{field} is ignored for headless services" for field in ignored]


def _addresses(spec: Obj) -> list[str]:
    """IPv6 addresses that are written in other ways than the canonical one."""
    placed = [(f"spec.clusterIPs[{i}]", ip) for i, ip in enumerate(spec.get("clusterIPs") or ())]
    placed += [(f"spec.externalIPs[{i}]", ip) for i, ip in enumerate(spec.get("externalIPs") or ())]
    if spec.get("loadBalancerIP"):
        placed.append(("spec.loadBalancerIP", spec["loadBalancerIP"]))
    found = []
    for where, text in placed:
        canonical = _canonical(text)
        if canonical != text:
            why = f'IPv6 address "{text}" should be in RFC 5952 canonical format ("{canonical}")'
            found.append(f"{where}: {why}")
    return found


def _canonical(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        return text
