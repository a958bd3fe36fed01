"""How many packets policies dropped, as the kernel counts them."""

from collections.abc import Mapping

import orjson

from sagong.network.policy.enforcer import TABLE
from sagong.network.policy.rules import EGRESS, INGRESS
from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.nft import Nft, NftError


async def dropped_packets(nft: Nft, family: Family = IPV4) -> Mapping[str, int]:
    """By direction; nothing where no policy is. They begin again when the table is rewritten."""
    try:
        listing = await nft.list_counters(TABLE, family)
    except NftError:
        return {}
    counters = (entry.get("counter") for entry in orjson.loads(listing)["nftables"])
    packets = {c["name"]: int(c["packets"]) for c in counters if c}
    return {
        direction: packets[f"dropped-{direction}"]
        for direction in (INGRESS, EGRESS)
        if f"dropped-{direction}" in packets
    }
