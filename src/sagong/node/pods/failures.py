"""Why a container or a pod could not be started, with the waiting reason that users see."""

from collections.abc import Sequence
from dataclasses import dataclass


class StartFailure(Exception):
    """A container could not be started.

    StartFailure
    ├── ImageFailure          ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName
    ├── ConfigFailure         CreateContainerConfigError
    ├── CreateFailure         CreateContainerError
    ├── RunFailure            RunContainerError
    └── HookFailure           PostStartHookError
    """

    reason = "StartError"
    # How long to leave it before the next attempt, unless something changes.
    retry_seconds = 10.0

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ImageFailure(StartFailure):
    def __init__(self, reason: str, message: str, *, retry_seconds: float = 10.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_seconds = retry_seconds


class ConfigFailure(StartFailure):
    reason = "CreateContainerConfigError"


class CreateFailure(StartFailure):
    reason = "CreateContainerError"


class RunFailure(StartFailure):
    reason = "RunContainerError"


class HookFailure(StartFailure):
    reason = "PostStartHookError"


class VolumeFailure(Exception):
    """A volume could not be set up, as upstream tells it (reason and text of an event).

    VolumeFailure
    ├── DeviceFailure   before the pod's own part: staging (MountDevice)
    ├── MapFailure      a block device could not be given to the pod
    ├── ClaimFailure    what is to be mounted is not known: the claim is not there, or not bound
    └── NotAttached     it is waited for, and nothing is told
    """

    reason = "FailedMount"

    def event_text(self, volume: str) -> str:
        return f'MountVolume.SetUp failed for volume "{volume}" : {self}'


class DeviceFailure(VolumeFailure):
    def event_text(self, volume: str) -> str:
        return f'MountVolume.MountDevice failed for volume "{volume}" : {self}'


class MapFailure(VolumeFailure):
    reason = "FailedMapVolume"

    def event_text(self, volume: str) -> str:
        return f'MapVolume.SetUpDevice failed for volume "{volume}" : {self}'


class ClaimFailure(VolumeFailure):
    def event_text(self, volume: str) -> str:
        return str(self)


class NotAttached(VolumeFailure): ...


@dataclass(frozen=True, slots=True)
class VolumeProblem:
    """An event about a volume; no text where there is nothing to tell."""

    reason: str
    text: str


class VolumesNotReady(Exception):
    """Some of a pod's volumes could not be set up."""

    def __init__(self, problems: Sequence[VolumeProblem], *, is_waiting: bool) -> None:
        super().__init__("; ".join(p.text for p in problems) or "volumes are not attached yet")
        self.problems = problems
        self.is_waiting = is_waiting  # for nothing but an attachment: look again soon


class ResizeFailure(Exception):
    """Running containers could not be given other resources (PodResizeInProgress, Error)."""


class SandboxFailure(Exception):
    """The sandbox could not be made (FailedCreatePodSandBox)."""
