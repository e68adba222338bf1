"""Where this service goes when a client says where (CLA-14, ATK-05)."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.outbound import MAX_URI_LENGTH, is_outbound_uri, may_connect

PUBLIC = ["1.1.1.1", "93.184.216.34", "192.0.1.1", "172.15.255.255", "172.32.0.1", "223.255.255.255", "2606:4700::1111"]
LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]
SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_gone_to(text: str) -> None:
    assert may_connect(ip_address(text), allows_loopback=False)


@pytest.mark.parametrize("text", [*SPECIAL, *LOOPBACK])
def test_addresses_of_special_use_may_not(text: str) -> None:
    assert not may_connect(ip_address(text), allows_loopback=False)


@pytest.mark.parametrize("text", LOOPBACK)
def test_the_switch_opens_the_loopback(text: str) -> None:
    assert may_connect(ip_address(text), allows_loopback=True)


@pytest.mark.parametrize("text", SPECIAL)
def test_the_switch_opens_nothing_else(text: str) -> None:
    assert not may_connect(ip_address(text), allows_loopback=True)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_the_clothes_of_the_other_version(address: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{address}")
    assert may_connect(mapped, allows_loopback=False) == may_connect(address, allows_loopback=False)


@given(st.ip_addresses())
def test_what_may_be_gone_to_is_public_for_everybody(address: IPv4Address | IPv6Address) -> None:
    if may_connect(address, allows_loopback=False):
        # Of one of v4 in the clothes of v6 the releases of Python think differently: see the test above.
        plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
        assert plain.is_global
        assert not (plain.is_private or plain.is_multicast or plain.is_link_local or plain.is_reserved)


@pytest.mark.parametrize(
    "uri",
    [
        "https://client.example",
        "https://client.example/jwks.json",
        "https://client.example:8443/keys?of=1&x=%2F",
        "https://127.0.0.1:8443/jwks",
        "https://[2606:4700::1111]/jwks",
    ],
)
def test_a_plain_https_uri_is_one(uri: str) -> None:
    assert is_outbound_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://client.example/jwks",
        "HTTPS://client.example/jwks",
        "https:client.example",
        "https:///jwks",
        "https://user@client.example/jwks",
        "https://client.example@evil.example/",
        "https://client.example\\@evil.example/",
        "https://client.example/#fragment",
        "https://client.example/ jwks",
        "https://client.example/\r\nhost: x",
        "https://client.example/\n",
        "https://client.example:0/",
        "https://client.example:/",
        "https://client..example/",
        "https://-client.example/",
        "https://CLIENT.example/",
        "https://cli%65nt.example/",
        "https://ünï.example/",
        "file:///etc/passwd",
        "gopher://client.example/",
        f"https://client.example/{'x' * MAX_URI_LENGTH}",
    ],
)
def test_anything_else_is_none(uri: str) -> None:
    assert not is_outbound_uri(uri)
