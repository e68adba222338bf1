"""Clients that mean no good, on raw sockets, against a real worker whose limits are shortened.

`python -m tests.test_guard FD LIMITS SETTINGS` is that worker. `AUTHSVC_TEST_ABORTS` says how many clients hang up
(1,000).
"""

import asyncio
import json
import os
import random
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from authsvc import logs, worker
from authsvc.admission import ADDRESS, FULL, SPARE_FILES, Guard, Limits, fit
from authsvc.errors import AuthsvcError
from authsvc.settings import load
from authsvc.web.errors import status_of
from authsvc.web.request import Call, read_body
from authsvc.web.responses import Answer
from tests.journeys.service import Service, children_of, serving
from tests.supervised_app import SETTINGS

QUICK: dict[str, Any] = {
    "idle_s": 2,
    "head_s": 1.0,
    "body_s": 1.5,
    "answer_s": 1.0,
    "leave_s": 0.5,
    "stop_s": 1.0,
    "sweep_s": 0.1,
}
LATE_S = 5.0  # what a busy machine may add to any of these
PATIENCE_S = 10.0
DRIPPING = 2_000
ABORTS = int(os.environ.get("AUTHSVC_TEST_ABORTS", "1000"))

HOST = b"Host: a\r\n"
GET = b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


# --- The worker


async def create_answer(scope: Scope, receive: Receive) -> Answer:
    request: Call = Request(scope, receive)
    match scope["path"]:
        case "/headers":
            await read_body(request)
            return Answer(200, b" ".join(name for name, _ in scope["headers"]), [])
        case "/slow":
            await asyncio.sleep(1.0)
            return Answer(200, b"done", [])
        case "/big":
            return Answer(200, bytes(8_000_000), [])
        case "/unread":
            return Answer(200, b"not read", [])
        case _:
            return Answer(200, await read_body(request), [])


def create_app() -> Callable[[Scope, Receive, Send], object]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event == "lifespan.shutdown":
                    return
        try:
            answer = await create_answer(scope, receive)
        except AuthsvcError as error:
            answer = Answer(status_of(error), b"", [])
        await answer(scope, receive, send)

    return app


def main() -> None:
    logs.configure("info", "json")
    listener = socket.socket(fileno=int(sys.argv[1]))
    _, pulse = os.pipe()
    limits = Limits(**json.loads(sys.argv[2]))
    settings = load(json.loads(sys.argv[3]))
    worker.run([listener], Connection(pulse, readable=False), "tests.test_guard:create_app", settings, 10, limits)


@dataclass
class Worker:
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def connect(self, *, buffer: int = 0) -> socket.socket:
        """With a `buffer`, little fits on the way to a client that does not read."""
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", self.port))
        return client

    def talk(self, *parts: bytes, pause: float = 0.0) -> "Talk":
        """Send this on a new connection, and listen until the worker closes it."""
        with self.connect() as client:
            for part in parts:
                with suppress(ConnectionError):  # it need not hear all of it
                    client.sendall(part)
                time.sleep(pause)
            return listen(client)

    def memory(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Talk:
    """What came until the end of a connection, and how long that took."""

    text: bytes
    seconds: float

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.text)]


def listen(client: socket.socket) -> Talk:
    """Until the worker closes, or resets, the connection. It must not leave it open."""
    begun = time.monotonic()
    parts = []
    with suppress(ConnectionError):
        while part := client.recv(65_536):
            parts.append(part)
    return Talk(b"".join(parts), time.monotonic() - begun)


def hear(client: socket.socket, end: bytes) -> bytes:
    """Until `end`, on a connection that stays open."""
    text = b""
    while not text.endswith(end):
        part = client.recv(65_536)
        assert part, text
        text += part
    return text


