"""Fill cluster roles with an aggregationRule from the roles that it selects.

Reads: ClusterRole.  Writes: ClusterRole.rules.
Invariant: the rules are those of the selected roles in the order of their names, each once; a role
never selects itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.meta import deep_copy, labels_of, name_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "clusterroles.rbac.authorization.k8s.io"


def _selectors(role: Obj) -> Sequence[Obj]:
    return (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Any role may be, or have been, one of those that an aggregating role selects."""
    return [Key("", name_of(role)) for role in cache.list(RESOURCE) if _selectors(role)]


CONTROLLER = Controller(
    name="clusterrole-aggregation", reconciles=RESOURCE, watches=(Watch(RESOURCE, _wakes),)
)


@dataclass(frozen=True, slots=True)
class Seen:
    role: Obj
    others: Sequence[Obj]  # all roles but this one


def observe(key: Key, cache: Cache) -> Seen | None:
    role = cache.get(RESOURCE, "", key.name)
    if role is None or not _selectors(role):
        return None
    return Seen(role, [r for r in cache.list(RESOURCE) if name_of(r) != key.name])


def plan(seen: Seen) -> list[Obj]:
    """The rules that the role should have."""
    rules: list[Obj] = []
    for given in _selectors(seen.role):
        selector = selector_from_object(given)
        for role in sorted(seen.others, key=name_of):
            if selector.matches(labels_of(role)):
                rules += [rule for rule in role.get("rules") or () if rule not in rules]
    return rules


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    rules = plan(seen)
    if rules == (seen.role.get("rules") or []):
        return DONE
    changed = deep_copy(seen.role)
    changed["rules"] = rules
    await env.client.update(RESOURCE, changed)
    return DONE
