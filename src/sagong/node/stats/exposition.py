"""Metrics in Prometheus' text format: ``/metrics/resource``, ``/metrics/cadvisor``, ``/metrics``.

Names, labels and help texts are upstream's, so that dashboards and autoscalers fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sagong.node.probes.counts import Probed
from sagong.node.stats.samples import NodeSample, PodSample, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NANO = 1e9


@dataclass(slots=True)
class Exposition:
    """A growing text."""

    lines: list[str] = field(default_factory=list)

    def family(self, name: str, type_: str, help_: str) -> None:
        self.lines += [f"# HELP {name} {help_}", f"# TYPE {name} {type_}"]

    def sample(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, at: float = 0.0
    ) -> None:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in (labels or {}).items())
        suffix = f" {int(at * 1000)}" if at else ""
        self.lines.append(f"{name}{{{shown}}} {value:.10g}{suffix}" if shown
                          else f"{name} {value:.10g}{suffix}")  # fmt: skip

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def probe_metrics(counts: Iterable[tuple[Probed, int]]) -> str:
    """``/metrics/probes``."""
    found = Exposition()
    help_ = "[BETA] Cumulative number of a liveness, readiness or startup probe for a container"
    found.family("prober_probe_total", "counter", f"{help_} by result.")
    for probed, count in counts:
        labels = {
            "container": probed.container,
            "namespace": probed.namespace,
            "pod": probed.pod,
            "pod_uid": probed.uid,
            "probe_type": probed.kind.value,
            "result": probed.result,
        }
        found.sample("prober_probe_total", count, labels)
    return found.text()


def resource_metrics(sample: NodeSample) -> str:
    """``/metrics/resource``."""
    found = Exposition()
    containers = [
        ({"container": name, "namespace": pod.namespace, "pod": pod.name}, seen, own)
        for pod in sample.pods
        for name, (seen, own) in pod.containers.items()
    ]
    name = "container_cpu_usage_seconds_total"
    found.family(
        name, "counter", "[STABLE] Cumulative cpu time consumed by the container in core-seconds"
    )
    for labels, _, own in containers:
        found.sample(name, own.figures.cpu_nanos / _NANO, labels, own.at)
    name = "container_memory_working_set_bytes"
    found.family(name, "gauge", "[STABLE] Current working set of the container in bytes")
    for labels, _, own in containers:
        found.sample(name, own.figures.working_set, labels, own.at)
    name = "container_start_time_seconds"
    found.family(name, "gauge", "[STABLE] Start time of the container since unix epoch in seconds")
    for labels, seen, _ in containers:
        found.sample(name, seen.started_at, labels)
    _node_and_pods(found, sample)
    found.family(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    )
    found.sample("resource_scrape_error", 0)
    return found.text()


def _node_and_pods(found: Exposition, sample: NodeSample) -> None:
    node = sample.node
    name = "node_cpu_usage_seconds_total"
    found.family(
        name, "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds"
    )
    found.sample(name, node.figures.cpu_nanos / _NANO, at=node.at)
    name = "node_memory_working_set_bytes"
    found.family(name, "gauge", "[STABLE] Current working set of the node in bytes")
    found.sample(name, node.figures.working_set, at=node.at)
    name = "pod_cpu_usage_seconds_total"
    found.family(
        name, "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"
    )
    for pod in sample.pods:
        found.sample(name, pod.whole.figures.cpu_nanos / _NANO, _pod_labels(pod), pod.whole.at)
    name = "pod_memory_working_set_bytes"
    found.family(name, "gauge", "[STABLE] Current working set of the pod in bytes")
    for pod in sample.pods:
        found.sample(name, pod.whole.figures.working_set, _pod_labels(pod), pod.whole.at)


def _pod_labels(pod: PodSample) -> dict[str, str]:
    return {"namespace": pod.namespace, "pod": pod.name}


def cadvisor_metrics(sample: NodeSample, *, cpus: int, memory_bytes: int) -> str:
    """``/metrics/cadvisor``: the families that dashboards use, for pods and containers."""
    found = Exposition()
    rows = list(_cadvisor_rows(sample))
    families = (
        ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed."),
        ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes."),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes."),
        ("container_memory_rss", "gauge", "Size of RSS in bytes."),
        ("container_processes", "gauge", "Number of processes running inside the container."),
        ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container."),
    )  # fmt: skip
    for name, type_, help_ in families:
        found.family(name, type_, help_)
        for labels, own in rows:
            extra = {"cpu": "total"} if name == "container_cpu_usage_seconds_total" else {}
            found.sample(name, _cadvisor_value(name, own), {**labels, **extra}, own.at)
    for name, field_ in (
        ("container_network_receive_bytes_total", "rx_bytes"),
        ("container_network_receive_errors_total", "rx_errors"),
        ("container_network_transmit_bytes_total", "tx_bytes"),
        ("container_network_transmit_errors_total", "tx_errors"),
    ):
        found.family(name, "counter", "Cumulative traffic of the pod's interfaces.")
        for pod in sample.pods:
            for interface in pod.interfaces:
                labels = {"container": "POD", "interface": interface.name, **_pod_labels(pod)}
                found.sample(name, getattr(interface, field_), labels, pod.whole.at)
    found.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.")
    found.sample("machine_cpu_cores", cpus)
    found.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.")
    found.sample("machine_memory_bytes", memory_bytes)
    return found.text()


def _cadvisor_rows(sample: NodeSample) -> Iterable[tuple[dict[str, str], Sample]]:
    yield {"container": "", "id": "/", "image": "", "namespace": "", "pod": ""}, sample.node
    for pod in sample.pods:
        whole = {"container": "", "id": pod.uid, "image": "", **_pod_labels(pod)}
        yield whole, pod.whole
        for name, (seen, own) in pod.containers.items():
            yield {"container": name, "id": seen.id, "image": seen.image, **_pod_labels(pod)}, own


def _cadvisor_value(name: str, own: Sample) -> float:
    figures = own.figures
    return {
        "container_cpu_usage_seconds_total": figures.cpu_nanos / _NANO,
        "container_memory_usage_bytes": figures.memory_usage,
        "container_memory_working_set_bytes": figures.working_set,
        "container_memory_rss": figures.rss,
        "container_processes": figures.processes,
        "container_spec_memory_limit_bytes": figures.memory_limit or 0,
    }[name]


def agent_metrics(*, pods: int, containers: Mapping[str, int]) -> Exposition:
    """``/metrics``: what the agent has of its own."""
    found = Exposition()
    found.family(
        "kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox"
    )
    found.sample("kubelet_running_pods", pods)
    found.family(
        "kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running"
    )
    for state, count in containers.items():
        found.sample("kubelet_running_containers", count, {"container_state": state})
    return found
