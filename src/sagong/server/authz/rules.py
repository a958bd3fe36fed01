"""RBAC rules as values: does a rule allow a request, and which rules cover which.

Pure. Source of semantics: ``pkg/apis/rbac/v1/evaluation_helpers.go`` and
``component-helpers/auth/rbac/validation`` of upstream.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.server.authz.interface import Attributes

ALL = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One PolicyRule, compiled for look-ups."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @staticmethod
    def of(rule: Obj) -> "Rule":
        return Rule(
            verbs=frozenset(rule.get("verbs") or ()),
            groups=frozenset(rule.get("apiGroups") or ()),
            resources=frozenset(rule.get("resources") or ()),
            names=frozenset(rule.get("resourceNames") or ()),
            urls=tuple(rule.get("nonResourceURLs") or ()),
        )

    def allows(self, asked: Attributes) -> bool:
        if asked.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not asked.is_resource:
            return any(url_matches(url, asked.path) for url in self.urls)
        if asked.group not in self.groups and ALL not in self.groups:
            return False
        if self.names and asked.name not in self.names:
            return False
        return self._has_resource(asked.resource, asked.subresource)

    def _has_resource(self, resource: str, subresource: str) -> bool:
        """``*``, ``pods``, ``pods/log`` and ``*/scale`` match; ``pods/*`` never did."""
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources


def url_matches(pattern: str, path: str) -> bool:
    """``*`` matches everything; elsewhere a star counts only at the end."""
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL))


def uncovered(owned: Sequence[Obj], wanted: Iterable[Obj]) -> list[Obj]:
    """The parts of ``wanted`` that no single rule of ``owned`` allows."""
    return [part for rule in wanted for part in split(rule) if not _covered(owned, part)]


def split(rule: Obj) -> list[Obj]:
    """A rule as rules of one verb and one resource or URL each."""
    verbs = rule.get("verbs") or ()
    parts: list[Obj] = []
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in verbs:
                one: Obj = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                parts += [one | {"resourceNames": [name]} for name in names] or [one]
    for url in rule.get("nonResourceURLs") or ():
        parts += [{"nonResourceURLs": [url], "verbs": [verb]} for verb in verbs]
    return parts


def _covered(owned: Sequence[Obj], part: Obj) -> bool:
    return any(_covers(rule, part) for rule in owned)


def _covers(owner: Obj, part: Obj) -> bool:
    names = owner.get("resourceNames") or ()
    wanted_names = part.get("resourceNames") or ()
    return (
        _has_all(owner.get("verbs"), part.get("verbs"))
        and _has_all(owner.get("apiGroups"), part.get("apiGroups"))
        and _covers_resources(owner.get("resources") or (), part.get("resources") or ())
        and _covers_urls(owner.get("nonResourceURLs") or (), part.get("nonResourceURLs") or ())
        and (not names or (bool(wanted_names) and set(wanted_names) <= set(names)))
    )


def _has_all(owned: Sequence[str] | None, wanted: Sequence[str] | None) -> bool:
    return ALL in (owned or ()) or set(wanted or ()) <= set(owned or ())


def _covers_resources(owned: Sequence[str], wanted: Sequence[str]) -> bool:
    def covered(resource: str) -> bool:
        _, slash, subresource = resource.partition("/")
        return resource in owned or bool(slash and f"*/{subresource}" in owned)

    return ALL in owned or all(covered(resource) for resource in wanted)


def _covers_urls(owned: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(any(url_matches(pattern, url) for pattern in owned) for url in wanted)


def compact(rules: Iterable[Obj]) -> list[Obj]:
    """Rules of one group and resource joined into one each, with all their verbs."""
    joined: dict[tuple[str, ...], Obj] = {}
    rest: list[Obj] = []
    for rule in rules:
        if len(rule.get("apiGroups") or ()) != 1 or len(rule.get("resources") or ()) != 1:
            rest.append(rule)
            continue
        if rule.get("nonResourceURLs") or len(rule.get("resourceNames") or ()) > 1:
            rest.append(rule)
            continue
        names = rule.get("resourceNames") or ()
        key = (rule["apiGroups"][0], rule["resources"][0], *names)
        if key in joined:
            joined[key]["verbs"] += [v for v in rule["verbs"] if v not in joined[key]["verbs"]]
        else:
            joined[key] = rule | {"verbs": list(rule["verbs"])}
    return [*joined.values(), *rest]


def describe(rule: Obj) -> str:
    """``{APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}``."""
    parts = [
        f"{label}:{quoted_list(rule[name])}"
        for label, name in (
            ("APIGroups", "apiGroups"),
            ("Resources", "resources"),
            ("NonResourceURLs", "nonResourceURLs"),
            ("ResourceNames", "resourceNames"),
            ("Verbs", "verbs"),
        )
        if rule.get(name)
    ]
    return "{" + ", ".join(parts) + "}"


def quoted_list(values: Iterable[str]) -> str:
    """As Go's ``%q`` prints strings: ``["a" "b"]``."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
