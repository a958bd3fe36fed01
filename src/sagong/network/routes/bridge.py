"""The bridge of a node's pods, where it must be there before the CNI plugin would make it.

IPv6 asks first whether somebody else has an address that a new device was given, and does so anew
whenever the device's hardware address changes, as a bridge's does with its ports. Meanwhile, a
second or two, the node could not answer its pods. Nobody else can have these addresses.
"""

import logging
from pathlib import Path

from sagong.core.netlink import CREATE, EXCLUSIVE, attribute, nested
from sagong.network.routes.links import LINK_HEADER, Links, index_of
from sagong.network.routes.sysctl import PROC_SYS
from sagong.network.routes.tunnel import hardware_address_of

log = logging.getLogger(__name__)

_NEWLINK = 16  # linux/rtnetlink.h, if_link.h
_LINK_ADDRESS, _LINK_NAME, _LINK_INFO, _INFO_KIND = 1, 3, 18, 1


def ensure_bridge(name: str, node_name: str, *, proc_sys: Path = PROC_SYS) -> None:
    """Make the bridge, down and without addresses, unless it is there. Raises NetlinkError."""
    if index_of(name) is not None:
        return
    payload = (
        LINK_HEADER.pack(0, 0, 0, 0, 0),
        attribute(_LINK_NAME, name.encode() + b"\0"),
        attribute(_LINK_ADDRESS, hardware_address_of(f"{node_name} {name}")),
        nested(_LINK_INFO, attribute(_INFO_KIND, b"bridge")),
    )
    with Links() as links:
        links.change(_NEWLINK, b"".join(payload), CREATE | EXCLUSIVE)
    switch = proc_sys / "net/ipv6/conf" / name / "accept_dad"
    try:
        switch.write_text("0\n")
    except OSError as error:
        log.info("pods reach their node by IPv6 a little late: %s: %s", switch, error)
