"""Writing a pod's status: the newest wins, failures are retried, nothing waits for it."""

import asyncio
import logging
from collections.abc import Callable

from sagong.api.errors import ApiError, Conflict, Invalid, NotFound
from sagong.api.meta import resource_version_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.node.pods.pod_status import OWNED_CONDITIONS

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
RETRY_LIMIT_SECONDS = 30.0


class StatusWriter:
    """Of one pod. ``current`` gives the pod as last known from the API; ``written`` is called with
    what the API answered."""

    def __init__(
        self, client: Client, current: Callable[[], Obj], written: Callable[[Obj], None]
    ) -> None:
        self._client = client
        self._current = current
        self._written = written
        self._wanted: Obj | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def want(self, status: Obj) -> None:
        """The status that the API should show from now on."""
        if status == (self._current().get("status") or {}) and self._idle.is_set():
            return
        self._wanted = status
        self._idle.clear()
        self._changed.set()

    async def wait_written(self) -> None:
        """Until the API shows what was wanted, or has refused it for good."""
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled. May be begun again after a failure: what is wanted is still wanted."""
        delay = RETRY_SECONDS
        if self._wanted is not None:
            self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            try:
                await self._write(wanted)
            except (NotFound, Invalid) as error:
                # Gone, or refused: the same status would be refused again.
                if isinstance(error, Invalid):
                    log.error("status of pod refused: %s", error)
            except ApiError as error:
                log.info("cannot write a pod's status yet: %s", error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_LIMIT_SECONDS)
                self._changed.set()
                continue
            delay = RETRY_SECONDS
            if self._wanted is wanted:
                self._wanted = None
                self._idle.set()

    async def _write(self, status: Obj) -> None:
        pod = self._current()
        if not pod:
            return  # a static pod without a mirror; its worker asks again once there is one
        for _ in range(5):  # each round reads what made the one before conflict
            if (pod.get("status") or {}) == status:
                return
            try:
                answer = await self._client.update(
                    "pods", {**pod, "status": _merged(pod, status)}, subresource="status"
                )
            except Conflict:
                metadata = pod["metadata"]
                live = await self._client.get(
                    "pods", metadata["name"], namespace=metadata["namespace"]
                )
                if uid_of(live) != uid_of(pod):
                    return
                pod = live
                continue
            self._written(answer)
            return
        log.info("status of %s changes too fast; tried again later", pod["metadata"]["name"])
        self._changed.set()


def _merged(pod: Obj, status: Obj) -> Obj:
    """Our status with the newest conditions of other owners."""
    own = [c for c in status["conditions"] if _is_own(c)]
    types = {*OWNED_CONDITIONS, *(c["type"] for c in own)}
    found = (pod.get("status") or {}).get("conditions") or []
    others = [condition for condition in found if condition["type"] not in types]
    return {**status, "conditions": own + others}


def _is_own(condition: Obj) -> bool:
    """DisruptionTarget has several writers; their reasons tell them apart."""
    return condition["type"] in OWNED_CONDITIONS or (
        condition["type"] == "DisruptionTarget"
        and condition.get("reason") == "TerminationByKubelet"
    )


def is_newer(candidate: Obj, known: Obj) -> bool:
    """Whether an object is a later state of the same one."""
    return resource_version_of(candidate) > resource_version_of(known)