def count_files(pid: int) -> int:
    """But for those that lead to PostgreSQL: the pools are bounded, and open theirs when somebody needs one more."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    near = {f"socket:[{line.split()[6]}]" for line in lines}
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(link.readlink()))
    return len([link for link in links if link not in near])


@contextmanager
def working(log: Path, *, trusted: str = "", tls: tuple[Path, Path] | None = None, **limits: float) -> Iterator[Worker]:
    """A worker that answers when the block begins, and that stops in peace when it ends."""
    settings = {
        "AUTHSVC_ISSUER": SETTINGS.issuer,
        "AUTHSVC_DATABASE_URL": SETTINGS.database_url,
        "AUTHSVC_MASTER_KEY": SETTINGS.master_key,
        "AUTHSVC_TRUSTED_PROXIES": trusted,
    }
    if tls:
        settings |= {"AUTHSVC_TLS_CERTIFICATE": str(tls[0]), "AUTHSVC_TLS_KEY": str(tls[1])}
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listener, log.open("wb") as stderr:
        told = [str(listener.fileno()), json.dumps(limits), json.dumps(settings)]
        arguments = [sys.executable, "-m", "tests.test_guard", *told]
        process = subprocess.Popen(arguments, pass_fds=[listener.fileno()], stderr=stderr)
        port = listener.getsockname()[1]
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client, ExitStack() as stack:
            if tls:
                context = ssl.create_default_context(cafile=tls[0])
                client = stack.enter_context(context.wrap_socket(client, server_hostname="127.0.0.1"))
            client.sendall(GET.replace(HOST, HOST + b"Connection: close\r\n"))
            assert listen(client).statuses == [200]  # and without TLS it is not counted any more
        yield Worker(port, process, log)
        process.terminate()
        assert process.wait(15) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with working(tmp_path_factory.mktemp("guard") / "log", **QUICK) as worker:
        yield worker


# --- Who sends slowly


def drip(client: socket.socket, text: bytes) -> Talk:
    """Send byte by byte until the worker has had enough of it."""
    begun = time.monotonic()
    client.settimeout(0.05)
    answer = b""
    for byte in cycle(text):
        with suppress(TimeoutError, ConnectionError):
            client.send(bytes([byte]))
            if part := client.recv(65_536):
                answer += part
                continue
            break
        assert time.monotonic() - begun < PATIENCE_S
    return Talk(answer, time.monotonic() - begun)


def within(talk: Talk, seconds: float) -> bool:
    return bool(seconds - 2 * QUICK["sweep_s"] <= talk.seconds <= seconds + LATE_S)


def test_a_silent_connection_is_closed_without_a_word(quick: Worker) -> None:
    talk = quick.talk()
    assert talk.text == b""
    assert within(talk, QUICK["head_s"])


def test_a_slow_head_is_told_so(quick: Worker) -> None:
    with quick.connect() as client:
        talk = drip(client, b"GET /echo HTTP/1.1\r\nX: " + b"y" * 1_000)
    assert talk.statuses == [408]
    assert within(talk, QUICK["head_s"])


def test_empty_lines_are_no_head(quick: Worker) -> None:
    with quick.connect() as client:
        assert drip(client, b"\r\n").statuses == [408]
    assert quick.talk(b"\r\n" * 20_000).statuses == [431]


@pytest.mark.parametrize("body", [b"Content-Length: 1000\r\n\r\nx", CHUNKED + b"\r\n1\r\nx\r\n"])
def test_a_slow_body_is_told_so(quick: Worker, body: bytes) -> None:
    with quick.connect() as client:
        client.sendall(POST + body)
        talk = drip(client, b"1\r\nx\r\n" if b"chunked" in body else b"x")
    assert talk.statuses == [408]
    assert within(talk, QUICK["body_s"])


def test_one_byte_after_an_answer_holds_no_connection(quick: Worker) -> None:
    with quick.connect() as client:
        client.sendall(GET)
        hear(client, b"\r\n\r\n")
        client.sendall(b"G")
        talk = listen(client)
    assert talk.statuses == [408]
    assert within(talk, QUICK["head_s"])


def test_an_idle_connection_is_kept_for_its_time_and_not_longer(quick: Worker) -> None:
    with quick.connect() as client:
        client.sendall(GET)
        hear(client, b"\r\n\r\n")
        talk = listen(client)
    assert talk.text == b""
    assert within(talk, QUICK["idle_s"])


def test_who_is_only_slow_is_served(quick: Worker) -> None:
    text = POST + b"Content-Length: 5\r\n\r\nhello"
    with quick.connect() as client:
        for _ in range(2):
            for part, pause in ((text[:20], 0.3), (text[20:-3], 0.8), (text[-3:], 0.0)):
                client.sendall(part)
                time.sleep(pause)
            assert hear(client, b"hello").startswith(b"HTTP/1.1 200 ")


# --- Who sends much


@pytest.mark.parametrize(
    "head",
    [
        b"GET /echo HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5_000 + b"\r\n",
        b"GET /echo HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 1_000_000,
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /" + b"y" * 200_000,
    ],
    ids=["a huge header", "5,000 headers", "a header without an end", "a long URL", "a URL without an end"],
)
def test_a_head_over_16_kib_is_too_large(quick: Worker, head: bytes) -> None:
    """ATK-92."""
    for before, statuses in ([], [431]), ([GET], [200, 431]):
        talk = quick.talk(*before, head, pause=0.1)
        assert talk.statuses == statuses
        assert talk.seconds < QUICK["leave_s"] + LATE_S


def test_a_head_of_16_kib_is_not_too_large_however_it_comes(quick: Worker) -> None:
    head = b"GET /echo HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 16_200 + b"\r\nConnection: close\r\n\r\n"
    assert quick.talk(head).statuses == [200]
    assert quick.talk(GET * 10 + head[:9_000], head[9_000:], pause=0.1).statuses == [200] * 11


@pytest.mark.parametrize(("path", "status"), [("/echo", 413), ("/unread", 200)])
@pytest.mark.parametrize("size", [400_000, 30_000_000])
def test_a_body_that_is_not_read_ends_the_connection(quick: Worker, path: str, status: int, size: int) -> None:
    """ATK-93."""
    head = b"POST %b HTTP/1.1\r\n" % path.encode() + HOST + b"Content-Length: %d\r\n\r\n" % size
    talk = quick.talk(head, bytes(size))
    assert talk.statuses == [status]
    assert b"\r\nconnection: close\r\n" in talk.text
    assert talk.seconds < QUICK["leave_s"] + LATE_S


def test_who_sends_all_of_a_refused_body_first_reads_why_it_was_refused(quick: Worker) -> None:
    """A bare close would reset the connection under it."""
    with quick.connect() as client:
        client.sendall(POST + b"Content-Length: 400000\r\n\r\n")
        for _ in range(4):
            time.sleep(0.05)
            client.sendall(bytes(100_000))
        assert client.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_refused_body_is_not_waited_for(quick: Worker) -> None:
    head = POST + b"Content-Length: 100000\r\n\r\n"
    talk = quick.talk(head)
    assert talk.statuses == [413]
    assert talk.seconds < QUICK["leave_s"] + LATE_S


def test_a_head_that_comes_behind_another_request_has_the_same_limits(quick: Worker) -> None:
    head = b"GET /echo HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 20_000
    assert quick.talk(GET + head[:10_000], head[10_000:] + b"\r\n\r\n", pause=0.1).statuses == [200, 431]
    assert quick.talk(GET + head + b"y" * 20_000).statuses == [200]  # and nothing in its place
    talk = quick.talk(GET + b"GET /ec")
    assert talk.statuses == [200, 408]
    assert within(talk, QUICK["head_s"])


@pytest.mark.parametrize(
    ("beginning", "endless", "status"),
    [
        (b"", b"1000\r\n" + bytes(4_096) + b"\r\n", 413),
        (b"", b"1\r\nx\r\n", 413),
        (b"1;", b"x" * 1_000, 413),
        (b"0\r\nX: ", b"y" * 1_000, 413),
        (b"0\r\n", b"X: y\r\n" * 100, 413),
        (b"", b"0" * 1_000, 413),
    ],
    ids=["chunks", "chunks of one byte", "an extension", "a trailer", "trailers", "a size"],
)
def test_a_chunked_body_without_an_end_is_ended(quick: Worker, beginning: bytes, endless: bytes, status: int) -> None:
    """ATK-93."""
    sent = 0
    memory = quick.memory()
    with quick.connect() as client, suppress(ConnectionError):
        client.sendall(POST + CHUNKED + b"\r\n" + beginning)
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE_S:
            sent += client.send(endless * 50)
    assert time.monotonic() - begun < QUICK["body_s"] + QUICK["leave_s"]
    assert sent < 64_000_000
    assert quick.memory() - memory < 32_000_000
    limit = Limits().request_bytes
    assert quick.talk(POST + CHUNKED + b"\r\n" + beginning + endless * (limit // len(endless) + 1)).statuses == [status]


def test_a_length_that_lies_harms_the_liar_alone(quick: Worker) -> None:
    """ATK-93."""
    long = quick.talk(POST + b"Content-Length: 10\r\n\r\nhello")
    assert long.statuses == [408]
    short = quick.talk(POST + b"Content-Length: 5\r\n\r\nhelloworld")
    assert short.statuses == [200]
    assert b"world" not in short.text


# --- Who does not read


def test_who_does_not_read_its_answer_is_cut_off(quick: Worker) -> None:
    with quick.connect(buffer=4_096) as client:
        client.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        time.sleep(QUICK["answer_s"] + LATE_S)
        assert len(listen(client).text) < 8_000_000


def test_who_reads_in_time_gets_all_of_it(quick: Worker) -> None:
    with quick.connect() as client:
        client.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        time.sleep(QUICK["answer_s"] / 2)
        assert len(listen(client).text) > 8_000_000


# --- Pipelines


def test_pipelined_requests_are_answered_in_order(quick: Worker) -> None:
    requests = [POST + b"Content-Length: 3\r\n\r\n%03d" % number for number in range(60)]
    with quick.connect() as client:
        for _ in range(2):
            client.sendall(b"".join(requests))
            text = hear(client, b"059")
            assert re.findall(rb"\r\n\r\n(\d{3})", text) == [b"%03d" % number for number in range(60)]


def test_a_flood_of_pipelined_requests_is_answered_in_part_and_held_in_no_memory(quick: Worker) -> None:
    memory = quick.memory()
    talk = quick.talk(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n" + GET * 10_000)
    assert talk.statuses == [200] * (1 + Limits().waiting)
    assert quick.memory() - memory < 16_000_000


def test_what_is_refused_behind_another_request_never_passes_for_its_answer(quick: Worker) -> None:
    slow = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
    for rubbish in (b"rubbish\r\n\r\n", POST + CHUNKED + b"\r\nxyz\r\n"):
        talk = quick.talk(slow + GET + rubbish)
        assert talk.statuses == [200, 200]
        assert b"done" in talk.text


# --- Who is read in two ways (ATK-91)

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: 5, 5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: 0x5\r\n\r\nhello",
        POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
        POST + b"Content-Length : 5\r\n\r\nhello",
        POST + b"Content-Length:\r\n\r\nhello",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5\r\nhello\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5\r\nhello\r\n0\n\n",
        POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\n",
        POST + CHUNKED + b"\r\n5;x\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n",
        POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5 \r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n0\r\nContent-Length: 5\r\n\r\nhello",
        POST + CHUNKED + b"\r\n0\r\nX Y\r\n\r\n",
        POST + b"X: 1\r\n 2\r\n\r\n",
        POST + b"X: 1\r\n\t2\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET /echo HTTP/1.1\nHost: a\n\n",
        b"GET /echo HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n\r\n",
        b"GET /echo\r\n\r\n",
        b"CONNECT /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_request_that_others_may_end_elsewhere_is_refused(quick: Worker, request_: bytes) -> None:
    talk = quick.talk(request_ + SMUGGLED)
    assert talk.statuses == [400]
    assert b"\r\nconnection: close\r\n" in talk.text


@pytest.mark.parametrize(
    "body", [b"Content-Length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED), CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_an_upgrade_that_is_ignored_leaves_the_body_a_body(quick: Worker, body: bytes) -> None:
    """Java's own client asks for HTTP/2 so, with every request; and a gateway may let it pass."""
    upgrade = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
    end = body.index(b"\r\n\r\n") + 4
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for parts in ([upgrade + body[:end], body[end:], last], [upgrade + body + last], [(upgrade + body) * 3 + last]):
        talk = quick.talk(*parts, pause=0.05)
        assert talk.statuses == [200] * (b"".join(parts).count(b"h2c") + 1)
        assert b"\r\n\r\n" + (SMUGGLED if b"smuggled" in body else b"hello") in talk.text


