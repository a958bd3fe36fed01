"""Making sure that a container's image is present: policies, pulls, back-off.

Messages, events and waiting reasons are upstream's (``pkg/kubelet/images/image_manager.go``).
"""

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.images.references import normalize, registry_of
from sagong.node.pods import backoff
from sagong.node.pods.failures import ImageFailure
from sagong.node.pods.model import BackOff

log = logging.getLogger(__name__)

BACK_OFF_MAX_SECONDS = 300.0
PULLS_AT_ONCE = 5  # upstream pulls one at a time by default; containerd bounds layers by itself
REMEMBERED_MAX = 1024


class Emit(Protocol):
    """Records an event about the container at hand."""

    def __call__(self, type_: str, reason: str, message: str) -> None: ...


class ImagePuller:
    """One an agent; pulls of the same image are shared by the runtime."""

    def __init__(self, cri: CriClient, clock: Clock) -> None:
        self._cri = cri
        self._clock = clock
        self._slots = asyncio.Semaphore(PULLS_AT_ONCE)
        self._back_offs: dict[str, tuple[BackOff, str]] = {}

    async def ensure(
        self, container: Obj, emit: Emit, *, secrets: Sequence[Obj], pod_key: str
    ) -> Any:
        """The runtime's Image. Raises ImageFailure."""
        written = container["image"]
        try:
            reference = normalize(written)
        except ValueError as error:
            emit("Warning", "InspectFailed", f'Failed to apply default image tag "{written}"')
            message = f'Failed to apply default image tag "{written}": {error}'
            raise ImageFailure("InvalidImageName", message) from error
        policy = container.get("imagePullPolicy") or "IfNotPresent"
        present = await self._present(written, reference, emit)
        if present is not None and policy != "Always":
            emit(
                "Normal",
                "Pulled",
                f'Container image "{written}" already present on machine '
                "and can be accessed by the pod",
            )
            return present
        if policy == "Never":
            message = f'Container image "{written}" is not present with pull policy of Never'
            emit("Warning", "ErrImageNeverPull", message)
            raise ImageFailure("ErrImageNeverPull", message)
        return await self._pull(written, reference, emit, secrets, f"{pod_key}_{written}")

    async def _present(self, written: str, reference: str, emit: Emit) -> Any | None:
        try:
            return await self._cri.image_status(reference)
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{written}": {error}'
            emit("Warning", "InspectFailed", message)
            raise ImageFailure("ImageInspectError", message) from error

    async def _pull(
        self, written: str, reference: str, emit: Emit, secrets: Sequence[Obj], key: str
    ) -> Any:
        now = self._clock.now()
        entry, last_error = self._back_offs.get(key, (None, ""))
        if entry is not None and entry.updated_at + entry.delay_seconds > now:
            message = f'Back-off pulling image "{written}"'
            emit("Normal", "BackOff", message)
            raise ImageFailure(
                "ImagePullBackOff",
                f"{message}: ErrImagePull: {last_error}",
                retry_seconds=entry.updated_at + entry.delay_seconds - now,
            )
        emit("Normal", "Pulling", f'Pulling image "{written}"')
        asked_at = self._clock.monotonic()
        try:
            async with self._slots:
                started_at = self._clock.monotonic()
                await self._cri.pull_image(reference, auth=credentials(reference, secrets))
        except RuntimeFailure as error:
            emit("Warning", "Failed", f'Failed to pull image "{written}": {error}')
            self._raise_back_off(key, entry, str(error))
            raise ImageFailure("ErrImagePull", str(error), retry_seconds=0.0) from error
        self._back_offs.pop(key, None)
        image = await self._cri.image_status(reference)
        if image is None:
            raise ImageFailure("ErrImagePull", f'image "{written}" is gone after it was pulled')
        ended_at = self._clock.monotonic()
        took, waited = _seconds(ended_at - started_at), _seconds(ended_at - asked_at)
        emit(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{written}" in {took} ({waited} including waiting). '
            f"Image size: {image.size} bytes.",
        )
        return image

    def _raise_back_off(self, key: str, entry: BackOff | None, error: str) -> None:
        now = self._clock.now()
        raised = backoff.raised(entry, now, now=now, max_seconds=BACK_OFF_MAX_SECONDS)
        self._back_offs.pop(key, None)
        self._back_offs[key] = (raised, error)
        if len(self._back_offs) > REMEMBERED_MAX:
            del self._back_offs[next(iter(self._back_offs))]


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}".rstrip("0") + "s"


def credentials(reference: str, secrets: Sequence[Obj]) -> dict[str, str] | None:
    """AuthConfig for the image's registry from dockerconfigjson and dockercfg secrets."""
    registry = registry_of(reference)
    for secret in secrets:
        for host, entry in _entries(secret).items():
            name = host.removeprefix("https://").removeprefix("http://").split("/")[0]
            if name == registry or (registry == "docker.io" and name == "index.docker.io"):
                return _auth(entry)
    return None


def _entries(secret: Obj) -> dict[str, Any]:
    data = secret.get("data") or {}
    if text := data.get(".dockerconfigjson"):
        return dict(orjson.loads(base64.b64decode(text)).get("auths") or {})
    if text := data.get(".dockercfg"):
        return dict(orjson.loads(base64.b64decode(text)))
    return {}


def _auth(entry: dict[str, str]) -> dict[str, str]:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    fields = {"username": user, "password": password}
    if token := entry.get("identitytoken"):
        fields["identity_token"] = token
    return fields
