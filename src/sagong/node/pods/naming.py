"""Host name, hosts file and resolver of a pod. Pure, but for the node's own files as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.node.pods.spec import is_host_network

HOST_NAME_MAX = 63  # the kernel's bound
SEARCHES_MAX = 32  # upstream's MaxDNSSearchPaths
NAMESERVERS_MAX = 3  # the resolver ignores more


@dataclass(frozen=True, slots=True)
class Resolver:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def host_name(pod: Obj) -> str:
    name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    return name[:HOST_NAME_MAX].rstrip("-.")


def fully_qualified(pod: Obj, cluster_domain: str) -> str:
    """``host.subdomain.namespace.svc.domain``, or "" without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return ""
    return f"{host_name(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{cluster_domain}"


def kernel_host_name(pod: Obj, cluster_domain: str) -> str:
    """What ``hostname`` prints inside."""
    override = pod["spec"].get("hostnameOverride")
    if override is not None:
        return str(override)
    full = fully_qualified(pod, cluster_domain)
    return full if full and pod["spec"].get("setHostnameAsFQDN") else host_name(pod)


def parse_resolv_conf(text: str) -> Resolver:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            servers += words[1:2]
        elif words[0] in ("search", "domain"):
            searches = [word.rstrip(".") or "." for word in words[1:]]
        elif words[0] == "options":
            options += words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def resolver_of(
    pod: Obj, node: Resolver, cluster_dns: Sequence[str], cluster_domain: str
) -> Resolver:
    """dnsPolicy and dnsConfig put together (``network/dns/dns.go``)."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and is_host_network(pod):
        policy = "Default"
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster_dns:
        namespace = pod["metadata"]["namespace"]
        domains = (f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
        chosen = Resolver(tuple(cluster_dns), (*domains, *node.searches), ("ndots:5",))
    elif policy == "None":
        chosen = Resolver()
    else:
        chosen = node
    config = pod["spec"].get("dnsConfig") or {}
    return Resolver(
        _unique((*chosen.servers, *(config.get("nameservers") or ())))[:NAMESERVERS_MAX],
        _unique((*chosen.searches, *(config.get("searches") or ())))[:SEARCHES_MAX],
        _merged_options(chosen.options, config.get("options") or ()),
    )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _merged_options(base: Sequence[str], extra: Sequence[Obj]) -> tuple[str, ...]:
    """The pod's own options replace those of the same name."""
    merged = {option.partition(":")[0]: option for option in base}
    for option in extra:
        value = option.get("value")
        merged[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return tuple(merged.values())


def hosts_file(pod: Obj, pod_ips: Sequence[str], cluster_domain: str, node_hosts: str) -> str:
    """The contents of /etc/hosts."""
    if is_host_network(pod):
        text = "# Kubernetes-managed hosts file (host network).\n" + node_hosts
    else:
        text = (
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
        )
        full = fully_qualified(pod, cluster_domain)
        names = f"{full}\t{host_name(pod)}" if full else host_name(pod)
        text += "".join(f"{ip}\t{names}\n" for ip in pod_ips)
    if aliases := pod["spec"].get("hostAliases"):
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(
            f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases
        )
    return text