def test_a_trailer_is_no_header(quick: Worker) -> None:
    """Nobody on the way here has looked at it (RFC 9110 §6.5.1)."""
    head = b"POST /headers HTTP/1.1\r\n" + HOST + CHUNKED
    request = head + b"\r\n5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nHost: b\r\n\r\n"
    talk = quick.talk(request + head + b"Connection: close\r\n\r\n0\r\n\r\n")
    assert talk.statuses == [200, 200]
    assert b"authorization" not in talk.text


# --- Many


def test_beyond_the_cap_the_longest_idle_one_makes_room_and_else_the_new_one_is_turned_away(tmp_path: Path) -> None:
    last = GET.replace(HOST, HOST + b"Connection: close\r\n")
    with working(tmp_path / "log", connections=4, sweep_s=0.1) as worker, ExitStack() as stack:

        def come() -> socket.socket:
            client = stack.enter_context(worker.connect())
            client.sendall(GET)
            hear(client, b"\r\n\r\n")
            return client

        clients = []
        for _ in range(4):
            clients.append(come())
            time.sleep(0.3)
        clients[0].sendall(b"G")  # it was the first, and is at work again
        clients.append(come())
        assert listen(clients.pop(1)).text == b""
        for client in clients[1:]:
            client.sendall(b"G")
        time.sleep(0.3)
        for _ in range(3):
            talk = worker.talk()
            assert talk.statuses == [503]
            assert b"\r\nretry-after: 1\r\n" in talk.text
            assert talk.seconds < 5
        clients[0].sendall(last[1:])
        assert listen(clients[0]).statuses == [200]
        assert worker.talk(last).statuses == [200]
    (line,) = (line for line in map(json.loads, worker.log.read_text().splitlines()) if line["level"] == "warning")
    assert line["message"] == "connections are turned away"
    assert (line["limit"], line["turned_away_address"]) == (4, 0)
    assert line["turned_away_full"] >= 1  # as many as there were when the sweep came by


