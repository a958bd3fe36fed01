"""The settings of the policies, as upstream's KubeletConfiguration has them. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagong.api.quantities import parse
from sagong.node.alignment.topology import parse_cpu_list

CPU_POLICIES = ("none", "static")
MEMORY_POLICIES = ("None", "Static")
TOPOLOGY_POLICIES = ("none", "best-effort", "restricted", "single-numa-node")
TOPOLOGY_SCOPES = ("container", "pod")
FULL_CORES = "full-pcpus-only"
SPREAD_OVER_NUMA = "distribute-cpus-across-numa"
STRICT_RESERVATION = "strict-cpu-reservation"
PREFER_CACHE = "prefer-align-cpus-by-uncorecache"
PREFER_CLOSEST = "prefer-closest-numa-nodes"
NUMA_NODES_MAX = "max-allowable-numa-nodes"
_CPU_OPTIONS = (FULL_CORES, SPREAD_OVER_NUMA, STRICT_RESERVATION, PREFER_CACHE)
_ALPHA_CPU_OPTIONS = ("align-by-socket", "distribute-cpus-across-cores")
_TOPOLOGY_OPTIONS = (PREFER_CLOSEST, NUMA_NODES_MAX)
_RESERVED = re.compile(r"(\d+):([^;]+)")


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """Upstream's defaults: nothing is bound to anything."""

    cpu_policy: str = "none"
    cpu_options: Mapping[str, str] = field(default_factory=dict)
    reserved_cpus: str = ""  # reservedSystemCPUs, a list as "0-1,8"
    memory_policy: str = "None"
    # NUMA node -> resource (memory, hugepages-...) -> quantity that pods never get.
    reserved_memory: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    topology_policy: str = "none"
    topology_scope: str = "container"
    topology_options: Mapping[str, str] = field(default_factory=dict)
    reconcile_seconds: float = 10.0  # cpuManagerReconcilePeriod

    def wants_cpus(self, option: str) -> bool:
        return self.cpu_options.get(option) == "true"

    @property
    def prefers_closest(self) -> bool:
        return self.topology_options.get(PREFER_CLOSEST) == "true"

    @property
    def numa_nodes_max(self) -> int:
        """Beyond so many nodes the hints, one a set of nodes, would be too many."""
        return int(self.topology_options.get(NUMA_NODES_MAX) or 8)


def problem_of(settings: AlignmentSettings, reserved: Mapping[str, str]) -> str:
    """What is wrong with the settings, or ""; ``reserved`` is what pods never get, by resource."""
    checks = (
        _unknown("cpuManagerPolicy", settings.cpu_policy, CPU_POLICIES)
        or _unknown("memoryManagerPolicy", settings.memory_policy, MEMORY_POLICIES)
        or _unknown("topologyManagerPolicy", settings.topology_policy, TOPOLOGY_POLICIES)
        or _unknown("topologyManagerScope", settings.topology_scope, TOPOLOGY_SCOPES)
        or _cpu_option_problem(settings.cpu_options)
        or _option_problem("Topology", settings.topology_options, _TOPOLOGY_OPTIONS)
    )
    if checks:
        return checks
    try:
        given = parse_cpu_list(settings.reserved_cpus)
    except ValueError:
        return f"unable to parse reservedSystemCPUs {settings.reserved_cpus!r}"
    if settings.cpu_policy != "static":
        return ""
    if settings.wants_cpus(SPREAD_OVER_NUMA) and settings.wants_cpus(PREFER_CACHE):
        return f"{SPREAD_OVER_NUMA} and {PREFER_CACHE} options can not be used at the same time"
    if not given and parse(reserved.get("cpu", "0")).milli_value == 0:
        return "The static policy requires systemreserved.cpu or kubereserved.cpu to be set"
    return ""


def _unknown(name: str, value: str, known: Sequence[str]) -> str:
    return "" if value in known else f"{name}: unknown policy {value!r}; known: {', '.join(known)}"


def _cpu_option_problem(options: Mapping[str, str]) -> str:
    for name in options:
        if name in _ALPHA_CPU_OPTIONS:
            text = "CPU Manager Policy Alpha-level Options not enabled, but option"
            return f'{text} "{name}" provided'
    return _option_problem("CPU", options, _CPU_OPTIONS)


def _option_problem(what: str, options: Mapping[str, str], known: Sequence[str]) -> str:
    for name, value in options.items():
        if name not in known:
            return f'unknown {what} Manager Policy option: "{name}"'
        if name == NUMA_NODES_MAX:
            if not value.isdigit() or int(value) < 8:
                return f"the minimum value of {name!r} should not be less than 8"
        elif value not in ("true", "false"):
            return f'bad value for option "{name}": {value!r}'
    return ""


def parse_reserved_memory(value: Any) -> dict[int, dict[str, str]]:
    """``0:memory=1Gi,hugepages-2Mi=64Mi;1:memory=2Gi``, or the list of a configuration file.

    Raises ValueError.
    """
    found: dict[int, dict[str, str]] = {}
    for numa, limits in _entries(value):
        if not limits or numa in found:
            raise ValueError(f"reserved memory of NUMA node {numa} is given twice, or is empty")
        for name, text in limits.items():
            if name != "memory" and not name.startswith("hugepages-"):
                raise ValueError(f"reserved memory: {name!r} is no kind of memory")
            if parse(text).value <= 0:
                raise ValueError(f"reserved memory: {name} of {text}")
        found[numa] = limits
    return found


def _entries(value: Any) -> list[tuple[int, dict[str, str]]]:
    if not isinstance(value, str):
        return [
            (int(entry["numaNode"]), {k: str(v) for k, v in entry["limits"].items()})
            for entry in value
        ]
    entries = []
    for part in filter(None, value.split(";")):
        match = _RESERVED.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"reserved memory: {part!r}")
        pairs = [pair.partition("=") for pair in match[2].split(",")]
        entries.append((int(match[1]), {name: text for name, _, text in pairs}))
    return entries
