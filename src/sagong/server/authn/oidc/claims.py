"""From a token's claims to a user. Pure; expressions are compiled once, when the server starts.

Source of semantics: apiserver's ``plugin/pkg/authenticator/token/oidc``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sagong.api.types import Obj, User
from sagong.server.authn.interface import BadToken
from sagong.server.authn.oidc.configuration import ClaimOrExpression, Jwt

if TYPE_CHECKING:
    from sagong.server.expressions import Expression  # CEL is large


class Compile(Protocol):
    """Compiles an expression over ``claims`` or, with ``of_user``, over ``user``."""

    def __call__(self, text: str, *, of_user: bool = False) -> "Expression": ...


class ClaimMapper:
    """One issuer's rules and mappings."""

    def __init__(self, jwt: Jwt, compile_: Compile) -> None:
        self._jwt = jwt
        mapped = (jwt.username, jwt.groups, jwt.uid)
        texts = {m.expression for m in mapped} | {text for _, text in jwt.extra}
        texts |= {rule.expression for rule in jwt.claim_rules}
        self._of_claims = {text: compile_(text) for text in texts if text}
        self._of_user = {r.expression: compile_(r.expression, of_user=True) for r in jwt.user_rules}

    def user_of(self, claims: Obj) -> User:
        """The user that verified claims stand for. Raises BadToken."""
        self._check_claims(claims)
        name = self._username(claims)
        user = User(
            name,
            uid=_text(self._mapped(self._jwt.uid, claims), "uid"),
            groups=self._groups(claims),
            extra=self._extra(claims),
        )
        self._check_user(user)
        return user

    def _check_claims(self, claims: Obj) -> None:
        for rule in self._jwt.claim_rules:
            if rule.expression:
                if self._evaluated(rule.expression, claims) is not True:
                    told = rule.message or f"expression {rule.expression} returned false"
                    raise BadToken(f"oidc: error evaluating claim validation expression: {told}")
            elif claims.get(rule.claim) != rule.required_value:
                raise BadToken(
                    f"oidc: required claim {rule.claim} not present in ID token"
                    if rule.claim not in claims
                    else f"oidc: required claim {rule.claim} value does not match. "
                    f'Got = {claims[rule.claim]}, want = "{rule.required_value}"'
                )

    def _username(self, claims: Obj) -> str:
        mapping = self._jwt.username
        if mapping.expression:
            name = _text(self._mapped(mapping, claims), "username")
        else:
            name = claims.get(mapping.claim)  # type: ignore[assignment]
            if not isinstance(name, str):
                raise BadToken(f'oidc: parse username claims "{mapping.claim}": claim not present')
            verified = claims.get("email_verified", True)
            if mapping.claim == "email" and verified is not True:
                raise BadToken("oidc: email not verified")
        if not name:
            raise BadToken("oidc: empty username via claim or expression")
        return mapping.prefix + name

    def _groups(self, claims: Obj) -> tuple[str, ...]:
        mapping = self._jwt.groups
        value = self._mapped(mapping, claims)
        if value is None:
            return ()
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, Sequence) or not all(isinstance(g, str) for g in found):
            raise BadToken("oidc: groups are neither a string nor strings")
        return tuple(mapping.prefix + group for group in found if group)

    def _extra(self, claims: Obj) -> dict[str, tuple[str, ...]]:
        extra = {}
        for key, text in self._jwt.extra:
            value = self._evaluated(text, claims)
            values = [value] if isinstance(value, str) else list(value or ())
            if not all(isinstance(v, str) for v in values):
                raise BadToken(f"oidc: extra {key} is neither a string nor strings")
            if values := [v for v in values if v]:
                extra[key] = tuple(values)
        return extra

    def _check_user(self, user: User) -> None:
        facts = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
        shown = {**facts, "extra": {key: list(values) for key, values in user.extra.items()}}
        for rule in self._jwt.user_rules:
            try:
                holds = self._of_user[rule.expression].evaluate({"user": shown})
            except ValueError as error:
                raise BadToken(f"oidc: error evaluating user validation rule: {error}") from error
            if holds is not True:
                told = rule.message or f"expression {rule.expression} returned false"
                raise BadToken(f"oidc: error evaluating user info validation rule: {told}")

    def _mapped(self, mapping: ClaimOrExpression, claims: Obj) -> Any:
        if mapping.expression:
            return self._evaluated(mapping.expression, claims)
        return claims.get(mapping.claim) if mapping.claim else None

    def _evaluated(self, text: str, claims: Obj) -> Any:
        try:
            return self._of_claims[text].evaluate({"claims": claims})
        except ValueError as error:
            raise BadToken(f"oidc: error evaluating expression: {error}") from error


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadToken(f"oidc: {what} is not a string")
    return value