def test_one_address_gets_its_share_and_no_more_unless_it_is_a_trusted_proxy(tmp_path: Path) -> None:
    for trusted, statuses in (("", [429]), ("127.0.0.2/32, 10.0.0.0/8", [429]), ("127.0.0.0/8", [])):
        with working(tmp_path / "log", trusted=trusted, per_address=3, head_s=5.0) as worker, ExitStack() as stack:
            first = [stack.enter_context(worker.connect()) for _ in range(3)]
            time.sleep(0.3)
            talk = worker.talk()
            assert talk.statuses == statuses
            assert (b"\r\nretry-after: 1\r\n" in talk.text) == bool(statuses)
            first.pop().close()
            time.sleep(0.3)
            assert worker.talk(GET.replace(HOST, HOST + b"Connection: close\r\n")).statuses == [200]
            with socket.create_connection(("127.0.0.1", worker.port), source_address=("127.0.0.9", 0)) as neighbour:
                neighbour.sendall(GET)
                assert hear(neighbour, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


class _Busy:
    """A connection that is never idle."""

    age = 0.0
    is_idle = False
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def look(self) -> None:
        """Nothing to see."""


async def test_an_address_of_v6_is_its_network_and_one_of_v4_in_its_clothes_is_v4() -> None:
    refused: list[str] = []
    guard = Guard(Limits(per_address=1, connections=5), exempt=[ip_network("fd00::/8")], on_refused=refused.append)
    peers: list[object] = [
        ("2001:db8::1", 1, 0, 0), ("192.0.2.1", 1), "", None, ("fd00::1", 1, 0, 0),  # all have room
        ("2001:db8::ffff:2", 2, 0, 0), ("::ffff:192.0.2.1", 2, 0, 0), ("192.0.2.1", 3),  # the second from there
        ("fd00::1", 2, 0, 0), ("2001:db8:0:1::1", 1, 0, 0),  # would have room, if there were any
    ]  # fmt: skip
    connections = [_Busy() for _ in peers]
    told = [guard.find_objection(each, peer) for each, peer in zip(connections, peers, strict=True)]
    assert told == [None] * 5 + [ADDRESS] * 3 + [FULL] * 2
    assert refused == [ADDRESS] * 3 + [FULL] * 2
    for each in (*connections, *connections):  # also those that were never let in, and twice
        guard.forget(each)
    assert guard.find_objection(connections[0], ("192.0.2.1", 4)) is None
    assert not guard._held.keys() - {"192.0.2.1/32"}
    guard.forget(connections[0])


def test_the_worker_may_open_as_many_files_as_its_connections_need() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
        assert fit(Limits(connections=1_500)).connections == 1_500
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1_500 + SPARE_FILES
        assert fit(Limits(connections=hard)).connections == hard - SPARE_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_thousands_of_dripping_sockets_do_not_keep_a_new_client_waiting(tmp_path: Path) -> None:
    """ATK-94."""
    soft, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * DRIPPING)), hard))
    count = min(DRIPPING, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)
    try:
        with working(tmp_path / "log", head_s=3.0, body_s=3.0, per_address=4_000) as worker, ExitStack() as stack:
            asking = stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{worker.port}", timeout=1.0))
            waited = []

            def ask() -> None:
                begun = time.monotonic()
                assert asking.get("/echo", headers={"connection": "close"}).status_code == 200
                waited.append(time.monotonic() - begun)

            clients = []
            for number in range(count):
                clients.append(stack.enter_context(worker.connect()))
                clients[-1].sendall((b"", b"GET /", POST + b"Content-Length: 1000\r\n\r\n")[number % 3])
                if number % 200 == 0:
                    ask()
            begun = time.monotonic()
            while time.monotonic() - begun < 2.0:
                for number, client in enumerate(clients):
                    if number % 3:
                        with suppress(ConnectionError):
                            client.send(b"x")
                ask()
            assert max(waited) < 1.0
            for client in clients:
                assert listen(client).statuses in ([], [408])
            assert time.monotonic() - begun < 3.0 + 2 * LATE_S
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- Who hangs up (ATK-95)


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    pools = {"AUTHSVC_DATABASE_POOL": "2", "AUTHSVC_INTROSPECTION_POOL": "1"}
    with serving(database_url, tmp_path / "log", **pools) as service:
        yield service


