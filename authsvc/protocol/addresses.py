"""Where a request comes from: RFC 7239 §5.2 in the form that proxies write, `X-Forwarded-For`.

Each proxy appends whom it was asked by, so what stands to the right of a trusted proxy's own word is true, and anything
further left is what somebody said. A client can send the header too, and never chooses its address by it.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOWHERE = "nowhere"
"""The prefix of who has no address, as at the other end of a unix socket: all of them count as one."""

_V6_PREFIX_BITS = 64
_MAX_LENGTH = 64


def client_address(peer: str | None, forwarded: Iterable[str], trusted: Sequence[Network]) -> Address | None:
    """The nearest address that is no trusted proxy, going back from the connection.

    `forwarded` holds the values of all `X-Forwarded-For` headers in their order. They are read from the right, and only
    as far as trusted proxies vouch for them; what is no address ends the way at the last good one.
    """
    address = parse_address(peer or "")
    if address is None or not trusted or not is_trusted(address, trusted):
        return address
    for hop in reversed(",".join(forwarded).split(",")):
        before = parse_address(hop.strip(" \t"))
        if before is None:
            break
        address = before
        if not is_trusted(address, trusted):
            break
    return address


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether it is in one of the networks. An address of the other version is in none."""
    return any(address in network for network in trusted)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """The address in its one spelling: v4 where it comes in the clothes of v6, and without the zone of a link. None for
    what is none; a port is no part of one."""
    if len(text) > _MAX_LENGTH:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def prefix_of(address: Address | None) -> str:
    """What one subscriber has: an address of v4, a /64 of v6."""
    if address is None:
        return NOWHERE
    if isinstance(address, IPv4Address):
        return f"{address}/32"
    return str(IPv6Network((address, _V6_PREFIX_BITS), strict=False))
