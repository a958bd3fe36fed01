"""Traffic of network interfaces, from the kernel's own counters (``proc(5)``, net/dev)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Interface:
    """Totals since the interface was made."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


def read_interfaces(pid: int | None) -> tuple[Interface, ...]:
    """Those that a process sees, loopback excepted; None means this process."""
    path = Path("/proc") / (str(pid) if pid is not None else "self") / "net/dev"
    try:
        lines = path.read_text().splitlines()[2:]
    except OSError:
        return ()
    return tuple(found for line in lines if (found := _interface(line)).name != "lo")


def _interface(line: str) -> Interface:
    name, _, rest = line.partition(":")
    numbers = [int(word) for word in rest.split()]
    return Interface(name.strip(), numbers[0], numbers[2], numbers[8], numbers[10])
