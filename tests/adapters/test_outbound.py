"""The one way out, against real listeners (CLA-14, ATK-05)."""

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpcore2
import pytest

from authsvc.adapters.outbound import AT_ONCE, CONNECT_SECONDS, MAX_ADDRESSES, MAX_ANSWER_BYTES, SECONDS, Outbound
from authsvc.errors import ConfigurationError, OutboundFailed, OutboundRefused, OutboundSilent
from authsvc.protocol.outbound import may_connect
from tests.adapters.listener import listening, saying
from tests.certificates import write_certificate

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


def way_out(certificate: tuple[Path, Path] | None, *, allows_loopback: bool = True) -> Outbound:
    ca_file = None if certificate is None else str(certificate[0])
    return Outbound(partial(may_connect, allows_loopback=allows_loopback), ca_file=ca_file)


@pytest.fixture
def pointed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Whatever name is asked for has these addresses, one list after the other."""

    def point(*answers: list[str]) -> None:
        left = list(answers)

        def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            addresses = left.pop(0) if len(left) > 1 else left[0]
            return [(2, 1, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return point


async def test_an_answer_comes_back(certificate: tuple[Path, Path]) -> None:
    async with listening(certificate, saying(GOOD)) as listener:
        answer = await way_out(certificate).get(
            f"https://127.0.0.1:{listener.port}/jwks?a=b", accept="application/json"
        )
    assert (answer.status, answer.body) == (200, b"{}")
    assert listener.heads[0].startswith(b"GET /jwks?a=b HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{listener.port}".encode() in listener.heads[0].lower()


async def test_something_is_posted(certificate: tuple[Path, Path]) -> None:
    async with listening(certificate, saying(GOOD)) as listener:
        uri = f"https://127.0.0.1:{listener.port}/logout"
        await way_out(certificate).post(uri, b"logout_token=x", content_type="application/x-www-form-urlencoded")
    assert listener.heads[0].startswith(b"POST /logout HTTP/1.1\r\n")
    assert b"content-length: 14" in listener.heads[0].lower()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
async def test_nobody_on_this_machine_is_gone_to(certificate: tuple[Path, Path], host: str) -> None:
    async with listening(certificate, saying(GOOD)) as listener:
        with pytest.raises((OutboundRefused, OutboundFailed)):
            await way_out(certificate, allows_loopback=False).get(f"https://{host}:{listener.port}/", accept="*/*")
    assert listener.connections == 0


async def test_a_name_with_one_address_inside_is_not_gone_to(
    certificate: tuple[Path, Path], pointed_at: Callable[..., None]
) -> None:
    pointed_at(["93.184.216.34", "169.254.169.254"])
    with pytest.raises(OutboundRefused):
        await way_out(certificate).get("https://client.example/", accept="*/*")


async def test_the_address_that_was_looked_at_is_the_one_that_is_gone_to(
    certificate: tuple[Path, Path], pointed_at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that says something else the second time it is asked is asked once."""
    pointed_at(["93.184.216.34"], ["127.0.0.1"])
    gone_to = []

    async def connect_tcp(self: object, host: str, *_: Any, **__: Any) -> None:
        gone_to.append(host)
        raise OSError

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    with pytest.raises(OutboundFailed):
        await way_out(certificate, allows_loopback=False).get("https://client.example/", accept="*/*")
    assert gone_to == ["93.184.216.34"]


async def test_of_several_addresses_a_silent_one_is_passed_over(
    certificate: tuple[Path, Path], pointed_at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pointed_at(["93.184.216.34", "93.184.216.35"])
    gone_to = []

    async def connect_tcp(self: object, host: str, port: int, timeout: float) -> None:
        gone_to.append((host, timeout))
        raise httpcore2.ConnectTimeout

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect_tcp)
    with pytest.raises(OutboundFailed):
        await way_out(certificate).get("https://client.example/", accept="*/*")
    assert gone_to == [("93.184.216.34", CONNECT_SECONDS), ("93.184.216.35", CONNECT_SECONDS)]
    assert CONNECT_SECONDS * MAX_ADDRESSES < SECONDS


