"""Redis over TLS: the server is who the URL says, by the authority it names; silence costs no more than without."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from authsvc.caches import redis, revocations
from authsvc.caches.redis import CONNECTIONS, TIMEOUT_SECONDS
from authsvc.caches.revocations import READ_SECONDS
from authsvc.caches.server import describe_server
from authsvc.errors import CacheAway
from tests.caches.filled import MARKS, NONCE, US, be_patient, cache_on, fill
from tests.certificates import write_certificate
from tests.journeys.service import free_port, wait_until
from tests.stores import passable_directory
from tests.tables.line import Line

Files = tuple[Path, Path]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    """A certificate of 127.0.0.1, which is its own authority, and its key."""
    with passable_directory() as directory:
        paths = write_certificate(directory)
        for path in paths:
            path.chmod(0o644)
        yield paths


class TlsLine(Line):
    """A line that ends TLS in front of a server which knows none."""

    def __init__(self, there: str, files: Files) -> None:
        super().__init__(there, "", urlsplit(there).path, Path("/nowhere"))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*files)
        self.port = free_port()

    async def restore(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)


@asynccontextmanager
async def tls_line_to(redis_url: str, files: Files) -> AsyncIterator[TlsLine]:
    line = TlsLine(redis_url, files)
    await line.restore()
    try:
        yield line
    finally:
        line.resume()
        await line.cut()


@pytest.fixture
async def line(redis_url: str, files: Files) -> AsyncIterator[TlsLine]:
    async with tls_line_to(redis_url, files) as line:
        yield line


def url_of(port: int, files: Files, host: str = "127.0.0.1") -> str:
    return f"rediss://{host}:{port}/0?ssl_ca_certs={files[0]}"


async def test_marks_are_kept_and_told_over_tls(line: TlsLine, files: Files) -> None:
    async with cache_on(url_of(line.port, files)) as cache:
        await fill(cache)
        assert await cache.get(US, NONCE, MARKS) == MARKS
    assert (await describe_server(url_of(line.port, files), seconds=30)).has_functions


async def test_the_authorities_are_read_once_and_not_by_who_waits_for_an_answer(
    line: TlsLine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker would stand still for as long: tens of milliseconds, for each connection."""
    async with cache_on(url_of(line.port, files)) as cache:
        monkeypatch.delattr(ssl, "create_default_context")
        await fill(cache)
        assert all(await asyncio.gather(*(cache.put(US, NONCE, MARKS) for _ in range(CONNECTIONS * 3))))
        assert line.opened == CONNECTIONS
        assert await asyncio.gather(*(cache.get(US, NONCE, MARKS) for _ in range(CONNECTIONS * 3))) == [MARKS] * 24
        assert line.opened == CONNECTIONS + 1


@pytest.mark.parametrize("mistake", ["an authority that nobody knows", "the name of another", "no TLS"])
async def test_who_is_not_the_server_of_the_url_is_asked_nothing(line: TlsLine, files: Files, mistake: str) -> None:
    wrong = {
        "an authority that nobody knows": f"rediss://127.0.0.1:{line.port}",
        "the name of another": url_of(line.port, files, "localhost"),
        "no TLS": f"redis://127.0.0.1:{line.port}",
    }
    async with cache_on(wrong[mistake]) as cache:
        with pytest.raises(CacheAway):
            await cache.is_able()
    with pytest.raises(CacheAway):
        await describe_server(wrong[mistake], seconds=30)
    assert line.opened == 0


async def test_silence_holds_nobody_for_longer_than_without_tls(
    line: TlsLine, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the talk, or before the handshake is over."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for port in (line.port, mute.getsockname()[1]):
            async with cache_on(url_of(port, files)) as cache:
                if port == line.port:
                    await fill(cache)
                    line.hold()
                with monkeypatch.context() as impatient:
                    impatient.setattr(redis, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
                    impatient.setattr(revocations, "READ_SECONDS", READ_SECONDS)
                    for _ in range(3):
                        started = time.monotonic()
                        with pytest.raises(CacheAway):
                            await cache.get(US, NONCE, ["j:1"])
                        assert time.monotonic() - started < 20
    line.resume()


# --- A server that ends TLS itself


def servers_that_may() -> Iterator[str]:
    asked = os.environ.get("AUTHSVC_TEST_REDIS_SERVER")
    yield from filter(None, [asked] if asked else map(shutil.which, ("redis-server", "valkey-server")))


@pytest.fixture
def port_of_its_own_tls(files: Files) -> Iterator[int]:
    """The one that the service brings is built without."""
    port = free_port()
    options: list[str | Path] = [
        *("--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--tls-auth-clients", "no"),
        *("--tls-cert-file", files[0], "--tls-key-file", files[1], "--tls-ca-cert-file", files[0]),
    ]
    for program in servers_that_may():
        with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: process.poll() is not None or _listens(port), 20)
                if process.poll() is None:
                    yield port
                    return
            finally:
                process.kill()
    pytest.skip("no Redis or Valkey here is built with TLS")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


async def test_a_server_with_tls_of_its_own_is_filled_and_asked(port_of_its_own_tls: int, files: Files) -> None:
    async with cache_on(url_of(port_of_its_own_tls, files)) as cache:
        await fill(cache)
        assert await cache.get(US, NONCE, MARKS) == MARKS
