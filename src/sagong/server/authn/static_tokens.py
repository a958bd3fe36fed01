"""Tokens from a file that an administrator wrote: upstream's ``--token-auth-file``.

Each line is ``token,user,uid`` and optionally a quoted list of groups: ``t,u,1,"g1,g2"``.
"""

import csv
from collections.abc import Mapping, Sequence

from sagong.api.types import User
from sagong.server.authn.interface import Authenticated


class TokenFileError(ValueError):
    """A line of the file cannot be read; says which."""


def parse_tokens(text: str) -> Mapping[str, User]:
    """Users by token. The last of several lines with one token wins. Raises TokenFileError."""
    users: dict[str, User] = {}
    for number, record in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), 1):
        if not record or record[0].startswith("#"):
            continue
        if len(record) < 3:
            raise TokenFileError(
                f"line {number}: token, user name and user uid are needed, found {len(record)}"
            )
        token, name, uid = (value.strip() for value in record[:3])
        if not token or not name:
            raise TokenFileError(f"line {number}: empty token or user name")
        groups = record[3].split(",") if len(record) > 3 and record[3] else []
        users[token] = User(name, uid, tuple(g.strip() for g in groups if g.strip()))
    return users


class StaticTokenAuthenticator:
    """Looks tokens up by hash: Python's is keyed anew in each process, and texts are compared only
    when all of it is equal, so a look-up's time says nothing of how much of a token matched."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = dict(users)

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        user = self._users.get(token)
        return Authenticated(user, tuple(audiences)) if user else None
