"""The transport into an API server of the same process: no sockets, no encoding, shared objects."""

from collections.abc import Awaitable, Callable

from sagong.api.call import Answer, Call
from sagong.api.types import User

# How the server takes a call: authorisation, admission and all, as over HTTPS.
Dispatch = Callable[[Call, User], Awaitable[Answer]]


class InProcess:
    """A Transport that hands calls to a server's dispatch as one fixed user.

    What comes back is the server's own cached objects: never change them.
    """

    def __init__(self, dispatch: Dispatch, user: User) -> None:
        self._dispatch = dispatch
        self._user = user

    async def send(self, call: Call) -> Answer:
        return await self._dispatch(call, self._user)

    async def close(self) -> None:
        """Nothing is held; the server belongs to its composition root."""
