"""Kernel settings of the node's own network namespace, with their old values remembered.

A setting is a path below /proc/sys, which shows the namespace of the process that reads it. The
old values are in a file, so that a clean-up after a crash still finds them.
"""

import logging
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from sagong.network.tables.family import IPV4, IPV6, Family

log = logging.getLogger(__name__)

PROC_SYS = Path("/proc/sys")
_MODPROBE_SECONDS_MAX = 10.0

# What a node needs and why; "optional" ones are absent where the kernel lacks the module.
REQUIRED: Mapping[str, str] = {
    "net/ipv4/ip_forward": "1",  # packets of pods pass through the node
}
BRIDGE_FILTER = "net/bridge/bridge-nf-call-iptables"
BRIDGE_FILTER_IPV6 = "net/bridge/bridge-nf-call-ip6tables"
BRIDGE_FILTERS = frozenset({BRIDGE_FILTER, BRIDGE_FILTER_IPV6})
OPTIONAL: Mapping[str, str] = {
    # An answer from a pod to another pod on the same bridge does not pass the IP layer by itself,
    # so that the rewriting of a service address would not be undone on its way back.
    BRIDGE_FILTER: "1",
    # Loose: what comes by way of another node may leave by another link.
    "net/ipv4/conf/all/rp_filter": "2",
}
_REQUIRED_IPV6 = {"net/ipv6/conf/all/forwarding": "1"}
_OPTIONAL_IPV6 = {BRIDGE_FILTER_IPV6: "1"}
_ACCEPT_RA = "net/ipv6/conf/{}/accept_ra"


def settings_of(
    families: Collection[Family], *, proc_sys: Path = PROC_SYS
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The required and the optional settings of a node with addresses of these families."""
    required: dict[str, str] = {}
    optional: dict[str, str] = {}
    if IPV4 in families:
        required |= REQUIRED
        optional |= OPTIONAL
    if IPV6 in families:
        required |= _REQUIRED_IPV6
        optional |= _OPTIONAL_IPV6
        # A machine that forwards stops listening to routers, whose announcements may have made its
        # own default route; 2 makes it listen all the same.
        optional |= {
            _ACCEPT_RA.format(path.parent.name): "2"
            for path in proc_sys.glob(_ACCEPT_RA.format("*"))
            if path.read_text().strip() == "1" and path.parent.name not in ("all", "default")
        }
    return required, optional


class SysctlError(Exception):
    """A required setting could not be made."""


def load_bridge_filter() -> None:
    """Load the module behind BRIDGE_FILTER where it is one; built in or absent, it stays so."""
    if (PROC_SYS / BRIDGE_FILTER).exists():
        return
    try:
        subprocess.run(
            ("modprobe", "br_netfilter"),
            capture_output=True,
            check=True,
            timeout=_MODPROBE_SECONDS_MAX,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.info("br_netfilter cannot be loaded: %s", error)


class Sysctls:
    """Sets values and gives the old ones back."""

    def __init__(self, memory: Path, *, proc_sys: Path = PROC_SYS) -> None:
        """``memory``: the file that holds the old values, one per node."""
        self._memory = memory
        self._proc_sys = proc_sys

    def apply(
        self, required: Mapping[str, str] = REQUIRED, optional: Mapping[str, str] = OPTIONAL
    ) -> tuple[str, ...]:
        """Make the settings; the optional ones that do not exist here. Raises SysctlError."""
        missing = [name for name in optional if not (self._proc_sys / name).exists()]
        # The required ones last: see accept_ra.
        wanted = {**{n: v for n, v in optional.items() if n not in missing}, **required}
        self._remember(wanted)
        for name, value in wanted.items():
            try:
                if self._read(name) != value:
                    (self._proc_sys / name).write_text(value + "\n")
            except OSError as error:
                raise SysctlError(f"{name.replace('/', '.')} = {value}: {error}") from error
        return tuple(missing)

    def restore(self) -> None:
        """Give back what apply() found, if it is still as apply() left it."""
        for name, (before, ours) in self._load().items():
            path = self._proc_sys / name
            # Somebody else's later value is not ours to undo.
            if path.exists() and self._read(name) == ours:
                path.write_text(before + "\n")
        self._memory.unlink(missing_ok=True)

    def _remember(self, wanted: Mapping[str, str]) -> None:
        known = self._load()
        for name, value in wanted.items():
            if name not in known and self._read(name) != value:
                known[name] = (self._read(name), value)
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._memory.with_suffix(".tmp")
        temporary.write_bytes(orjson.dumps(known))
        temporary.replace(self._memory)

    def _load(self) -> dict[str, tuple[str, str]]:
        try:
            stored = orjson.loads(self._memory.read_bytes())
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError:
            log.warning("%s is damaged: old kernel settings are forgotten", self._memory)
            return {}
        return {name: (before, ours) for name, (before, ours) in stored.items()}

    def _read(self, name: str) -> str:
        try:
            return (self._proc_sys / name).read_text().strip()
        except OSError as error:
            raise SysctlError(f"{name.replace('/', '.')}: {error}") from error
