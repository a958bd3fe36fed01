"""Options of an agent: what pods never get of a machine, and who has parts of it for itself.

Names are the kubelet's, of its flags and of its configuration file.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from sagong.api.quantities import parse
from sagong.node.alignment.settings import (
    CPU_POLICIES,
    MEMORY_POLICIES,
    TOPOLOGY_POLICIES,
    TOPOLOGY_SCOPES,
    AlignmentSettings,
    parse_reserved_memory,
    problem_of,
)
from sagong.node.alignment.topology import parse_cpu_list

RESERVATION_KEYS = {
    "kubeReserved": "kube_reserved",
    "systemReserved": "system_reserved",
    "reservedSystemCPUs": "reserved_cpus",
    "reservedMemory": "reserved_memory",
    "cpuManagerPolicy": "cpu_manager_policy",
    "cpuManagerPolicyOptions": "cpu_manager_policy_options",
    "memoryManagerPolicy": "memory_manager_policy",
    "topologyManagerPolicy": "topology_manager_policy",
    "topologyManagerScope": "topology_manager_scope",
    "topologyManagerPolicyOptions": "topology_manager_policy_options",
}
_AMOUNTS = "RESOURCE=AMOUNT"


def _pairs(flag: str, help_: str, metavar: str = "NAME=VALUE") -> Any:
    return click.option(flag, multiple=True, metavar=metavar, help=help_)


def _choice(flag: str, values: Sequence[str]) -> Any:
    return click.option(flag, type=click.Choice(values), default=values[0], show_default=True)


_OPTIONS = (
    _pairs("--kube-reserved", "What pods never get (repeatable).", _AMOUNTS),
    _pairs("--system-reserved", "What pods never get (repeatable).", _AMOUNTS),
    click.option("--reserved-cpus", default="", metavar="LIST", help="As 0-1,8."),
    click.option(
        "--reserved-memory",
        type=click.UNPROCESSED,
        default="",
        metavar="NODE:memory=AMOUNT;...",
        help="What pods never get of each NUMA node.",
    ),
    _choice("--cpu-manager-policy", CPU_POLICIES),
    _pairs("--cpu-manager-policy-options", "As full-pcpus-only=true (repeatable)."),
    _choice("--memory-manager-policy", MEMORY_POLICIES),
    _choice("--topology-manager-policy", TOPOLOGY_POLICIES),
    _choice("--topology-manager-scope", TOPOLOGY_SCOPES),
    _pairs("--topology-manager-policy-options", "As prefer-closest-numa-nodes=true."),
)


def reservation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_reservations(
    settings: dict[str, Any],
) -> tuple[Mapping[str, str], AlignmentSettings]:
    """What is reserved in all, and the policies; they are taken out of the settings.

    Raises click.BadParameter.
    """
    taken = {name: settings.pop(name) for name in RESERVATION_KEYS.values()}
    try:
        reserved = _summed(_mapping(taken["kube_reserved"]), _mapping(taken["system_reserved"]))
        alignment = AlignmentSettings(
            cpu_policy=taken["cpu_manager_policy"],
            cpu_options=_mapping(taken["cpu_manager_policy_options"]),
            reserved_cpus=taken["reserved_cpus"],
            memory_policy=taken["memory_manager_policy"],
            reserved_memory=parse_reserved_memory(taken["reserved_memory"]),
            topology_policy=taken["topology_manager_policy"],
            topology_scope=taken["topology_manager_scope"],
            topology_options=_mapping(taken["topology_manager_policy_options"]),
        )
        problem = problem_of(alignment, reserved)
    except (ValueError, KeyError, TypeError) as error:
        raise click.BadParameter(str(error)) from error
    if problem:
        raise click.BadParameter(problem)
    if cpus := parse_cpu_list(alignment.reserved_cpus):
        # Named processors take the place of an amount.
        reserved = {**reserved, "cpu": str(len(cpus))}
    return reserved, alignment


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Each may hold several, with commas between them."""
    listed = [pair for text in pairs for pair in text.split(",")]
    found = {}
    for pair in listed:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not of the form NAME=VALUE")
        # Values of a YAML file that are no strings there.
        found[name] = {"True": "true", "False": "false"}.get(value, value)
    return found


def _summed(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    return {
        name: str(parse(one.get(name, "0")) + parse(other.get(name, "0")))
        for name in (*one, *(name for name in other if name not in one))
    }
