"""RFC 7239 §5.2: whom the trusted proxies vouch for, and that nobody else is believed."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.addresses import NOWHERE, client_address, parse_address, prefix_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

addresses = st.ip_addresses()
clients = addresses.filter(
    lambda address: not any((parse_address(str(address)) or address) in network for network in TRUSTED)
)
proxies = st.one_of(st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="fd00::/8"))
said = st.lists(st.one_of(st.text(max_size=60), addresses.map(str), proxies.map(str)), max_size=5)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7 ,\t10.2.3.4, fd00::1"], "198.51.100.7"),
        ("10.0.0.1", ["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, unknown, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "10.0.0.1"),
        ("10.0.0.1", ["[2001:db8::7]"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7,"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.07"], "10.0.0.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["198.51.100.7"], None),
        ("", ["198.51.100.7"], None),
        ("testclient", ["198.51.100.7"], None),
    ],
)
def test_the_way_back_ends_at_the_first_address_that_nobody_trusts(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == (expected and ip_address(expected))


@given(client=clients, theirs=said)
def test_who_connects_directly_chooses_no_address(
    client: IPv4Address | IPv6Address, theirs: list[str]
) -> None:  # LOG-06
    assert client_address(str(client), theirs, TRUSTED) == parse_address(str(client))
    assert client_address(str(client), theirs, ()) == parse_address(str(client))


@given(client=clients, theirs=said, way=st.lists(proxies, min_size=1, max_size=4), split=st.booleans())
def test_who_comes_through_proxies_chooses_no_address(
    client: IPv4Address | IPv6Address, theirs: list[str], way: list[IPv4Address | IPv6Address], split: bool
) -> None:  # LOG-06
    appended = [str(client), *map(str, way[:-1])]
    forwarded = [*theirs, *appended] if split else [", ".join([*theirs, *appended])]
    assert client_address(str(way[-1]), forwarded, TRUSTED) == parse_address(str(client))


@given(text=st.text(max_size=80))
def test_a_text_is_an_address_in_one_spelling_or_none(text: str) -> None:
    address = parse_address(text)
    assert address is None or parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("", NOWHERE),
    ],
)
def test_a_subscriber_has_one_address_of_v4_or_a_64_of_v6(address: str, expected: str) -> None:
    assert prefix_of(parse_address(address)) == expected
