"""The seam between a client's methods and how a request travels."""

from typing import Protocol

from sagong.api.call import Answer, Call


class Transport(Protocol):
    """Carries a Call to an API server and its Answer back; raises ``api.errors``.

    Implementations: ``InProcess`` (straight into the server of this process, objects shared, no
    encoding) and ``Https`` (any conformant API server).
    """

    async def send(self, call: Call) -> Answer:
        """Single for object verbs, Listing for LIST, Watching for WATCH."""
        ...

    async def close(self) -> None: ...
