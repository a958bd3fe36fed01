"""``nodes.metrics.k8s.io`` and ``pods.metrics.k8s.io``: read-only, nothing is stored."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from sagong.api.call import Answer, Call, Listing, Single, Verb
from sagong.api.errors import not_found
from sagong.api.selectors import parse_label_selector
from sagong.api.types import Encoded, Obj, Resource, User
from sagong.core.clock import format_time
from sagong.core.tasks import task_group
from sagong.server.assembly import Core
from sagong.server.handlers import Context
from sagong.server.metrics_api.points import NODE, Usage
from sagong.server.metrics_api.scraper import Scraper
from sagong.server.streams.agents import Agents
from sagong.server.streams.kubelet_tls import KubeletTls

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"
_READS = ("get", "list")
NODES = Resource(GROUP, VERSION, "nodes", "NodeMetrics", namespaced=False, verbs=_READS)
PODS = Resource(GROUP, VERSION, "pods", "PodMetrics", namespaced=True, verbs=_READS)


@dataclass(frozen=True, slots=True)
class MetricsApi:
    """The handlers."""

    scraper: Scraper

    async def nodes(self, call: Call, user: User, context: Context) -> Answer:
        found = [
            node_metrics(item.obj, usage)
            for item in context.lister.list("nodes")
            if (usage := self.scraper.usage(item.obj["metadata"]["name"]).get(NODE)) is not None
        ]
        return _answer(call, found, call.name)

    async def pods(self, call: Call, user: User, context: Context) -> Answer:
        by_node = defaultdict(list)
        for item in context.lister.list("pods", call.namespace or None):
            if item.obj["spec"].get("nodeName") and call.name in ("", item.obj["metadata"]["name"]):
                by_node[item.obj["spec"]["nodeName"]].append(item.obj)
        found = []
        for node, pods in by_node.items():
            usages = self.scraper.usage(node)
            for pod in pods:
                metadata = pod["metadata"]
                subject = (metadata["namespace"], metadata["name"])
                used = {s[2]: usage for s, usage in usages.items() if s[:2] == subject}
                if used:
                    found.append(pod_metrics(pod, used))
        return _answer(call, found, f"{call.namespace}/{call.name}")


def _answer(call: Call, found: Iterable[Obj], shown: str) -> Answer:
    if call.verb is Verb.GET:
        for obj in found:
            if obj["metadata"]["name"] == call.name:
                return Single(Encoded(obj))
        raise not_found(GROUP, call.resource.kind.lower(), shown)
    selector = parse_label_selector(call.options.label_selector)
    chosen = [obj for obj in found if selector.matches(obj["metadata"].get("labels") or {})]
    return Listing(call.resource, [Encoded(obj) for obj in chosen], "")


def node_metrics(node: Obj, usage: Usage) -> Obj:
    return {
        **_head("NodeMetrics", node, usage),
        "usage": _usage(usage),
    }


def pod_metrics(pod: Obj, used: dict[str, Usage]) -> Obj:
    """Containers in the spec's order; the oldest sample dates the whole."""
    order = [c["name"] for c in pod["spec"]["containers"]]
    names = sorted(used, key=lambda name: order.index(name) if name in order else len(order))
    oldest = min(used.values(), key=lambda usage: usage.at)
    return {
        **_head("PodMetrics", pod, oldest),
        "containers": [{"name": name, "usage": _usage(used[name])} for name in names],
    }


def _head(kind: str, source: Obj, usage: Usage) -> Obj:
    metadata: Obj = {"name": source["metadata"]["name"]}
    if namespace := source["metadata"].get("namespace"):
        metadata["namespace"] = namespace
    metadata["creationTimestamp"] = format_time(usage.at)
    if labels := source["metadata"].get("labels"):
        metadata["labels"] = labels
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "timestamp": format_time(usage.at),
        "window": f"{usage.window_seconds:.3f}".rstrip("0").rstrip(".") + "s",
    }


def _usage(usage: Usage) -> Obj:
    return {"cpu": f"{usage.cpu_nano_cores}n", "memory": f"{usage.memory_bytes // 1024}Ki"}


@contextlib.asynccontextmanager
async def metrics_api(core: Core, tls: KubeletTls) -> AsyncIterator[None]:
    """Serve the group and scrape the agents while the block runs."""
    agents = Agents(core.caches, tls)
    scraper = Scraper(
        lambda: [item.obj["metadata"]["name"] for item in core.caches.list("nodes")],
        agents,
    )
    api = MetricsApi(scraper)
    core.resources.add(NODES)
    core.resources.add(PODS)
    own = {(NODES.name, ""): api.nodes, (PODS.name, ""): api.pods}
    core.server.handlers.update(own)
    try:
        async with task_group() as tasks:
            tasks.start(scraper.run(), name="usage of nodes")
            yield
    finally:
        await agents.close()
