"""The IP families of a service, decided from what it asks for and what the cluster has.

Upstream: ``initIPFamilyFields`` in pkg/registry/core/service/storage/alloc.go.
"""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds.addresses import parse_ip

_SPEC = Path("spec")
_FAMILIES = ("IPv4", "IPv6")


def set_families(spec: Obj, old: Obj | None, configured: Sequence[str], errors: ErrorList) -> None:
    """Fill ``ipFamilies`` and ``ipFamilyPolicy``; ``configured``: the cluster's families in order.

    Services of type ExternalName have neither. Changes the spec; reports what cannot be had.
    """
    if spec.get("type") == "ExternalName":
        return
    if old is not None and _prefers_what_it_has(spec, old):
        return
    ips, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or ())
    is_free = ips[:1] == ["None"] and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        before = (old or {}).get("ipFamilyPolicy")
        # Whoever fills in the endpoints of a headless service may be of any family.
        spec["ipFamilyPolicy"] = before or ("RequireDualStack" if is_free else "SingleStack")
    if old is not None:
        ips, families = _shrunk(spec, old, ips, families, errors)
    _check_policy(spec, ips, families, errors)
    _infer_from_ips(ips, families, configured, errors)
    if errors:
        return
    if is_free:
        families = families or [configured[0]]
        if len(families) == 1 and spec["ipFamilyPolicy"] != "SingleStack":
            families.append(_other(families[0]))
    else:
        families = _for_cluster(spec, families, configured, errors)
    if not errors:
        spec["ipFamilies"] = families


def _prefers_what_it_has(spec: Obj, old: Obj) -> bool:
    """A service that prefers two families is not given or deprived of one because the cluster's
    are others than they were: only a change of its own does that."""
    if (spec.get("ipFamilyPolicy"), old.get("ipFamilyPolicy")) != ("PreferDualStack",) * 2:
        return False
    return all(spec.get(field) == old.get(field) for field in ("type", "clusterIPs", "ipFamilies"))


def _other(family: str) -> str:
    return _FAMILIES[1 - _FAMILIES.index(family)]


def _shrunk(
    spec: Obj, old: Obj, ips: list[str], families: list[str], errors: ErrorList
) -> tuple[list[str], list[str]]:
    """On update, the policy SingleStack gives up the second address; nothing else may."""
    where, policy = _SPEC.child("ipFamilyPolicy"), spec["ipFamilyPolicy"]
    old_ips, old_families = old.get("clusterIPs") or [], old.get("ipFamilies") or []
    if policy == "SingleStack":
        if ips == old_ips and len(ips) > 1:
            ips = spec["clusterIPs"] = ips[:1]
        if families == old_families and len(families) > 1:
            families = families[:1]
        return ips, families
    if ips and len(ips) < len(old_ips):
        message = "must be 'SingleStack' to release the secondary cluster IP"
        errors.invalid(where, policy, message)
    if families and len(families) < len(old_families):
        message = "must be 'SingleStack' to release the secondary IP family"
        errors.invalid(where, policy, message)
    return ips, families


def _check_policy(spec: Obj, ips: list[str], families: list[str], errors: ErrorList) -> None:
    if spec["ipFamilyPolicy"] != "SingleStack":
        return
    where, must = _SPEC.child("ipFamilyPolicy"), "must be 'RequireDualStack' or 'PreferDualStack'"
    if len(ips) == 2:
        errors.invalid(where, "SingleStack", f"{must} when multiple cluster IPs are specified")
    if len(families) == 2:
        errors.invalid(where, "SingleStack", f"{must} when multiple IP families are specified")


def _infer_from_ips(
    ips: list[str], families: list[str], configured: Sequence[str], errors: ErrorList
) -> None:
    for i, text in enumerate(ips):
        ip = parse_ip(text)
        if ip is None:
            return
        family = f"IPv{ip.version}"
        if i < len(families):
            continue
        if family in configured:
            families.append(family)
        else:
            where = _SPEC.child("clusterIPs").index(i)
            errors.invalid(where, ips, f"{family} is not configured on this cluster")


def _for_cluster(
    spec: Obj, families: list[str], configured: Sequence[str], errors: ErrorList
) -> list[str]:
    policy = spec["ipFamilyPolicy"]
    if policy == "RequireDualStack" and len(configured) < 2:
        message = "this cluster is not configured for dual-stack services"
        errors.invalid(_SPEC.child("ipFamilyPolicy"), policy, message)
    for i, family in enumerate(families):
        if family not in configured:
            where = _SPEC.child("ipFamilies").index(i)
            errors.invalid(where, family, "not configured on this cluster")
    families = families or [configured[0]]
    if policy != "SingleStack" and len(families) == 1 and len(configured) == 2:
        families.append(_other(families[0]))
    return families
