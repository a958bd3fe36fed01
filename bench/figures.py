"""Recorded figures of genuine Kubernetes 1.36.2, and how a row is printed beside them.

Measured on a 2-core host with TLS, token authentication and RBAC, load from ``wrk -t1`` on the same
two cores. Absolute figures move from host to host: what counts is the ratio.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what genuine Kubernetes does, and what is to be reached."""

    name: str
    unit: str
    genuine: float
    wanted: float
    better: Literal["higher", "lower"] = "lower"


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("start to /readyz", "s", 2.8, 0.7),
        Figure("memory, idle", "MB", 560, 120),
        Figure("idle CPU", "% of a core", 6, 1),
        Figure("GET ConfigMap", "/s", 4260, 12_780, "higher"),
        Figure("POST ConfigMap", "/s", 1790, 3580, "higher"),
        Figure("POST Pod", "/s", 760, 1520, "higher"),
        Figure("LIST 500 pods", "/s", 60, 300, "higher"),
        Figure("LIST 4577 pods", "/s", 8.8, 70.4, "higher"),
        Figure("memory, 4577 pods listed", "MB", 820, 205),
        Figure("watch 1000 x 10/s, p99", "ms", 61, 40),
        Figure("watch 1000 x 10/s, CPU", "us/event", 40, 20),
        Figure("watch 200 x 50/s, p99", "ms", 18, 12),
        # Not recorded of the genuine one; what a server of ours is to stay below.
        Figure("memory, 10000 watches", "MB", 0, 300),
        Figure("memory, 10000 pods", "MB", 0, 250),
    )
}


def row(name: str, value: float, *, notes: str = "") -> None:
    """Print one measured row with the recorded figure and the ratio to it."""
    figure = FIGURES[name]
    reached = value >= figure.wanted if figure.better == "higher" else value <= figure.wanted
    shown = f"{name:<26}{value:10.1f} {figure.unit:<12}"
    if figure.genuine:
        shown += f" genuine {figure.genuine:>7g}  {value / figure.genuine:6.2f}x"
    else:
        shown += " " * 25
    verdict = "reached" if reached else "MISSED"
    print(f"{shown}   {verdict} {figure.wanted:g}   {notes}".rstrip(), flush=True)