async def test_clients_that_hang_up_leave_nothing_behind(service: Service) -> None:
    auth = service.client()
    token = service.token(auth)
    (pid,) = (pid for pid in children_of(service.process.pid) if listens_on(pid, service.base))

    async with httpx2.AsyncClient(base_url=service.base, auth=auth, timeout=5) as http:

        async def use_every_slot() -> None:
            form = {"grant_type": "client_credentials"}
            minting = [http.post("/oauth2/token", data=form) for _ in range(20)]
            revoking = [http.post("/oauth2/revoke", data={"token": token + "x"}) for _ in range(20)]
            asking = [http.post("/oauth2/introspect", data={"token": token}) for _ in range(20)]
            assert {each.status_code for each in await asyncio.gather(*minting, *revoking, *asking)} == {200}

        await use_every_slot()
        files = count_files(pid)  # with the connections of this client

        chance = random.Random(95)
        basic = b"Authorization: Basic " + b64encode(":".join(auth).encode()) + b"\r\n"
        calls = [("token", b"grant_type=client_credentials"), ("introspect", b"token=" + token.encode())]

        def call() -> bytes:
            path, form = chance.choice(calls)
            head = b"POST /oauth2/%b HTTP/1.1\r\n" % path.encode() + HOST + basic
            head += b"Content-Type: application/x-www-form-urlencoded\r\n"
            if chance.random() < 0.5:
                return head + CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(form), form)
            return head + b"Content-Length: %d\r\n\r\n" % len(form) + form

        async def hang_up(times: int) -> None:
            for _ in range(times):
                text = call() * chance.choice((1, 1, 2, 10))
                await abort(service.base, text[: chance.choice((len(text), chance.randrange(len(text))))], chance)

        await asyncio.gather(*(hang_up(ABORTS // 20) for _ in range(20)))
        await use_every_slot()
        async with asyncio.timeout(PATIENCE_S):
            while count_files(pid) > files:
                await asyncio.sleep(0.1)
    assert "Traceback" not in service.log.read_text()
    assert not [line for line in service.log_lines() if line["level"] in ("warning", "error")]


async def abort(base: str, text: bytes, chance: random.Random) -> None:
    """Send this, wait for a moment or for a piece of the answer, and reset the connection."""
    with socket.socket() as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", int(base.rpartition(":")[2])))
        await loop.sock_sendall(client, text)
        with suppress(TimeoutError):
            async with asyncio.timeout(chance.random() * 0.02):
                await loop.sock_recv(client, 100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def listens_on(pid: int, base: str) -> bool:
    """Whether this process holds the socket that listens there."""
    port = int(base.rpartition(":")[2])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = (line[9] for line in lines if line[3] == "0A" and int(line[1].rpartition(":")[2], 16) == port)
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    return f"socket:[{inode}]" in links


# --- Stopping


def test_nobody_who_is_slow_holds_up_the_end_of_a_worker(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"stop_s": 1.0, "leave_s": 0.5, "sweep_s": 0.1}
    with working(tmp_path / "log", **limits) as worker, ExitStack() as stack:
        clients = [stack.enter_context(worker.connect(buffer=4_096)) for _ in range(6)]
        silent, head, body, deaf, leaving, honest = clients
        head.sendall(b"GET /ec")
        body.sendall(POST + b"Content-Length: 1000\r\n\r\nx")
        deaf.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n")
        leaving.sendall(b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nx")
        honest.sendall(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        time.sleep(0.3)
        begun = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - begun < 1.5 + 2 * LATE_S
        assert listen(honest).text.endswith(b"done")
        assert listen(body).statuses == [408]
        assert listen(silent).text == listen(head).text == b""


if __name__ == "__main__":
    main()
