"""CDI, carried out by the agent for runtimes that do not know it (containerd before 1.7).

A CDI name ``vendor.com/class=device`` stands for changes of a container, which a file of the
vendor's describes (``/etc/cdi``, ``/var/run/cdi``): variables, device files, mounts. Hooks need
the runtime itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from sagong.api.types import Obj
from sagong.node.cri.client import CriClient
from sagong.node.pods.container_config import DevicePlan, MountPlan

_NAME = re.compile(r"([^/=]+/[^/=]+)=([^=]+)")


class CdiFailure(Exception):
    """A device is not described, or needs what only a runtime can do."""


@dataclass(frozen=True, slots=True)
class CdiEdits:
    """What a container gets."""

    environment: Mapping[str, str]
    devices: Sequence[DevicePlan]
    mounts: Sequence[MountPlan]


async def knows_cdi(cri: CriClient) -> bool:
    """Whether the runtime carries out CDI itself. containerd tells in its configuration."""
    answer = await cri.call("Status", verbose=True)
    try:
        config = orjson.loads(answer.info.get("config") or b"{}")
    except orjson.JSONDecodeError:
        config = {}
    if "sandboxImage" in config or "enableCDI" in config or "cdiSpecDirs" in config:
        return bool(config.get("enableCDI"))
    return bool((await cri.version()).runtime_name == "cri-o")


def edits_of(names: Sequence[str], directories: Iterable[Path]) -> CdiEdits:
    """What the names stand for, together; later directories win. Raises CdiFailure."""
    specs = _read_all(directories)
    edits: list[Obj] = []
    seen: set[str] = set()
    for name in names:
        kind, device = _parsed(name)
        found = specs.get(kind, {}).get(device)
        if found is None:
            raise CdiFailure(f"unresolvable CDI devices {name}")
        spec, own = found
        if kind not in seen:
            edits.append(spec.get("containerEdits") or {})
            seen.add(kind)
        edits.append(own.get("containerEdits") or {})
    return _joined(edits)


def _parsed(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise CdiFailure(f"invalid CDI device name {name!r}")
    return match[1], match[2]


def _read_all(directories: Iterable[Path]) -> dict[str, dict[str, tuple[Obj, Obj]]]:
    """Kind -> device -> (its file, its entry)."""
    found: dict[str, dict[str, tuple[Obj, Obj]]] = {}
    for directory in directories:
        for path in sorted(directory.glob("*")) if directory.is_dir() else ():
            spec = _read(path)
            for device in spec.get("devices") or ():
                found.setdefault(str(spec.get("kind")), {})[str(device["name"])] = spec, device
    return found


def _read(path: Path) -> Obj:
    """{} for what is no such file: others' mistakes concern their own devices only."""
    try:
        if path.suffix == ".json":
            loaded: Any = orjson.loads(path.read_bytes())
        elif path.suffix in (".yaml", ".yml"):
            loaded = yaml.safe_load(path.read_text())
        else:
            return {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _joined(edits: Sequence[Obj]) -> CdiEdits:
    environment: dict[str, str] = {}
    devices: dict[str, DevicePlan] = {}
    mounts: dict[str, MountPlan] = {}
    for edit in edits:
        if edit.get("hooks") or edit.get("intelRdt") or edit.get("additionalGids"):
            raise CdiFailure("the runtime does not know CDI, and hooks of devices need it")
        environment |= dict(_variable(text) for text in edit.get("env") or ())
        for node in edit.get("deviceNodes") or ():
            host = node.get("hostPath") or node["path"]
            devices[node["path"]] = DevicePlan(host, node["path"], node.get("permissions") or "rwm")
        for mount in edit.get("mounts") or ():
            options = mount.get("options") or ()
            plan = MountPlan(mount["hostPath"], mount["containerPath"], "ro" in options)
            mounts[mount["containerPath"]] = plan
    return CdiEdits(environment, list(devices.values()), list(mounts.values()))


def _variable(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
