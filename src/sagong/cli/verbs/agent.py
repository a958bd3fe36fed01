"""``sagong agent``: a node, as root."""

import asyncio
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sagong.api.address_ranges import parse_ranges
from sagong.cli import options
from sagong.cli.node_shutdown import SHUTDOWN_KEYS, shutdown_options, take_shutdown
from sagong.cli.reservations import RESERVATION_KEYS, reservation_options, take_reservations
from sagong.cmd.agent import AgentConfig, default_node_name, run_agent
from sagong.local.addresses import NoNodeAddress, node_addresses
from sagong.network.dns.upstream import parse_stub_domain

# Settings of a configuration file by their name (camelCase, as in Kubernetes' own files).
_FILE_KEYS = {
    "nodeName": "node_name",
    "nodeIP": "node_ip",
    "dataDir": "data_dir",
    "runDir": "run_dir",
    "kubeconfig": "kubeconfig",
    "join": "join_url",
    "token": "token",
    "caFile": "ca_file",
    "caCertHash": "ca_cert_hash",
    "containerRuntimeEndpoint": "runtime_endpoint",
    "clusterCIDR": "cluster_cidr",
    "serviceCIDR": "service_cidr",
    "clusterDNS": "cluster_dns",
    "clusterDomain": "cluster_domain",
    "encapsulation": "encapsulation",
    "nodePortAddresses": "node_port_addresses",
    "stubDomains": "stub_domains",
    "ingressHTTPPort": "ingress_http_port",
    "ingressHTTPSPort": "ingress_https_port",
    "maxPods": "max_pods",
    "cgroupRoot": "cgroup_root",
    "podLogsDir": "log_dir",
    "staticPodPath": "static_pod_dir",
    "labels": "labels",
    **RESERVATION_KEYS,
    **SHUTDOWN_KEYS,
}


_PATH = click.Path(path_type=Path)


@click.command()
@options.config_file(_FILE_KEYS)
@click.option("--node-name", default=default_node_name, help="[default: this machine's name]")
@click.option(
    "--node-ip", default="", metavar="IP[,IP]", help="[default: the address of the default route]"
)
@click.option("--data-dir", type=_PATH, default=Path("/var/lib/sagong/agent"), show_default=True)
@click.option("--run-dir", type=_PATH, default=Path("/run/sagong/agent"), show_default=True)
@click.option("--kubeconfig", type=_PATH, help="How to reach the server, if not by joining.")
@click.option("--join", "join_url", default="", help="URL of the server to join.")
@click.option("--token", default="", help="A token of `sagong token create`.")
@click.option("--ca-file", type=_PATH, help="The cluster's CA certificate.")
@click.option("--ca-cert-hash", default="", help="The pin that `sagong token create` printed.")
@click.option("--container-runtime-endpoint", "runtime_endpoint", default="")
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True)
@click.option("--service-cidr", default="10.96.0.0/16", show_default=True)
@click.option("--cluster-dns", default="10.96.0.10", show_default=True)
@click.option(
    "--encapsulation",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="VXLAN (UDP 4789) for pods of other nodes; auto: of nodes behind a router.",
)
@click.option(
    "--nodeport-addresses",
    "node_port_addresses",
    multiple=True,
    metavar="CIDR,...|primary",
    help="Where node ports are reached; primary: at the node's addresses. [default: everywhere]",
)
@click.option("--cluster-domain", default="cluster.local", show_default=True)
@click.option(
    "--stub-domain",
    "stub_domains",
    multiple=True,
    metavar="DOMAIN=ADDRESS[,ADDRESS]",
    help="Name servers of a domain that the machine's own do not know.",
)
@click.option("--ingress-http-port", default=80, show_default=True, help="Where Ingresses are.")
@click.option("--ingress-https-port", default=443, show_default=True)
@click.option("--max-pods", default=110, show_default=True)
@click.option("--capacity-share", default=1, help="How many nodes share this machine.")
@click.option("--cgroup-root", default="", help="[default: kubepods-<node>]")
@click.option("--pod-logs-dir", "log_dir", type=_PATH, default=Path("/var/log/pods"))
@click.option(
    "--pod-manifest-path", "static_pod_dir", type=_PATH, help="A directory of static pods."
)
@reservation_options
@shutdown_options
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of the node.")
def command(config: Path | None, node_ip: str, token: str, labels: Any, **settings: Any) -> None:
    """Run a node: pods, volumes, services, DNS. Needs root and a container runtime.

    The token may come from the environment as SAGONG_JOIN_TOKEN, which others cannot read.
    """
    pin = settings.pop("ca_cert_hash")
    try:
        ranges = parse_ranges(settings["cluster_cidr"])
        parse_ranges(settings["service_cidr"])
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    try:
        address = node_ip or node_addresses(network.version for network in ranges)
    except NoNodeAddress as error:
        raise click.ClickException(f"{error}; or name one with --node-ip") from error
    try:
        for stub in settings["stub_domains"]:
            parse_stub_domain(stub)
    except ValueError as error:
        raise click.BadParameter(f"--stub-domain: {error}") from error
    reserved, alignment = take_reservations(settings)
    settings["node_port_addresses"] = _node_port_addresses(settings["node_port_addresses"])
    agent = AgentConfig(
        node_ip=address,
        reserved=reserved,
        alignment=alignment,
        shutdown=take_shutdown(settings),
        token=token or os.environ.get("SAGONG_JOIN_TOKEN", ""),
        labels=dict(label.partition("=")[::2] for label in labels),
        **settings,
    )
    if pin and agent.ca_file is None and agent.kubeconfig is None:
        agent = _with_pinned_ca(agent, pin)
    _run(agent)


def _node_port_addresses(given: Sequence[str]) -> tuple[str, ...]:
    found = tuple(part.strip() for text in given for part in text.split(",") if part.strip())
    if found == ("primary",):
        return found
    try:
        return tuple(str(ipaddress.ip_network(part)) for part in found)
    except ValueError as error:
        raise click.BadParameter(f"--nodeport-addresses: {error}") from error


def _with_pinned_ca(agent: AgentConfig, pin: str) -> AgentConfig:
    import dataclasses

    from sagong.cmd.discovery import PinError, fetch_ca

    try:
        ca_pem = fetch_ca(agent.join_url, pin)
    except (PinError, OSError) as error:
        raise click.ClickException(f"{agent.join_url}: {error}") from error
    agent.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = agent.data_dir / "ca.crt"
    path.write_bytes(ca_pem)
    return dataclasses.replace(agent, ca_file=path)


def _run(agent: AgentConfig) -> None:
    import uvloop

    from sagong.cmd.signals import until_stopped

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_stopped(run_agent(agent)))
