"""Acting as somebody else: the Impersonate-* headers, each allowed by the verb ``impersonate``.

Source of semantics: apiserver's ``pkg/endpoints/filters/impersonation``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from sagong.api.errors import InternalError
from sagong.api.types import User
from sagong.server.authn.interface import ANONYMOUS, AUTHENTICATED_GROUP
from sagong.server.authn.service_accounts import group_names, split_user_name
from sagong.server.authz.interface import Attributes, Authorizer, Effect
from sagong.server.authz.refusal import refusal

_UNAUTHENTICATED_GROUP = "system:unauthenticated"
_EXTRA_PREFIX = "impersonate-extra-"
_EXTRA_GROUP = "authentication.k8s.io"


@dataclass(slots=True)
class _Wanted:
    """Whom a request wants to be."""

    name: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)


async def impersonate(
    user: User, headers: Iterable[tuple[str, str]], authorizer: Authorizer
) -> User:
    """The user that a request is to count as; ``user`` itself without such headers.

    ``headers`` are all of the request's, names in any case. Raises Forbidden, and InternalError for
    groups, uid or extra without a user, as upstream does.
    """
    wanted = _read(headers)
    if not wanted.name:
        if wanted.groups or wanted.extra or wanted.uid:
            raise InternalError("requested impersonation without impersonating a user")
        return user
    for asked in _questions(user, wanted):
        decision = await authorizer.authorize(asked)
        if decision.effect is not Effect.ALLOW:
            raise refusal(asked, decision.reason)
    extra = {key: tuple(values) for key, values in wanted.extra.items()}
    return User(wanted.name, wanted.uid, _groups(wanted), extra)


def _read(headers: Iterable[tuple[str, str]]) -> _Wanted:
    wanted = _Wanted()
    for header, value in headers:
        name = header.lower()
        if not name.startswith("impersonate-"):
            continue
        if name == "impersonate-user":
            wanted.name = value
        elif name == "impersonate-uid":
            wanted.uid = value
        elif name == "impersonate-group":
            wanted.groups.append(value)
        elif name.startswith(_EXTRA_PREFIX):
            key = unquote(name.removeprefix(_EXTRA_PREFIX)).lower()
            wanted.extra.setdefault(key, []).append(value)
    return wanted


def _questions(user: User, wanted: _Wanted) -> Iterable[Attributes]:
    """One question for each thing that is claimed."""
    account = split_user_name(wanted.name)
    if account:
        yield _asked(user, "serviceaccounts", account[1], namespace=account[0])
    else:
        yield _asked(user, "users", wanted.name)
    for group in wanted.groups:
        yield _asked(user, "groups", group)
    for key, values in wanted.extra.items():
        for value in values:
            yield _asked(user, "userextras", value, group=_EXTRA_GROUP, subresource=key)
    if wanted.uid:
        yield _asked(user, "uids", wanted.uid, group=_EXTRA_GROUP)


def _asked(
    user: User,
    resource: str,
    name: str,
    *,
    namespace: str = "",
    group: str = "",
    subresource: str = "",
) -> Attributes:
    return Attributes(
        user=user,
        verb="impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _groups(wanted: _Wanted) -> tuple[str, ...]:
    """The claimed groups; a service account's own where none are claimed; and one of the two
    groups that everybody is in."""
    groups = list(wanted.groups)
    account = split_user_name(wanted.name)
    if account and not groups:
        groups = list(group_names(account[0]))
    if wanted.name == ANONYMOUS.name:
        if _UNAUTHENTICATED_GROUP not in groups:
            groups.append(_UNAUTHENTICATED_GROUP)
    elif AUTHENTICATED_GROUP not in groups and _UNAUTHENTICATED_GROUP not in groups:
        groups.append(AUTHENTICATED_GROUP)
    return tuple(groups)
