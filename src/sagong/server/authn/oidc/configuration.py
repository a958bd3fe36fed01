"""Reads ``AuthenticationConfiguration`` (apiserver.config.k8s.io/v1): which issuers, mapped how.

Source of semantics: apiserver's ``apis/apiserver/validation``. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sagong.api.types import Obj

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
KIND = "AuthenticationConfiguration"
ISSUERS_MAX = 64


class BadConfiguration(Exception):
    """The file is not what it must be; the message has the path of the member."""


@dataclass(frozen=True, slots=True)
class ClaimOrExpression:
    """Where a part of a user comes from: a claim with a prefix, or a CEL expression."""

    claim: str = ""
    prefix: str = ""
    expression: str = ""

    @property
    def is_set(self) -> bool:
        return bool(self.claim or self.expression)


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of the claims, or of the user: a claim's value, or a CEL expression."""

    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Jwt:
    """One issuer."""

    url: str
    audiences: tuple[str, ...]
    discovery_url: str
    ca: str  # PEM; "" for the machine's own roots
    username: ClaimOrExpression
    groups: ClaimOrExpression
    uid: ClaimOrExpression
    extra: tuple[tuple[str, str], ...]  # keys and CEL expressions
    claim_rules: tuple[Rule, ...]
    user_rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Whether requests without credentials are let in, and (if any are named) to which paths."""

    enabled: bool = True
    paths: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AuthenticationConfiguration:
    jwt: tuple[Jwt, ...] = ()
    anonymous: Anonymous = Anonymous()


DEFAULT = AuthenticationConfiguration()


def parse(config: Obj) -> AuthenticationConfiguration:
    """The configuration in a decoded file. Raises BadConfiguration."""
    if config.get("kind") != KIND or config.get("apiVersion") not in API_VERSIONS:
        raise BadConfiguration(f"want kind {KIND} of {API_VERSIONS[0]}")
    _only(config, ("apiVersion", "kind", "jwt", "anonymous"), "")
    jwts = _list(config, "jwt", "")
    if len(jwts) > ISSUERS_MAX:
        raise BadConfiguration(f"jwt: Too many: {len(jwts)}: must have at most {ISSUERS_MAX} items")
    found = tuple(_jwt(entry, f"jwt[{i}]") for i, entry in enumerate(jwts))
    for name in ("url", "discovery_url"):
        values = [getattr(jwt, name) for jwt in found if getattr(jwt, name)]
        for i, value in enumerate(values):
            if value in values[:i]:
                raise BadConfiguration(f'jwt[{i}].issuer: Duplicate value: "{value}"')
    return AuthenticationConfiguration(found, _anonymous(config.get("anonymous")))


def _anonymous(entry: Any) -> Anonymous:
    if entry is None:
        return Anonymous()
    _only(entry, ("enabled", "conditions"), "anonymous")
    conditions = _list(entry, "conditions", "anonymous")
    if not entry.get("enabled") and conditions:
        raise BadConfiguration(
            "anonymous.conditions: enabled should be set to true when conditions are defined"
        )
    paths = frozenset(condition["path"] for condition in conditions)
    return Anonymous(bool(entry.get("enabled")), paths or None)


def _jwt(entry: Any, path: str) -> Jwt:
    names = ("issuer", "claimMappings", "claimValidationRules", "userValidationRules")
    _only(entry, names, path)
    issuer = entry.get("issuer") or {}
    _only(
        issuer,
        ("url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy",
         "egressSelectorType"),
        f"{path}.issuer",
    )  # fmt: skip
    audiences = tuple(str(a) for a in _list(issuer, "audiences", f"{path}.issuer"))
    if not audiences or not all(audiences):
        raise BadConfiguration(
            f"{path}.issuer.audiences: Required value: "
            "at least one jwt[*].issuer.audiences is required"
        )
    policy = issuer.get("audienceMatchPolicy") or ""
    if len(audiences) > 1 and policy != "MatchAny":
        raise BadConfiguration(
            f'{path}.issuer.audienceMatchPolicy: Invalid value: "{policy}": '
            "audienceMatchPolicy must be MatchAny for multiple audiences"
        )
    url = _https(issuer.get("url") or "", f"{path}.issuer.url")
    discovery = issuer.get("discoveryURL") or ""
    if discovery:
        _https(discovery, f"{path}.issuer.discoveryURL")
        if discovery.rstrip("/") == url.rstrip("/"):
            raise BadConfiguration(
                f"{path}.issuer.discoveryURL: discoveryURL must be different from URL"
            )
    mappings = entry.get("claimMappings") or {}
    _only(mappings, ("username", "groups", "uid", "extra"), f"{path}.claimMappings")
    username = _mapping(mappings, "username", f"{path}.claimMappings")
    if not username.is_set:
        raise BadConfiguration(
            f"{path}.claimMappings.username: Required value: claim or expression is required"
        )
    return Jwt(
        url=url,
        audiences=audiences,
        discovery_url=discovery,
        ca=issuer.get("certificateAuthority") or "",
        username=username,
        groups=_mapping(mappings, "groups", f"{path}.claimMappings"),
        uid=_mapping(mappings, "uid", f"{path}.claimMappings", prefixed=False),
        extra=_extra(mappings, f"{path}.claimMappings"),
        claim_rules=_claim_rules(entry, path),
        user_rules=_user_rules(entry, path),
    )


def _https(url: str, path: str) -> str:
    parts = urlsplit(url)
    if not url:
        raise BadConfiguration(f"{path}: Required value: URL is required")
    if parts.scheme != "https":
        raise BadConfiguration(f'{path}: Invalid value: "{url}": URL scheme must be https')
    if parts.username is not None or parts.query or parts.fragment:
        raise BadConfiguration(
            f'{path}: Invalid value: "{url}": URL must not contain a username, query or fragment'
        )
    return url


def _mapping(mappings: Obj, name: str, path: str, *, prefixed: bool = True) -> ClaimOrExpression:
    entry = mappings.get(name) or {}
    where = f"{path}.{name}"
    _only(entry, ("claim", "expression", *(("prefix",) if prefixed else ())), where)
    claim, expression = entry.get("claim") or "", entry.get("expression") or ""
    if claim and expression:
        raise BadConfiguration(f"{where}: Invalid value: claim and expression can't both be set")
    if prefixed and claim and entry.get("prefix") is None:
        raise BadConfiguration(
            f"{where}.prefix: Required value: prefix is required when claim is set. "
            "It can be set to an empty string to disable prefixing"
        )
    if expression and entry.get("prefix") is not None:
        raise BadConfiguration(
            f"{where}.prefix: Invalid value: prefix can't be set when expression is set"
        )
    return ClaimOrExpression(claim, entry.get("prefix") or "", expression)


def _extra(mappings: Obj, path: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for i, entry in enumerate(_list(mappings, "extra", path)):
        where = f"{path}.extra[{i}]"
        _only(entry, ("key", "valueExpression"), where)
        key = entry.get("key") or ""
        if "/" not in key or key != key.lower():
            raise BadConfiguration(
                f'{where}.key: Invalid value: "{key}": key must be a lowercase domain-prefixed path'
            )
        if key in found:
            raise BadConfiguration(f'{where}.key: Duplicate value: "{key}"')
        if not entry.get("valueExpression"):
            raise BadConfiguration(
                f"{where}.valueExpression: Required value: valueExpression is required"
            )
        found[key] = entry["valueExpression"]
    return tuple(found.items())


def _claim_rules(entry: Obj, path: str) -> tuple[Rule, ...]:
    rules = []
    for i, rule in enumerate(_list(entry, "claimValidationRules", path)):
        where = f"{path}.claimValidationRules[{i}]"
        _only(rule, ("claim", "requiredValue", "expression", "message"), where)
        claim, expression = rule.get("claim") or "", rule.get("expression") or ""
        if bool(claim) == bool(expression):
            raise BadConfiguration(f"{where}: exactly one of claim and expression must be set")
        rules.append(
            Rule(claim, rule.get("requiredValue") or "", expression, rule.get("message") or "")
        )
    return tuple(rules)


def _user_rules(entry: Obj, path: str) -> tuple[Rule, ...]:
    rules = []
    for i, rule in enumerate(_list(entry, "userValidationRules", path)):
        where = f"{path}.userValidationRules[{i}]"
        _only(rule, ("expression", "message"), where)
        if not rule.get("expression"):
            raise BadConfiguration(f"{where}.expression: Required value: expression is required")
        rules.append(Rule(expression=rule["expression"], message=rule.get("message") or ""))
    return tuple(rules)


def _only(entry: Any, known: Sequence[str], path: str) -> None:
    if not isinstance(entry, Mapping):
        raise BadConfiguration(f"{path}: must be an object")
    for name in entry:
        if name not in known:
            where = f"{path}.{name}" if path else name
            raise BadConfiguration(f'strict decoding error: unknown field "{where}"')


def _list(entry: Obj, name: str, path: str) -> Sequence[Any]:
    found = entry.get(name) or []
    if not isinstance(found, list):
        raise BadConfiguration(f"{path}.{name}: must be a list")
    return found
