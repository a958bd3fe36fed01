"""What programs use while nothing happens: memory and processor time, by process.

    python bench/idle.py PID [PID ...] [--seconds 60]         any programs
    python bench/idle.py --run-dir /run/sagong [--seconds 60]  those of `sagong up`

Memory is PSS (its own pages and its share of shared ones), processor time is user and system. The
rows of genuine Kubernetes 1.36.2 are those of the same host.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# (row, genuine, to be reached); megabytes, percent of a core
CONTROL_PLANE = ("memory, idle, control plane", 560, 120)
NODE_SIDE = ("memory, idle, node side", 160, 70)
CPU = ("idle CPU, everything on one node", 6.0, 1.0)


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    pid: int


def programs_of(run_dir: Path) -> list[Program]:
    return [
        Program(path.stem, json.loads(path.read_text())["pid"])
        for path in sorted(run_dir.glob("*.pid"))
    ]


def megabytes(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(pss.split()[1]) / 1024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name: str, ours: float, genuine: float, wanted: float, unit: str) -> None:
    print(f"{name:<36}{ours:8.1f} {unit:<4} genuine {genuine:6.1f}   {ours / genuine:5.2f}x"
          f"   to reach {wanted:g}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pids", nargs="*", type=int)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    programs = [Program(str(pid), pid) for pid in options.pids]
    if options.run_dir:
        programs += programs_of(options.run_dir)
    if not programs:
        sys.exit("name processes, or --run-dir of a local cluster")
    before = {p.pid: cpu_seconds(p.pid) for p in programs}
    time.sleep(options.seconds)
    percent = {
        p.pid: (cpu_seconds(p.pid) - before[p.pid]) / options.seconds * 100 for p in programs
    }
    for program in programs:
        memory = megabytes(program.pid)
        print(f"{program.name:<24}{memory:8.1f} MB {percent[program.pid]:6.2f} % of a core")
    for program in programs:
        if program.name == "server":
            row(CONTROL_PLANE[0], megabytes(program.pid), *CONTROL_PLANE[1:], "MB")
    agents = [p for p in programs if p.name.startswith("agent")]
    if agents:
        row(NODE_SIDE[0], max(megabytes(p.pid) for p in agents), *NODE_SIDE[1:], "MB")
    row(CPU[0], sum(percent.values()), *CPU[1:], "%")


if __name__ == "__main__":
    main()
