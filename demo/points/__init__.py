"""One file a point; each takes the scene and notes facts. ``applied`` readies the application."""

from collections.abc import Callable

from demo.points import (
    application,
    durability,
    healing,
    rollouts,
    scheduling,
    services,
    verbs,
    volumes,
)
from demo.scene import Scene

POINTS: dict[int, tuple[str, Callable[[Scene], None]]] = {
    1: ("An ordinary application runs", application.show),
    2: ("kubectl's verbs", verbs.show),
    3: ("Services and names", services.show),
    4: ("Rolling updates under load", rollouts.show),
    5: ("Self-healing", healing.show),
    6: ("Volumes", volumes.show),
    7: ("kill -9 of server and agent", durability.show),
    8: ("Scheduling", scheduling.show),
}
