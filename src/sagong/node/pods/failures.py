"""Why a container or a pod could not be started, with the waiting reason that users see."""


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
    """A volume could not be mounted; the text is that of upstream's FailedMount event."""


class ResizeFailure(Exception):
    """Running containers could not be given other resources (PodResizeInProgress, Error)."""


class SandboxFailure(Exception):
    """The sandbox could not be made (FailedCreatePodSandBox)."""
