"""Reads an audit policy (``audit.k8s.io/v1``) and decides how much of a request is recorded. Pure.

Source of semantics: apiserver's ``pkg/audit/policy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from sagong.api.types import Obj
from sagong.server.authz.interface import Attributes


class Level(IntEnum):
    """How much is recorded, each level more than the one before."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3


class Stage(StrEnum):
    """When an event is made."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


LEVELS = {
    "None": Level.NONE,
    "Metadata": Level.METADATA,
    "Request": Level.REQUEST,
    "RequestResponse": Level.REQUEST_RESPONSE,
}
LEVEL_NAMES = {level: name for name, level in LEVELS.items()}


class BadPolicy(Exception):
    """The file is no audit policy; the message says why."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is recorded of one request."""

    level: Level
    omitted: frozenset[Stage] = frozenset()
    without_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    group: str
    names: tuple[str, ...]  # of resources, with subresources behind a slash
    objects: tuple[str, ...]

    def holds(self, asked: Attributes) -> bool:
        if self.group != asked.group:
            return False
        if not self.names:
            return True
        if self.objects and asked.name not in self.objects:
            return False
        return any(_names(name, asked) for name in self.names)


def _names(name: str, asked: Attributes) -> bool:
    whole = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    if name in (whole, "*"):
        return True
    if name.startswith("*/"):
        return asked.subresource == name[2:]
    return name.endswith("/*") and asked.resource == name[:-2]


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule that holds for a request decides."""

    decision: Decision
    users: tuple[str, ...]
    groups: tuple[str, ...]
    verbs: tuple[str, ...]
    namespaces: tuple[str, ...]
    resources: tuple[Resources, ...]
    paths: tuple[str, ...]

    def holds(self, asked: Attributes) -> bool:
        if self.users and asked.user.name not in self.users:
            return False
        if self.groups and not set(self.groups) & set(asked.user.groups):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return asked.is_resource and self._holds_for_resource(asked)
        if self.paths:
            return not asked.is_resource and any(_covers(p, asked.path) for p in self.paths)
        return True

    def _holds_for_resource(self, asked: Attributes) -> bool:
        if self.namespaces and (asked.namespace or "") not in self.namespaces:
            return False
        return not self.resources or any(r.holds(asked) for r in self.resources)


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]

    def decide(self, asked: Attributes) -> Decision:
        """What no rule holds for is not recorded."""
        for rule in self.rules:
            if rule.holds(asked):
                return rule.decision
        return Decision(Level.NONE)


def parse(policy: Any) -> Policy:
    """The policy in a decoded file. Raises BadPolicy."""
    if not isinstance(policy, dict):
        raise BadPolicy("it is no object")
    if (policy.get("apiVersion"), policy.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        raise BadPolicy("want kind Policy of audit.k8s.io/v1")
    rules = policy.get("rules") or []
    if not rules:
        raise BadPolicy("loaded illegal policy with 0 rules")
    omitted = _stages(policy, "omitStages")
    everywhere = bool(policy.get("omitManagedFields"))
    return Policy(tuple(_rule(r, f"rules[{i}]", omitted, everywhere) for i, r in enumerate(rules)))


def _rule(rule: Obj, path: str, omitted: frozenset[Stage], everywhere: bool) -> Rule:
    level = LEVELS.get(rule.get("level", ""))
    if level is None:
        raise BadPolicy(
            f'{path}.level: Unsupported value: "{rule.get("level", "")}": supported values: '
            + ", ".join(f'"{name}"' for name in LEVELS)
        )
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        raise BadPolicy(
            f"{path}.nonResourceURLs: Invalid value: rules cannot apply to both regular "
            "resources and non-resource URLs"
        )
    bare = rule.get("omitManagedFields")
    return Rule(
        decision=Decision(
            level,
            omitted | _stages(rule, f"{path}.omitStages"),
            everywhere if bare is None else bool(bare),
        ),
        users=_strings(rule, "users", path),
        groups=_strings(rule, "userGroups", path),
        verbs=_strings(rule, "verbs", path),
        namespaces=_strings(rule, "namespaces", path),
        resources=tuple(
            Resources(
                entry.get("group") or "",
                _strings(entry, "resources", path),
                _strings(entry, "resourceNames", path),
            )
            for entry in rule.get("resources") or ()
        ),
        paths=_strings(rule, "nonResourceURLs", path),
    )


def _stages(entry: Obj, path: str) -> frozenset[Stage]:
    try:
        return frozenset(Stage(name) for name in entry.get("omitStages") or ())
    except ValueError as error:
        raise BadPolicy(f"{path}: {error}") from error


def _strings(entry: Obj, name: str, path: str) -> tuple[str, ...]:
    found: Sequence[Any] = entry.get(name) or ()
    if isinstance(found, str) or not all(isinstance(item, str) for item in found):
        raise BadPolicy(f"{path}.{name}: must be a list of strings")
    return tuple(found)
