"""Posts reviews to one webhook and remembers what it said for a while.

Source of semantics: apiserver's ``util/webhook`` (retries, errors) and the caches of both users.
"""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from sagong.api.types import Obj
from sagong.client.access import Access, TokenSource
from sagong.client.kubeconfig import read_context
from sagong.core.clock import Clock

if TYPE_CHECKING:
    import aiohttp

ATTEMPTS = 5  # upstream's DefaultRetryBackoff: 500 ms, then half as long again each time
FIRST_PAUSE_SECONDS = 0.5
PAUSE_FACTOR = 1.5
ANSWER_BYTES_MAX = 1024 * 1024
REMEMBERED_MAX = 8192  # past it what was asked longest ago is asked again

T = TypeVar("T")


class ReviewFailed(Exception):
    """The webhook gave no usable answer."""


class Reviewer:
    """One webhook. Connects when first asked; to be closed."""

    def __init__(self, kubeconfig: Path, *, seconds: float) -> None:
        """Raises KubeconfigError, OSError, ssl.SSLError."""
        self._access: Access = read_context(kubeconfig).access
        self._tls = self._access.ssl_context()
        self._token = TokenSource(self._access)
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def review(self, body: Obj) -> Obj:
        """The review with its status. Raises ReviewFailed."""
        await asyncio.sleep(0)  # who asks may be in no task, and timeouts need one
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._post(body)
            except _Passing as error:
                if attempt == ATTEMPTS - 1:
                    raise ReviewFailed(str(error)) from error
            except TimeoutError as error:
                raise ReviewFailed("context deadline exceeded") from error
            await asyncio.sleep(pause)
            pause *= PAUSE_FACTOR
        raise AssertionError("unreachable")

    async def _post(self, body: Obj) -> Obj:
        import aiohttp  # slow to import, and only needed with a webhook

        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token := self._token.current():
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.post(
                self._access.server,
                data=orjson.dumps(body),
                headers=headers,
                ssl=self._tls if self._tls is not None else True,
                server_hostname=self._access.tls_server_name or None,
                allow_redirects=False,
            ) as answer:
                data = await answer.content.read(ANSWER_BYTES_MAX + 1)
                code = answer.status
        except (aiohttp.ClientError, OSError) as error:
            raise _Passing(str(error)) from error
        if code == 429 or code >= 500:
            raise _Passing(f"the webhook answered {code}")
        return _decoded(code, data)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Passing(Exception):
    """A failure that may pass: the question is asked again."""


def _decoded(code: int, data: bytes) -> Obj:
    if not 200 <= code < 300:
        raise ReviewFailed(f"the webhook answered {code}")
    if len(data) > ANSWER_BYTES_MAX:
        raise ReviewFailed(f"the webhook answered more than {ANSWER_BYTES_MAX} bytes")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ReviewFailed("the webhook answered no JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("status"), dict):
        raise ReviewFailed("the webhook's answer has no status")
    return found


class Memory(Generic[T]):
    """Answers that are good for some seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[Any, tuple[float, T]] = OrderedDict()

    def recall(self, question: Any) -> T | None:
        kept = self._answers.get(question)
        if kept is None or kept[0] <= self._clock.monotonic():
            return None
        return kept[1]

    def keep(self, question: Any, answer: T, seconds: float) -> None:
        if seconds <= 0:
            return
        self._answers[question] = (self._clock.monotonic() + seconds, answer)
        self._answers.move_to_end(question)
        if len(self._answers) > REMEMBERED_MAX:
            self._answers.popitem(last=False)
