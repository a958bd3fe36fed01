"""``sagong server``: the whole control plane in one process, as any user."""

import asyncio
import ipaddress
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from sagong.api.address_pools import parse_pool
from sagong.api.address_ranges import NODE_PREFIX_IPV6, node_ranges, parse_ranges
from sagong.cli import options
from sagong.cmd.access_files import AccessFiles
from sagong.cmd.server import ServerConfig, run_server
from sagong.local.addresses import default_route_address
from sagong.server.audit.log import LogSettings

_ACCESS = tuple(field.name for field in fields(AccessFiles))
_FILE = click.Path(path_type=Path, exists=True)
# Flags by their name in a configuration file (camelCase, as in Kubernetes' own files).
_FILE_KEYS = {
    "dataDir": "data_dir",
    "listen": "listen",
    "advertiseAddress": "advertise_address",
    "tokenAuthFile": "token_auth_file",
    "serviceCIDR": "service_cidr",
    "clusterCIDR": "cluster_cidr",
    "loadBalancerPools": "load_balancer_pools",
    "nodeMonitorGracePeriodSeconds": "node_grace_seconds",
    "schedulerConfig": "scheduler_config",
    **{re.sub("_(.)", lambda m: m[1].upper(), name): name for name in _ACCESS},
    "encryptionProviderConfig": "encryption_provider_config",
    "auditPolicyFile": "audit_policy_file",
    "auditLogPath": "audit_log_path",
    "auditLogMaxSize": "audit_log_maxsize",
    "auditLogMaxAge": "audit_log_maxage",
    "auditLogMaxBackup": "audit_log_maxbackup",
    "store": "store",
    "leaderElect": "leader_elect",
}


@click.command()
@options.config_file(_FILE_KEYS)
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("sagong-data"))
@click.option("--listen", default="127.0.0.1:6443", help="HOST:PORT; port 0 takes a free one.")
@click.option("--advertise-address", default="", help="Where nodes and pods reach the server.")
@click.option(
    "--token-auth-file",
    type=_FILE,
    help='A CSV of static tokens: token,user,uid,"group,group".',
)
@click.option(
    "--service-cidr",
    "--service-cluster-ip-range",
    default="10.96.0.0/16",
    show_default=True,
    metavar="CIDR[,CIDR]",
    help="Two, of IPv4 and IPv6, make the cluster dual-stack; the first is the default.",
)
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, metavar="CIDR[,CIDR]")
@click.option(
    "--node-grace-seconds", default=50.0, show_default=True, help="Silence before NotReady."
)
@click.option(
    "--load-balancer-pool",
    "load_balancer_pools",
    multiple=True,
    metavar="RANGE",
    help="Addresses for LoadBalancer services (A-B or CIDR). [default: the nodes' own]",
)
@click.option(
    "--scheduler-config",
    type=_FILE,
    help="Profiles, plugins and extenders (KubeSchedulerConfiguration).",
)
@click.option(
    "--authentication-config",
    type=_FILE,
    help="Issuers of OpenID Connect tokens (AuthenticationConfiguration).",
)
@click.option(
    "--authentication-token-webhook-config-file",
    type=_FILE,
    help="A kubeconfig that says whom to ask about tokens.",
)
@click.option(
    "--authorization-config",
    type=_FILE,
    help="Modes of authorisation in their order (AuthorizationConfiguration).",
)
@click.option(
    "--admission-control-config-file",
    type=_FILE,
    help="What admission plugins are told (AdmissionConfiguration).",
)
@click.option("--enable-admission-plugins", default="", metavar="NAME,...")
@click.option("--disable-admission-plugins", default="", metavar="NAME,...")
@click.option(
    "--encryption-provider-config",
    type=_FILE,
    help="What to encrypt at rest, and with which keys (EncryptionConfiguration).",
)
@click.option(
    "--audit-policy-file",
    type=_FILE,
    help="What to record of requests (audit.k8s.io/v1 Policy).",
)
@click.option("--audit-log-path", default="-", help="Where to record it; - is standard output.")
@click.option("--audit-log-maxsize", default=100, help="Megabytes after which it is rotated.")
@click.option("--audit-log-maxage", default=0, help="Days to keep rotated logs; 0: for ever.")
@click.option("--audit-log-maxbackup", default=0, help="Rotated logs to keep; 0: all.")
@click.option(
    "--leader-elect/--no-leader-elect",
    default=False,
    help="Run controllers and scheduler only while this server leads; for several over one store.",
)
@click.option("--store", type=click.Choice(["sqlite", "memory"]), default="sqlite")
def command(config: Path | None, listen: str, advertise_address: str, **settings: Any) -> None:
    """Run API server, controllers and scheduler; writes DATA_DIR/admin.kubeconfig."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("--listen must be HOST:PORT, for example 127.0.0.1:6443")
    try:
        for pool in settings["load_balancer_pools"]:
            parse_pool(pool)
    except ValueError as error:
        raise click.BadParameter(f"--load-balancer-pool: {error}") from error
    try:
        parse_ranges(settings["service_cidr"])
        node_ranges(settings["cluster_cidr"], 24, NODE_PREFIX_IPV6)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    size, age, backups = (settings.pop(f"audit_log_max{n}") for n in ("size", "age", "backup"))
    server = ServerConfig(
        access=_access({name: settings.pop(name) for name in _ACCESS}),
        audit_log=LogSettings(settings.pop("audit_log_path"), size, age, backups),
        host=host.strip("[]"),
        port=int(port),
        advertise_address=advertise_address or _address_of(host.strip("[]")),
        **settings,
    )
    run(server)


def _access(given: dict[str, Any]) -> AccessFiles:
    for name in ("enable_admission_plugins", "disable_admission_plugins"):
        given[name] = tuple(filter(None, given[name].split(",")))
    return AccessFiles(**given)


def _address_of(host: str) -> str:
    """The address that others reach when we listen on a host: its own, unless that is "all"."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    except ValueError:
        return host
    try:
        return default_route_address()
    except OSError:
        return "127.0.0.1"


def run(server: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvloop

    from sagong.cmd.signals import until_stopped
    from sagong.scheduler.config_errors import ConfigurationError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_stopped(run_server(server)))
    except ConfigurationError as error:
        raise click.ClickException(f"{server.scheduler_config}: {error}") from error
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {server.host}:{server.port}: {error.strerror or error}"
        ) from error
