"""RFC 6890: where this service goes when a client says where (CLA-14, ATK-05).

Clients name addresses that the service fetches from or posts to, and it stands where they do not: inside. So it goes to
the public Internet alone, and no name is believed: what counts is the address that a connection is made to.
"""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from authsvc.protocol.addresses import Address, Network

MAX_URI_LENGTH = 2000

# RFC 3986, without user names, fragments and what other software might read in another way.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,62}(?<=[a-z0-9]))?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])"
_URI = re.compile(rf"https://{_HOST}(?::[1-9][0-9]{{0,4}})?(?:/(?:[A-Za-z0-9._~:/@!$&'()+,;=?-]|%[0-9A-Fa-f]{{2}})*)?")

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# The registries that RFC 6890 made, as they stood in 2026, whatever the library of this Python thinks of it.
_SPECIAL_V4 = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that has been given out. The rest is loopback, local, multicast or nobody's; NAT64 is in the rest too, behind
which there is any address of v4."""
_SPECIAL_V6 = tuple(
    # Protocol assignments with Teredo, documentation, 6to4 with an address of v4 inside, AS112, documentation again.
    IPv6Network(each)
    for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_outbound_uri(uri: str) -> bool:
    """Whether it is an https URI in the one plain form that is gone to."""
    return len(uri) <= MAX_URI_LENGTH and _URI.fullmatch(uri) is not None


def may_connect(address: Address, *, allows_loopback: bool) -> bool:
    """Whether a connection may be made to this address. `allows_loopback` is for tests, and conformance runs."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if allows_loopback and _is_in(address, _LOOPBACK):
        return True
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_V6 and not _is_in(address, _SPECIAL_V6)
    return not _is_in(address, _SPECIAL_V4)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
