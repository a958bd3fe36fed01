"""``/version``."""

import platform

from sagong import __version__
from sagong.api.types import Obj
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered
from sagong.server.http.negotiation import JSON
from sagong.server.http.responses import object_response

KUBERNETES = "1.36.0"


def version_info() -> Obj:
    """``version.Info``: the Kubernetes that this is, built as ours."""
    major, minor, _ = KUBERNETES.split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{KUBERNETES}+sagong-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"linux/{'arm64' if platform.machine() == 'aarch64' else 'amd64'}",
    }


async def version(exchange: Exchange) -> Answered:
    return object_response(version_info(), JSON, exchange)
