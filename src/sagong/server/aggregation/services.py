"""Which group and version is served by which service, as the APIService objects say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.server.admission.interface import Lister
from sagong.server.remote.locating import ServiceRef

API_SERVICES = "apiservices.apiregistration.k8s.io"
GroupVersion = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Extension:
    """A group and version that another API server serves."""

    name: str
    group: str
    version: str
    service: ServiceRef
    ca_bundle: str
    insecure: bool
    is_available: bool

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


@dataclass(frozen=True, slots=True)
class Priority:
    """Of a group and version among others: clients prefer the highest."""

    group: int
    version: int


def extension_of(obj: Obj) -> Extension | None:
    """What an APIService registers; None if this server serves it itself."""
    spec = obj["spec"]
    service = spec.get("service")
    if service is None:
        return None
    available = condition(obj, "Available") or {}
    return Extension(
        name=obj["metadata"]["name"],
        group=spec.get("group") or "",
        version=spec["version"],
        service=ServiceRef(service["namespace"], service["name"], int(service.get("port") or 443)),
        ca_bundle=spec.get("caBundle") or "",
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        is_available=available.get("status") == "True",
    )


class Extensions:
    """All of them, read again when an APIService changes."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._version = -1
        self._extensions: dict[GroupVersion, Extension] = {}
        self._priorities: dict[GroupVersion, Priority] = {}

    def all(self) -> Mapping[GroupVersion, Extension]:
        self._read()
        return self._extensions

    def priorities(self) -> Mapping[GroupVersion, Priority]:
        """Of every group and version that has an APIService, local ones too."""
        self._read()
        return self._priorities

    @property
    def version(self) -> int:
        """Changes whenever an APIService does."""
        return self._lister.version(API_SERVICES)

    def of_path(self, path: str) -> Extension | None:
        """Who serves a path; None if this server does."""
        if self._lister.version(API_SERVICES) != self._version:
            self._read()
        found = self._extensions
        if not found:
            return None
        # Its OpenAPI document, too, is its own.
        path = path.removeprefix("/openapi/v3")
        if not path.startswith("/apis/"):
            return None
        parts = path.split("/", 4)
        return found.get((parts[2], parts[3])) if len(parts) > 3 else None

    def _read(self) -> None:
        version = self.version
        if version == self._version:
            return
        extensions, priorities = {}, {}
        for item in self._lister.list(API_SERVICES):
            spec = item.obj["spec"]
            group_version = (spec.get("group") or "", spec["version"])
            priorities[group_version] = Priority(
                int(spec.get("groupPriorityMinimum") or 0), int(spec.get("versionPriority") or 0)
            )
            found = extension_of(item.obj)
            if found is not None and found.group:
                extensions[group_version] = found
        self._extensions, self._priorities, self._version = extensions, priorities, version
