"""Trees like the kernel's /sys, of machines that are not at hand."""

from pathlib import Path

from sagong.node.alignment.topology import Topology, format_cpu_list, read_topology


def machine(
    root: Path, *, sockets: int = 2, cores: int = 2, threads: int = 2, numa_per_socket: int = 1
) -> Topology:
    """``cores`` of each NUMA node. Processors are numbered as Linux does: first threads first."""
    nodes = sockets * numa_per_socket
    first = nodes * cores
    system = root / "devices" / "system"
    for node in range(nodes):
        own = [node * cores + core for core in range(cores)]
        every = [cpu + thread * first for thread in range(threads) for cpu in own]
        _write(system / "node" / f"node{node}" / "cpulist", format_cpu_list(every))
        distances = [10 if other == node else 20 + abs(other - node) for other in range(nodes)]
        _write(system / "node" / f"node{node}" / "distance", " ".join(map(str, distances)))
        memory = f"Node {node} MemTotal:       8388608 kB\nNode {node} MemFree: 1 kB\n"
        _write(system / "node" / f"node{node}" / "meminfo", memory)
        huge = system / "node" / f"node{node}" / "hugepages" / "hugepages-2048kB"
        _write(huge / "nr_hugepages", "4")
        for cpu in every:
            entry = system / "cpu" / f"cpu{cpu}"
            siblings = [cpu % first + thread * first for thread in range(threads)]
            _write(entry / "topology" / "core_cpus_list", format_cpu_list(siblings))
            _write(entry / "topology" / "physical_package_id", str(node // numa_per_socket))
            _write(entry / "cache" / "index0" / "level", "1")
            _write(entry / "cache" / "index0" / "shared_cpu_list", format_cpu_list(siblings))
            _write(entry / "cache" / "index3" / "level", "3")
            _write(entry / "cache" / "index3" / "shared_cpu_list", format_cpu_list(every))
    _write(system / "cpu" / "online", f"0-{first * threads - 1}")
    return read_topology(root)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
