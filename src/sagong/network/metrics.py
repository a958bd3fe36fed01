"""The network's own figures in Prometheus' text format. Names of the proxy's are kube-proxy's."""

from collections.abc import Iterator, Mapping

from sagong.network.tables.writer import Health


def exposition(
    services: Health, policies: Health, counts: tuple[int, int], dropped: Mapping[str, int]
) -> str:
    """Of the service proxy's and the policies' tables; dropped packets by direction."""
    return "".join(f"{line}\n" for line in _lines(services, policies, counts, dropped))


def _lines(
    services: Health, policies: Health, counts: tuple[int, int], dropped: Mapping[str, int]
) -> Iterator[str]:
    name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
    yield from _family(name, "gauge", "The last time proxy rules were successfully synced")
    yield f"{name} {services.last_sync}"
    name = "kubeproxy_sync_proxy_rules_endpoint_changes_pending"
    yield from _family(name, "gauge", "Whether a change waits to be written")
    yield f"{name} {int(bool(services.waiting_since))}"
    for what, count in zip(("service_ports", "endpoints"), counts, strict=True):
        name = f"sagong_proxy_{what}"
        yield from _family(name, "gauge", f"How many {what.replace('_', ' ')} are programmed")
        yield f"{name} {count}"
    name = "sagong_network_policy_last_sync_timestamp_seconds"
    yield from _family(name, "gauge", "The last time network policies were written")
    yield f"{name} {policies.last_sync}"
    name = "sagong_network_policy_dropped_packets_total"
    yield from _family(name, "counter", "Packets that network policies dropped on this node")
    for direction, count in dropped.items():
        yield f'{name}{{direction="{direction}"}} {count}'


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