async def test_a_silent_name_server_holds_up_nobody_else(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait() and [])
    out = way_out(certificate)
    try:
        asked = (out.get(f"https://{number}.example/", accept="*/*", seconds=0.2) for number in range(AT_ONCE))
        for failed in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(failed, OutboundFailed)
        async with asyncio.timeout(30):  # the threads that everybody has are free
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        is_over.set()
        out.close()


async def test_a_redirect_is_an_answer_and_is_not_followed(certificate: tuple[Path, Path]) -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with listening(certificate, saying(moved)) as listener:
        answer = await way_out(certificate).get(f"https://127.0.0.1:{listener.port}/", accept="*/*")
    assert answer.status == 302
    assert listener.connections == 1


async def test_a_proxy_of_the_environment_is_not_asked(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(certificate, saying(GOOD)) as listener, listening(certificate, saying(GOOD)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
        await way_out(certificate).get(f"https://127.0.0.1:{listener.port}/", accept="*/*")
    assert proxy.connections == 0


async def test_http_is_not_spoken(certificate: tuple[Path, Path]) -> None:
    async with listening(certificate, saying(GOOD)) as listener:
        with pytest.raises(OutboundRefused):
            await way_out(certificate).get(f"http://127.0.0.1:{listener.port}/", accept="*/*")
    assert listener.connections == 0


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_whose_certificate_nobody_trusts_is_told_nothing(
    certificate: tuple[Path, Path], is_trusted: bool
) -> None:
    """In the second case it is trusted, and for another name."""
    async with listening(certificate, saying(GOOD)) as listener:
        host = "localhost" if is_trusted else "127.0.0.1"
        with pytest.raises(OutboundFailed):
            await way_out(certificate if is_trusted else None).get(f"https://{host}:{listener.port}/", accept="*/*")
    assert listener.heads == []


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"8000\r\n" + (b"x" * 32768 + b"\r\n8000\r\n") * 3,
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000,
        b"what?\r\n\r\n",
        b"",
    ],
    ids=["long", "endless", "in pieces", "short", "a long head", "no HTTP", "silence"],
)
async def test_a_bad_answer_is_none(certificate: tuple[Path, Path], said: bytes) -> None:
    async with listening(certificate, saying(said)) as listener:
        with pytest.raises(OutboundFailed):
            await way_out(certificate).get(f"https://127.0.0.1:{listener.port}/", accept="*/*")


async def test_who_does_not_answer_is_left_in_time(certificate: tuple[Path, Path]) -> None:
    hangs = asyncio.Event()

    async def behave(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await hangs.wait()

    async with listening(certificate, behave) as listener:
        with pytest.raises(OutboundSilent, match="in time"):
            await way_out(certificate).get(f"https://127.0.0.1:{listener.port}/", accept="*/*", seconds=0.2)
        hangs.set()


async def test_who_was_told_nothing_yet_is_not_one_that_does_not_answer(certificate: tuple[Path, Path]) -> None:
    """It lets connect, and never gets as far as TLS."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(OutboundFailed, match="in time") as caught:
            await way_out(certificate).get(f"https://127.0.0.1:{port}/", accept="*/*", seconds=0.2)
        assert type(caught.value) is OutboundFailed


async def test_nobody_is_there(certificate: tuple[Path, Path]) -> None:
    async with listening(certificate, saying(GOOD)) as listener:
        pass
    with pytest.raises(OutboundFailed):
        await way_out(certificate).get(f"https://127.0.0.1:{listener.port}/", accept="*/*")


def test_a_file_that_holds_no_authority_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="AUTHSVC_OUTBOUND_CA_FILE"):
        way_out((tmp_path / "ca.pem", tmp_path))
