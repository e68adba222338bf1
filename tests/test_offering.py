"""What is offered before a task begins, and what is not; and that nobody but the taker can tell."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from authsvc.admission import Guard, Limits
from authsvc.guard import guarded
from authsvc.offering import MAX_BODY_BYTES, OfferingProtocol
from authsvc.web.at_once import Unstarted

HEAD = b"POST /ask HTTP/1.1\r\nhost: a\r\n"
LINES = b"content-length: 5\r\nx-by: taker\r\n"


def post(body: bytes, *lines: bytes, head: bytes = HEAD) -> bytes:
    more = b"".join(line + b"\r\n" for line in lines)
    return b"%bcontent-length: %d\r\n%b\r\n%b" % (head, len(body), more, body)


class Socket(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def can_write_eof(self) -> bool:
        return False


class Asker:
    """Takes what is posted to /ask, or what it has a mind to; answers at once, or later."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.offered: list[bytes] = []
        self.waiting: list[Unstarted] = []
        self.takes: Callable[[Unstarted], bool] = self.take

    def __call__(self, request: Unstarted) -> bool:
        self.offered.append(bytes(request.body))
        return self.takes(request)

    def take(self, request: Unstarted) -> bool:
        request.write(200, LINES, b"taken")
        return True

    def take_later(self, request: Unstarted) -> bool:
        self.waiting.append(request)
        return True


