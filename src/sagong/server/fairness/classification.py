"""FlowSchemas and PriorityLevelConfigurations, compiled: from a request to its level and flow.

Source of semantics: apiserver's ``util/flowcontrol`` (``rule.go``, ``apf_controller.go``). Pure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sagong.api.meta import name_of, uid_of
from sagong.api.types import Obj, User
from sagong.server.authz.interface import Attributes

ACCOUNT_PREFIX = "system:serviceaccount:"

Matches = Callable[[Attributes], bool]


@dataclass(frozen=True, slots=True)
class LevelSettings:
    """One priority level. Without ``seats`` nothing of it waits (``Exempt``)."""

    name: str
    uid: str
    seats: int | None
    lendable: int = 0  # seats that others may use while this level does not
    borrowable: float = math.inf  # how many of others' it may use
    queues: int = 0  # 0: what has no seat is refused
    hand: int = 1
    queue_length: int = 0


@dataclass(frozen=True, slots=True)
class Schema:
    name: str
    uid: str
    level: str
    distinguisher: str  # "", ByUser or ByNamespace
    matches: Matches


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests that share their turn: of one schema and one user or namespace."""

    schema: Schema
    key: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """All schemas in the order in which they are tried, and all levels by name."""

    schemas: tuple[Schema, ...]
    levels: dict[str, LevelSettings]

    def flow_of(self, asked: Attributes) -> Flow | None:
        """The flow of a request; None only if the catch-all schema is missing."""
        for schema in self.schemas:
            if schema.matches(asked):
                return Flow(schema, _distinguished(schema.distinguisher, asked))
        return None


def _distinguished(method: str, asked: Attributes) -> str:
    if method == "ByUser":
        return asked.user.name
    return asked.namespace if method == "ByNamespace" else ""


def configuration(schemas: Sequence[Obj], levels: Sequence[Obj], *, seats: int) -> Configuration:
    """From the objects and the server's own number of seats.

    A schema of a level that does not exist is as if it did not exist either.
    """
    shares = sum(_shares(level) for level in levels)
    settings = {name_of(level): _level(level, shares, seats) for level in levels}
    ordered = sorted(schemas, key=lambda s: (s["spec"].get("matchingPrecedence", 1000), name_of(s)))
    compiled = tuple(_schema(s) for s in ordered)
    return Configuration(tuple(s for s in compiled if s.level in settings), settings)


def _shares(level: Obj) -> int:
    spec = level["spec"]
    if spec["type"] == "Exempt":
        return int((spec.get("exempt") or {}).get("nominalConcurrencyShares") or 0)
    shares = (spec.get("limited") or {}).get("nominalConcurrencyShares")
    return 30 if shares is None else int(shares)


def _level(level: Obj, shares: int, seats: int) -> LevelSettings:
    spec, name, uid = level["spec"], name_of(level), uid_of(level)
    if spec["type"] == "Exempt":
        return LevelSettings(name, uid, None)
    limited = spec.get("limited") or {}
    own = math.ceil(seats * _shares(level) / shares) if shares else 0
    percent = limited.get("borrowingLimitPercent")
    response = limited.get("limitResponse") or {}
    queuing = response.get("queuing") or {} if response.get("type") == "Queue" else {}
    return LevelSettings(
        name,
        uid,
        own,
        lendable=round(own * (limited.get("lendablePercent") or 0) / 100),
        borrowable=math.inf if percent is None else round(own * percent / 100),
        queues=int(queuing.get("queues") or 0),
        hand=int(queuing.get("handSize") or 1),
        queue_length=int(queuing.get("queueLengthLimit") or 0),
    )


def _schema(schema: Obj) -> Schema:
    spec = schema["spec"]
    rules = [_rule(rule) for rule in spec.get("rules") or ()]
    return Schema(
        name=name_of(schema),
        uid=uid_of(schema),
        level=spec["priorityLevelConfiguration"]["name"],
        distinguisher=(spec.get("distinguisherMethod") or {}).get("type") or "",
        matches=lambda asked: any(rule(asked) for rule in rules),
    )


def _rule(rule: Obj) -> Matches:
    subjects = [_subject(s) for s in rule.get("subjects") or ()]
    resources = [_resource_rule(r) for r in rule.get("resourceRules") or ()]
    paths = [_path_rule(r) for r in rule.get("nonResourceRules") or ()]

    def matches(asked: Attributes) -> bool:
        wanted = resources if asked.is_resource else paths
        return any(w(asked) for w in wanted) and any(s(asked.user) for s in subjects)

    return matches


def _subject(subject: Obj) -> Callable[[User], bool]:
    if subject["kind"] == "User":
        name = subject["user"]["name"]
        return lambda user: name in ("*", user.name)
    if subject["kind"] == "Group":
        group = subject["group"]["name"]
        return lambda user: group == "*" or group in user.groups
    account = subject["serviceAccount"]
    prefix = f"{ACCOUNT_PREFIX}{account['namespace']}:"
    if account["name"] == "*":
        return lambda user: user.name.startswith(prefix)
    return lambda user: user.name == prefix + account["name"]


def _resource_rule(rule: Obj) -> Matches:
    verbs, groups = _all_or(rule.get("verbs")), _all_or(rule.get("apiGroups"))
    resources, namespaces = _all_or(rule.get("resources")), _all_or(rule.get("namespaces"))
    cluster_scope = bool(rule.get("clusterScope"))

    def matches(asked: Attributes) -> bool:
        where = asked.resource
        if asked.subresource:
            where = f"{asked.resource}/{asked.subresource}"
        return (
            (verbs is None or asked.verb in verbs)
            and (groups is None or asked.group in groups)
            and (resources is None or where in resources)
            and (
                (namespaces is None or asked.namespace in namespaces)
                if asked.namespace
                else cluster_scope
            )
        )

    return matches


def _path_rule(rule: Obj) -> Matches:
    verbs = _all_or(rule.get("verbs"))
    paths: Sequence[str] = rule.get("nonResourceURLs") or ()

    def covers(pattern: str, path: str) -> bool:
        if pattern in ("*", path):
            return True
        return pattern.endswith("/*") and path.startswith(pattern[:-1])

    return lambda asked: (
        (verbs is None or asked.verb in verbs)
        and any(covers(pattern, asked.path) for pattern in paths)
    )


def _all_or(names: Sequence[str] | None) -> frozenset[str] | None:
    """The names; None if they say "everything"."""
    found = frozenset(names or ())
    return None if "*" in found else found
