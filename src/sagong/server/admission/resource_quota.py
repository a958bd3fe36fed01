"""ResourceQuota: what a write would use is charged to the quotas of its namespace, or refused.

A charge is a conditional update of the quota's status: two servers can never both take the last
place. Who refuses later leaves the charge, until the quota controller recounts; it never leaves
too little. Source of semantics: apiserver's ``pkg/admission/plugin/resourcequota``.
"""

from collections.abc import Callable, Iterable, Mapping

from sagong.api.call import Call, Options, Verb
from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, name_of
from sagong.api.quantities import ZERO, Quantity
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.api.usage import (
    Amounts,
    add,
    amounts,
    limited_by,
    matches_scopes,
    subtract,
    unspecified,
    usage_of,
)
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating, refuse
from sagong.server.handlers import Storage

QUOTAS = "resourcequotas"
# As whom usage is stored: the server itself.
_CHARGER = User("system:apiserver", groups=("system:masters", "system:authenticated"))
# Resources whose updates may use more than before; of all others only creation counts.
_COUNTED_ON_UPDATE = frozenset({"services", "persistentvolumeclaims"})
# Never counted: what every change produces, and reviews.
_UNCOUNTED = frozenset({"events", "events.events.k8s.io", "bindings"})


class ResourceQuota(Validating):
    name = "ResourceQuota"

    def __init__(self, storage: Callable[[], Storage]) -> None:
        """``storage`` gives the registry; it is asked when a quota is first charged."""
        self._storage = storage

    async def validate(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if obj is None or not attributes.namespace or not _is_counted(attributes):
            return
        quotas = [q.obj for q in attributes.lister.list(QUOTAS, attributes.namespace)]
        concerned = [quota for quota in quotas if _concerns(attributes, quota, obj)]
        if not concerned:
            return
        delta = _delta(attributes, obj)
        if not delta:
            return
        for quota in sorted(concerned, key=name_of):
            _charged(attributes, quota, delta)
        if attributes.dry_run:
            return
        for quota in sorted(concerned, key=name_of):
            await self._charge(attributes, quota, delta)

    async def _charge(self, attributes: Attributes, quota: Obj, delta: Amounts) -> None:
        resource = ResourceTable().named(QUOTAS)
        assert resource is not None
        call = Call(
            Verb.UPDATE,
            resource,
            namespace=attributes.namespace,
            name=name_of(quota),
            subresource="status",
            options=Options(),
            user_agent="kube-apiserver",
        )
        try:
            await self._storage().modify(
                call,
                _CHARGER,
                lambda current: _charged(attributes, current, delta),
                subresource="status",
            )
        except NotFound:
            return  # The quota has been deleted since: it limits nothing any more.


def _is_counted(attributes: Attributes) -> bool:
    resource = attributes.resource.name
    if resource in _UNCOUNTED:
        return False
    if resource == "pods" and attributes.subresource == "resize":
        return attributes.operation is Operation.UPDATE
    if attributes.subresource:
        return False
    if attributes.operation is Operation.UPDATE:
        return resource in _COUNTED_ON_UPDATE
    return attributes.operation is Operation.CREATE


def _concerns(attributes: Attributes, quota: Obj, obj: Obj) -> bool:
    """True if the object counts against the quota. Raises Forbidden for what cannot be counted."""
    resource = attributes.resource.name
    status = quota.get("status") or {}
    limited = limited_by(resource, status.get("hard") or {})
    if not limited or not matches_scopes(quota, resource, obj):
        return False
    if resource == "pods":
        missing = unspecified(obj, limited)
        if missing:
            text = "; ".join(f"{name} for: {','.join(who)}" for name, who in missing.items())
            raise refuse(attributes, f"failed quota: {name_of(quota)}: must specify {text}")
    unknown = sorted(limited - set(status.get("used") or {}))
    if unknown:
        raise refuse(
            attributes,
            f"status unknown for quota: {name_of(quota)}, resources: {','.join(unknown)}",
        )
    return True


def _delta(attributes: Attributes, obj: Obj) -> dict[str, Quantity]:
    """What the write uses more than what was there before, without zeros."""
    resource = attributes.resource.name
    usage = usage_of(resource, obj)
    negative = sorted(name for name, amount in usage.items() if amount.nano < 0)
    if negative:
        raise refuse(attributes, f"quota usage is negative for resource(s): {','.join(negative)}")
    if attributes.old is not None:
        usage = subtract(usage, usage_of(resource, attributes.old))
    return {name: amount for name, amount in usage.items() if amount}


def _charged(attributes: Attributes, quota: Obj, delta: Amounts) -> Obj:
    """A copy of the quota with the usage added. Raises Forbidden if that exceeds it."""
    status = quota.get("status") or {}
    hard, used = amounts(status.get("hard")), amounts(status.get("used"))
    requested = {name: amount for name, amount in delta.items() if name in hard}
    total = add(used, requested)
    exceeded = sorted(name for name in requested if total[name].nano > hard[name].nano)
    if exceeded:
        raise refuse(
            attributes,
            f"exceeded quota: {name_of(quota)}, requested: {_show(requested, exceeded)},"
            f" used: {_show(used, exceeded)}, limited: {_show(hard, exceeded)}",
        )
    changed: Obj = deep_copy(quota)
    changed["status"] = {**status, "used": {name: str(total[name]) for name in total}}
    return changed


def _show(values: Mapping[str, Quantity], names: Iterable[str]) -> str:
    return ",".join(f"{name}={values.get(name, ZERO)}" for name in names)
