"""Processors, memory and devices near to one another: topologies, choices, hints, books."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from sagong.api.types import Obj
from sagong.node.alignment.aligner import Aligner
from sagong.node.alignment.asked import at_once, exclusive_cpus
from sagong.node.alignment.cpu_books import CpuBooks
from sagong.node.alignment.failures import AllotmentFailure
from sagong.node.alignment.hints import ANYWHERE, Hint, Hints, Room, decide, hints_for
from sagong.node.alignment.memory_books import MemoryBooks
from sagong.node.alignment.settings import AlignmentSettings, parse_reserved_memory, problem_of
from sagong.node.alignment.taking import take_packed, take_spread
from sagong.node.alignment.topology import Topology, format_cpu_list, parse_cpu_list
from sagong.node.devices.pool import DevicePool
from sagong.node.pods.model import Kind

from .machines import machine
from .situations import pod


@pytest.fixture
def twin(tmp_path: Path) -> Topology:
    """Two sockets of two cores of two threads: 0 4 | 1 5 at node 0, 2 6 | 3 7 at node 1."""
    return machine(tmp_path / "sys")


def guaranteed(name: str, cpu: str, memory: str = "1Gi", **fields: str) -> Obj:
    return {"name": name, "resources": {"limits": {"cpu": cpu, "memory": memory}}, **fields}


def of(uid: str, obj: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "uid": uid}}


def test_lists_of_processors_read_and_write_as_the_kernels() -> None:
    for text in ("", "0", "0-3", "0-1,4,6-7"):
        assert format_cpu_list(parse_cpu_list(text)) == text


def test_the_topology_is_what_the_files_say(twin: Topology, tmp_path: Path) -> None:
    assert twin.all_cpus == frozenset(range(8))
    assert (twin.sockets, twin.cpus_per_core, twin.numa_nodes) == (2, 2, [0, 1])
    assert twin.in_numa([1]) == {2, 3, 6, 7}
    assert (twin.cpus[6].core, twin.cpus[6].cache, twin.cpus[6].socket) == (2, 2, 1)
    assert twin.memory[0] == {"memory": 8 << 30, "hugepages-2Mi": 8 << 20}
    assert twin.mean_distance(frozenset({0, 1})) == 15.5


@pytest.mark.parametrize(
    ("free", "count", "taken"),
    [
        ("0-7", 1, "0"),
        ("0-7", 2, "0,4"),  # a whole core
        ("0-7", 4, "0-1,4-5"),  # a whole socket
        ("0-7", 5, "0-2,4-5"),
        ("1-7", 1, "4"),  # the core that is broken up already
        ("1-7", 2, "1,5"),
        ("1-7", 3, "1,4-5"),
        ("1-7", 4, "2-3,6-7"),  # the socket that is whole
        ("2-3,5-7", 1, "5"),  # the socket with the least left
    ],
)
def test_processors_are_taken_near_to_one_another(
    twin: Topology, free: str, count: int, taken: str
) -> None:
    assert format_cpu_list(take_packed(twin, parse_cpu_list(free), count)) == taken


def test_more_than_there_is_cannot_be_taken(twin: Topology) -> None:
    with pytest.raises(AllotmentFailure) as failure:
        take_packed(twin, frozenset({1, 2}), 3)
    assert str(failure.value) == (
        "not enough cpus available to satisfy request: requested=3, available=2"
    )


@pytest.mark.parametrize(
    ("free", "count", "group", "each"),
    [
        ("0-7", 4, 1, [4, 0]),  # one node can hold them
        ("0-7", 6, 1, [3, 3]),
        ("0-7", 6, 2, [4, 2]),  # whole cores
        ("1-7", 6, 1, [3, 3]),
        ("1,2-3,6-7", 5, 1, [1, 4]),  # no even shares: packed
    ],
)
def test_processors_are_spread_evenly_over_nodes_where_one_is_too_small(
    twin: Topology, free: str, count: int, group: int, each: list[int]
) -> None:
    found = take_spread(twin, parse_cpu_list(free), count, group=group)
    assert [len(twin.in_numa([node], found)) for node in (0, 1)] == each


def test_a_cache_is_kept_together_if_that_is_preferred(tmp_path: Path) -> None:
    wide = machine(tmp_path / "sys", sockets=1, numa_per_socket=2, cores=2)
    free = wide.all_cpus - {0}
    # Best fit would break up what is left of node 0 and then go over to node 1.
    assert take_packed(wide, free, 4, prefer_cache=True) == wide.in_numa([1])
    assert take_packed(wide, free, 3, prefer_cache=True) == {1, 4, 5}


def test_hints_tell_all_sets_of_nodes_that_have_enough(twin: Topology) -> None:
    def told(wanted: int, free: Mapping[int, int], reused: Mapping[int, int]) -> list[str]:
        room = Room(wanted, {0: 4, 1: 4}, free, reused)
        found = hints_for(twin, room)
        return [f"{format_cpu_list(h.nodes or ())}{'!' if h.preferred else ''}" for h in found]

    assert told(2, {0: 4, 1: 4}, {}) == ["0!", "1!", "0-1"]
    assert told(2, {0: 1, 1: 4}, {}) == ["1!", "0-1"]
    assert told(2, {0: 1, 1: 1}, {}) == ["0-1"]  # not preferred: one node could have been enough
    assert told(5, {0: 4, 1: 4}, {}) == ["0-1!"]
    assert told(2, {0: 4, 1: 4}, {1: 1}) == ["1!", "0-1"]
    assert told(9, {0: 4, 1: 4}, {}) == []


ZERO, ONE, BOTH = frozenset({0}), frozenset({1}), frozenset({0, 1})


@pytest.mark.parametrize(
    ("policy", "given", "nodes", "admitted"),
    [
        ("none", [{"cpu": []}], None, True),
        ("best-effort", [{}, {}], BOTH, True),
        ("restricted", [{"cpu": None}], BOTH, True),
        ("best-effort", [{"cpu": [Hint(ZERO, True), Hint(ONE, True)]}], ZERO, True),
        (
            "restricted",
            [{"cpu": [Hint(ZERO, True), Hint(ONE, True)]}, {"x/y": [Hint(ONE, True)]}],
            ONE,
            True,
        ),
        ("restricted", [{"cpu": [Hint(ZERO, True)]}, {"x/y": [Hint(ONE, True)]}], BOTH, False),
        ("best-effort", [{"cpu": [Hint(ZERO, True)]}, {"x/y": [Hint(ONE, True)]}], BOTH, True),
        ("best-effort", [{"x/y": []}], BOTH, True),
        ("restricted", [{"x/y": []}], BOTH, False),
        ("restricted", [{"cpu": [Hint(BOTH, True)]}], BOTH, True),
        ("single-numa-node", [{"cpu": [Hint(BOTH, True)]}], None, False),
        ("single-numa-node", [{"cpu": [Hint(ONE, True), Hint(BOTH, False)]}], ONE, True),
        ("single-numa-node", [{}], None, True),
        ("restricted", [{"cpu": [Hint(BOTH, False)]}], BOTH, False),
    ],
)
def test_a_policy_brings_hints_together(
    twin: Topology, policy: str, given: list[Hints], nodes: frozenset[int] | None, admitted: bool
) -> None:
    found = decide(policy, given, twin)
    assert (found.hint.nodes, found.is_admitted) == (nodes, admitted)


def test_the_nearest_nodes_are_chosen_if_that_is_preferred(tmp_path: Path) -> None:
    four = machine(tmp_path / "sys", sockets=4, cores=1)
    hints = [Hint(frozenset(pair), True) for pair in ({0, 3}, {1, 2})]
    assert decide("restricted", [{"cpu": hints}], four).hint == hints[1]
    # {1, 2} has the lower bits than {0, 3}; near ones win even where their numbers are higher.
    hints = [Hint(frozenset(pair), True) for pair in ({0, 2}, {2, 3})]
    assert decide("restricted", [{"cpu": hints}], four).hint == hints[0]
    assert decide("restricted", [{"cpu": hints}], four, prefer_closest=True).hint == hints[1]


def test_who_asks_for_whole_processors() -> None:
    own = pod(guaranteed("a", "2"), guaranteed("b", "1500m"))
    assert [exclusive_cpus(own, c) for c in own["spec"]["containers"]] == [2, 0]
    burstable = pod({"name": "a", "resources": {"requests": {"cpu": "2"}}})
    assert exclusive_cpus(burstable, burstable["spec"]["containers"][0]) == 0
    sidecar = guaranteed("s", "1", restartPolicy="Always")
    mixed = pod(guaranteed("a", "2"), init=(guaranteed("i", "4"), sidecar, guaranteed("j", "3")))
    assert at_once(mixed, lambda c: exclusive_cpus(mixed, c)) == 4


def books(topology: Topology, directory: Path, **settings: str | Mapping[str, str]) -> CpuBooks:
    policy = AlignmentSettings(cpu_policy="static", **settings)  # type: ignore[arg-type]
    made = CpuBooks(topology, policy, directory, reserved_milli=500, changed=lambda: None)
    made.load()
    return made


async def give(made: CpuBooks, obj: Obj, nodes: frozenset[int] | None = None) -> None:
    for kind in (Kind.INIT, Kind.MAIN):
        for container in obj["spec"].get(kind.value) or ():
            await made.allocate(obj, kind, container, nodes)


async def test_processors_are_given_and_given_back(twin: Topology, tmp_path: Path) -> None:
    made = books(twin, tmp_path)
    assert (made.reserved, made.cpus_of("x", "c")) == ({0}, "0-7")
    first = of("one", pod(guaranteed("a", "2"), guaranteed("b", "1"), guaranteed("c", "500m")))
    await give(made, first)
    await give(made, first)  # again changes nothing
    assert (made.cpus_of("one", "a"), made.cpus_of("one", "b")) == ("1,5", "4")
    assert made.cpus_of("one", "c") == made.cpus_of("other", "x") == "0,2-3,6-7"
    kept = orjson.loads((tmp_path / "cpu_manager_state").read_bytes())
    assert (kept["policyName"], kept["defaultCpuSet"]) == ("static", "0,2-3,6-7")
    assert kept["entries"] == {"one": {"a": "1,5", "b": "4"}}
    # Another agent goes on with the books.
    again = books(twin, tmp_path)
    assert again.cpus_of("one", "a") == "1,5"
    again.keep_only(set())
    assert again.shared == twin.all_cpus


async def test_init_containers_hand_their_processors_on(twin: Topology, tmp_path: Path) -> None:
    made = books(twin, tmp_path)
    sidecar = guaranteed("s", "1", restartPolicy="Always")
    await give(made, of("one", pod(guaranteed("a", "2"), init=(guaranteed("i", "2"), sidecar))))
    init, side, main = (made.own("one", name) for name in ("i", "s", "a"))
    assert len(init & side) == 1  # the sidecar has taken one of the init container's over
    assert len(main & init) == 1
    assert not main & side
    assert len(made.shared) == 8 - len(init | side | main)


async def test_hints_of_processors_follow_what_is_free(twin: Topology, tmp_path: Path) -> None:
    made = books(twin, tmp_path)
    container = guaranteed("a", "4")
    hints = made.hints(pod(container), Kind.MAIN, container)["cpu"]
    # One of node 0 is reserved: only node 1 has four.
    assert hints == [Hint(ONE, True), Hint(BOTH, False)]
    await give(made, of("one", pod(guaranteed("a", "2"))), ONE)
    assert made.own("one", "a") <= twin.in_numa([1])
    hints = made.hints(pod(container), Kind.MAIN, container)["cpu"]
    assert hints == [Hint(BOTH, False)]


async def test_whole_cores_only(twin: Topology, tmp_path: Path) -> None:
    made = books(twin, tmp_path, cpu_options={"full-pcpus-only": "true"})
    with pytest.raises(AllotmentFailure) as failure:
        await give(made, pod(guaranteed("a", "3")))
    assert (failure.value.reason, failure.value.message) == (
        "SMTAlignmentError",
        "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2",
    )
    with pytest.raises(AllotmentFailure) as failure:
        await give(made, pod(guaranteed("a", "8")))
    assert failure.value.message == (
        "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = 6, "
        "requested CPUs = 8, CPUs per core = 2"
    )
    await give(made, of("one", pod(guaranteed("a", "6"))))
    assert made.own("one", "a") == {1, 2, 3, 5, 6, 7}


def test_reserved_processors_are_not_shared_if_that_is_strict(
    twin: Topology, tmp_path: Path
) -> None:
    strict = {"strict-cpu-reservation": "true"}
    made = books(twin, tmp_path, cpu_options=strict, reserved_cpus="0,4")
    assert (made.reserved, made.cpus_of("x", "c")) == ({0, 4}, "1-3,5-7")


def test_books_of_another_machine_are_not_believed(twin: Topology, tmp_path: Path) -> None:
    kept = {"policyName": "static", "defaultCpuSet": "0", "entries": {"u": {"c": "9"}}}
    (tmp_path / "cpu_manager_state").write_bytes(orjson.dumps(kept))
    assert books(twin, tmp_path).own("u", "c") == frozenset()


def memory_books(topology: Topology, directory: Path) -> MemoryBooks:
    settings = AlignmentSettings(
        memory_policy="Static", reserved_memory=parse_reserved_memory("0:memory=1Gi")
    )
    made = MemoryBooks(topology, settings, directory)
    made.load()
    return made


async def test_memory_is_bound_to_sets_of_nodes(twin: Topology, tmp_path: Path) -> None:
    made = memory_books(twin, tmp_path)
    container = guaranteed("a", "1", "7Gi")
    (hints,) = made.hints(pod(container), Kind.MAIN, container).values()
    assert hints == [Hint(ZERO, True), Hint(ONE, True), Hint(BOTH, False)]
    one, two = of("one", pod(container)), of("two", pod(container))
    await made.allocate(one, Kind.MAIN, container, None)
    assert made.nodes_of("one", "a") == "0"
    # Node 0 is used alone: it can be no part of a set, and is full.
    await made.allocate(two, Kind.MAIN, container, None)
    assert made.nodes_of("two", "a") == "1"
    large = guaranteed("l", "1", "10Gi")
    with pytest.raises(AllotmentFailure, match="no NUMA nodes with enough memory is available"):
        await made.allocate(of("three", pod(large)), Kind.MAIN, large, None)
    again = memory_books(twin, tmp_path)
    assert again.nodes_of("two", "a") == "1"
    again.keep_only(set())
    await again.allocate(of("three", pod(large)), Kind.MAIN, large, None)
    assert again.nodes_of("three", "l") == "0-1"
    small = guaranteed("s", "1", "1Gi")
    await again.allocate(of("four", pod(small)), Kind.MAIN, small, None)
    assert again.nodes_of("four", "s") == "0-1"  # the nodes are one group by now


async def test_init_containers_hand_their_memory_on(twin: Topology, tmp_path: Path) -> None:
    made = memory_books(twin, tmp_path)
    init, main = guaranteed("i", "1", "6Gi"), guaranteed("a", "1", "7Gi")
    own = of("one", pod(main, init=(init,)))
    await made.allocate(own, Kind.INIT, init, ZERO)
    await made.allocate(own, Kind.MAIN, main, ZERO)
    assert [block.size for block in made.own("one", "i")] == [0]
    assert [block.size for block in made.own("one", "a")] == [7 << 30]


async def test_a_pod_that_cannot_be_aligned_is_refused_and_holds_nothing(
    twin: Topology, tmp_path: Path
) -> None:
    cpus = books(twin, tmp_path, topology_policy="single-numa-node")
    settings = AlignmentSettings(cpu_policy="static", topology_policy="single-numa-node")
    devices = DevicePool(tmp_path, twin, lambda: None)
    memory = MemoryBooks(twin, settings, tmp_path)
    aligner = Aligner(twin, settings, devices, cpus, memory)
    assert (
        await aligner.allocate(of("one", pod(guaranteed("a", "4"), guaranteed("b", "3")))) is None
    )
    assert cpus.own("one", "a") == twin.in_numa([1])
    assert aligner.limits(of("one", pod(guaranteed("a", "4")))).cpu_quota is None
    assert aligner.limits(of("two", pod(guaranteed("a", "4")))).cpu_quota == 400_000
    aligner.release("one")
    refused = await aligner.allocate(of("two", pod(guaranteed("a", "1"), guaranteed("b", "5"))))
    assert refused is not None
    assert (refused.reason, refused.message) == (
        "TopologyAffinityError",
        "Resources cannot be allocated with Topology locality",
    )
    assert cpus.shared == twin.all_cpus
    assert aligner.unresizable(pod(guaranteed("a", "1"))) == {
        "cpu": "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy"
    }


def test_settings_are_checked() -> None:
    reserved = {"cpu": "500m"}
    assert problem_of(AlignmentSettings(cpu_policy="static"), reserved) == ""
    assert "to be set" in problem_of(AlignmentSettings(cpu_policy="static"), {})
    assert problem_of(AlignmentSettings(cpu_policy="static", reserved_cpus="0"), {}) == ""
    alpha = AlignmentSettings(cpu_options={"align-by-socket": "true"})
    assert problem_of(alpha, reserved) == (
        'CPU Manager Policy Alpha-level Options not enabled, but option "align-by-socket" provided'
    )
    assert "unknown policy" in problem_of(AlignmentSettings(topology_policy="some"), reserved)
    listed = [{"numaNode": 1, "limits": {"memory": "2Gi"}}]
    assert parse_reserved_memory(listed) == {1: {"memory": "2Gi"}}
    with pytest.raises(ValueError, match="no kind of memory"):
        parse_reserved_memory("0:cpu=1")
    assert ANYWHERE.nodes is None