class Server:
    """One connection to an application that tells the body back."""

    def __init__(self) -> None:
        self.asker, self.getter = Asker("POST"), Asker("GET")
        self.started: list[bytes] = []
        config = uvicorn.Config(
            self._app, interface="asgi3", ws="none", lifespan="off", log_config=None, proxy_headers=False
        )
        config.load()
        state = {"at_once": {b"/ask": self.asker, b"/get": self.getter}}
        kind = guarded(Guard(Limits()), OfferingProtocol)
        self.protocol = kind(config, ServerState(), state, asyncio.get_running_loop())
        self.socket = Socket()
        self.protocol.connection_made(self.socket)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.started.append(body)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length, (b"x-by", b"app")]})
        await send({"type": "http.response.body", "body": body})

    async def read(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            self.protocol.data_received(piece)
            for _ in range(5):
                await asyncio.sleep(0)
        written, self.socket.written = self.socket.written, b""
        return written


@pytest.fixture
async def server() -> Server:
    return Server()


TAKEN = b"HTTP/1.1 200 OK\r\n" + LINES + b"\r\ntaken"


# --- What is offered


async def test_a_request_is_offered_when_it_has_come_whole_and_starts_nothing(server: Server) -> None:
    assert await server.read(post(b"token=x")) == TAKEN
    assert (server.asker.offered, server.started) == ([b"token=x"], [])
    assert not server.socket.is_closed


async def test_it_may_come_in_any_pieces(server: Server) -> None:
    whole = post(b"token=x")
    assert await server.read(*(whole[at : at + 1] for at in range(len(whole)))) == TAKEN
    for cut in range(1, len(whole)):
        assert await server.read(whole[:cut], whole[cut:]) == TAKEN
    assert server.started == []


async def test_many_follow_each_other_on_one_connection(server: Server) -> None:
    for number in range(5):
        assert await server.read(post(b"%d" % number)) == TAKEN
    assert server.asker.offered == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_document_is_offered_too(server: Server) -> None:
    assert await server.read(b"GET /get HTTP/1.1\r\nhost: a\r\n\r\n") == TAKEN
    assert (server.getter.offered, server.started) == ([b""], [])


LONG = b"x" * (MAX_BODY_BYTES + 1)


@pytest.mark.parametrize(
    ("request_text", "body"),
    [
        (post(b"b", head=b"POST /other HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"POST /ask?x HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"POST /%61sk HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"PUT /ask HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"GET /ask HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"POST /get HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (post(b"b", head=b"GET /get HTTP/1.1\r\nhost: a\r\n"), b"b"),
        (b"HEAD /get HTTP/1.1\r\nhost: a\r\n\r\n", b""),
        (HEAD + b"\r\n", b""),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", b"b"),
        (b"GET /get HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", b"b"),
        (post(LONG), LONG),
    ],
    ids=[
        "another path", "a query", "a path in disguise", "PUT", "GET where it is POST", "POST where it is GET",
        "a document asked for with a body", "HEAD", "no length", "in chunks", "a document asked for in chunks", "long",
    ],
)  # fmt: skip
async def test_what_is_unusual_starts_the_application(server: Server, request_text: bytes, body: bytes) -> None:
    answer = await server.read(request_text)
    assert b"x-by: app" in answer
    assert server.started == [body]
    assert server.asker.offered == server.getter.offered == []


async def test_who_waits_to_be_told_to_go_on_is_told_by_the_application(server: Server) -> None:
    head, _, body = post(b"token=x", b"expect: 100-continue").partition(b"\r\n\r\n")
    assert await server.read(head + b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b"x-by: app" in await server.read(body)


async def test_what_nobody_takes_starts_the_application_with_all_of_it(server: Server) -> None:
    server.asker.takes = lambda request: False
    for cut in (1, 40, 60):
        whole = post(b"token=x")
        assert (await server.read(whole[:cut], whole[cut:])).endswith(b"token=x")
    assert server.started == [b"token=x"] * 3


async def test_a_taker_that_fails_leaves_it_to_the_application(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Unstarted) -> bool:
        raise LookupError

    server.asker.takes = fail
    assert (await server.read(post(b"token=x"))).endswith(b"token=x")
    assert [each.getMessage() for each in caplog.records] == ["a request could not be answered at once"]


# --- Answers that come later


async def test_what_was_taken_may_be_given_back(server: Server) -> None:
    server.asker.takes = server.asker.take_later
    assert await server.read(post(b"token=x")) == b""
    server.asker.waiting[0].start()
    assert (await server.read(b"")).endswith(b"token=x")
    assert server.started == [b"token=x"]

    server.asker.waiting.clear()
    await server.read(post(b"token=y"))
    server.protocol.connection_lost(None)
    server.asker.waiting[0].start()
    assert server.started == [b"token=x"]


async def test_an_answer_may_come_later_and_what_follows_waits_for_it(server: Server) -> None:
    server.asker.takes = server.asker.take_later
    other = post(b"next", head=b"POST /other HTTP/1.1\r\nhost: a\r\n")
    assert await server.read(post(b"first") + other) == b""
    assert server.started == []
    server.asker.waiting[0].write(200, LINES, b"taken")
    answers = await server.read(b"")
    assert answers.startswith(TAKEN)
    assert answers.endswith(b"next")


async def test_what_came_behind_another_one_is_answered_in_its_turn(server: Server) -> None:
    server.asker.takes = server.asker.take_later
    assert await server.read(post(b"first") + post(b"second")) == b""
    server.asker.waiting[0].write(200, LINES, b"taken")
    answers = await server.read(b"")
    assert answers.startswith(TAKEN)
    assert answers.endswith(b"second")


async def test_what_came_behind_is_not_taken_for_what_begins_behind_it(server: Server) -> None:
    """The third has just begun when the second's turn comes."""
    server.asker.takes = server.asker.take_later
    second = post(b"second", head=b"POST /other HTTP/1.1\r\nhost: a\r\n")
    third = post(b"third")
    written = await server.read(post(b"first") + second + third[:20])
    server.asker.waiting[0].write(200, LINES, b"taken")
    written += await server.read(third[20:], b"")
    assert server.asker.offered == [b"first"]
    assert server.started == [b"second", b"third"]
    assert written.startswith(TAKEN)
    assert written.index(b"second") < written.index(b"third")


async def test_who_has_hung_up_is_neither_offered_nor_answered(server: Server) -> None:
    whole = post(b"token=x")
    server.protocol.data_received(whole)
    server.protocol.connection_lost(None)
    assert await server.read() == b""
    assert (server.asker.offered, server.started) == ([], [])

    later = Server()
    later.asker.takes = later.asker.take_later
    await later.read(whole)
    later.protocol.connection_lost(None)
    later.asker.waiting[0].write(200, LINES, b"taken")
    assert later.socket.written == b""


async def test_who_wants_no_more_is_told_so_and_closed(server: Server) -> None:
    answer = await server.read(post(b"token=x", b"connection: close"))
    assert b"connection: close\r\n\r\ntaken" in answer
    assert server.socket.is_closed


async def test_a_server_that_stops_answers_what_has_begun_and_closes(server: Server) -> None:
    server.asker.takes = server.asker.take_later
    await server.read(post(b"token=x"))
    server.protocol.shutdown()
    assert not server.socket.is_closed
    server.asker.waiting[0].write(200, LINES, b"taken")
    assert b"connection: close" in await server.read()
    assert server.socket.is_closed


async def test_who_does_not_read_is_left_to_the_application(server: Server) -> None:
    """It waits until there is room."""
    server.protocol.pause_writing()
    assert await server.read(post(b"token=x")) == b""
    assert server.asker.offered == []
    server.protocol.resume_writing()
    assert b"x-by: app" in await server.read(b"")


async def test_a_body_that_does_not_come_whole_is_offered_to_nobody(server: Server) -> None:
    assert await server.read(post(b"token=x")[:-1]) == b""
    server.protocol.age = 1e6
    server.protocol.look()
    assert (await server.read()).startswith(b"HTTP/1.1 408 ")
    assert (server.asker.offered, server.started) == ([], [])
