"""The ranges of addresses of a cluster that ``sagong up`` makes, by its address families."""

import enum
from dataclasses import dataclass


class IpFamily(enum.StrEnum):
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"  # IPv4 first

    @property
    def versions(self) -> tuple[int, ...]:
        return _VERSIONS[self]

    @property
    def has_ipv6(self) -> bool:
        return 6 in self.versions

    def joined(self, *, ipv4: str, ipv6: str) -> str:
        """The texts of the families that there are, with a comma between them."""
        texts = {4: ipv4, 6: ipv6}
        return ",".join(texts[version] for version in self.versions)


_VERSIONS = {IpFamily.IPV4: (4,), IpFamily.IPV6: (6,), IpFamily.DUAL: (4, 6)}


@dataclass(frozen=True, slots=True)
class Ranges:
    """One text each, of two ranges where the cluster is dual-stack."""

    cluster_cidr: str
    service_cidr: str
    cluster_dns: str


DNS_IPV4, DNS_IPV6 = "10.96.0.10", "fd00:10:96::a"


def ranges_of(family: IpFamily) -> Ranges:
    """The name server has one address, of the first family: every pod has that, and of the three
    name servers that a pod may have, two would be a waste."""
    return Ranges(
        family.joined(ipv4="10.244.0.0/16", ipv6="fd00:10:244::/48"),
        family.joined(ipv4="10.96.0.0/16", ipv6="fd00:10:96::/112"),
        family.joined(ipv4=DNS_IPV4, ipv6=DNS_IPV6).partition(",")[0],
    )
