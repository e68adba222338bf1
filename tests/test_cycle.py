"""Answers written at one go are, byte for byte, those that uvicorn writes piece by piece."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from authsvc.cycle import Cycle
from authsvc.web.responses import Answer, Prepared, json_bytes

JSON = (b"content-type", b"application/json")
DATE = [(b"date", b"Sun, 22 Nov 2026 22:33:31 GMT")]


class Socket(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Exchange:
    """One request, on a cycle of this kind."""

    def __init__(self, kind: type[RequestResponseCycle], method: str = "GET", *, keep_alive: bool = True) -> None:
        self.socket = Socket()
        self.answered = 0
        self.flow = FlowControl(self.socket)
        self.cycle = kind(
            scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
            transport=self.socket,
            flow=self.flow,
            logger=logging.getLogger("test"),
            access_logger=logging.getLogger("test"),
            access_log=False,
            default_headers=DATE,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self._count,
        )

    def _count(self) -> None:
        self.answered += 1

    async def send(self, *messages: Any) -> str:
        """What went wrong, if anything did."""
        try:
            for message in messages:
                await self.cycle.send(message)
        except RuntimeError as error:
            return type(error).__name__
        return ""

    @property
    def outcome(self) -> tuple[object, ...]:
        return (
            b"".join(self.socket.writes), self.socket.is_closed, self.answered, self.cycle.response_complete,
            self.cycle.message_event.is_set(),
        )  # fmt: skip


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(text: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": more}


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % number


ANSWERS: dict[str, list[Any]] = {
    "complete": [start(200, JSON, length(2)), body(b"{}")],
    "empty": [start(200, length(0)), body(b"")],
    "a body without the word": [start(200, length(0)), {"type": "http.response.body"}],
    "204": [start(204, (b"pragma", b"no-cache")), body(b"")],
    "304": [start(304, (b"etag", b'"x"')), body(b"")],
    "in pieces": [start(200, length(4)), body(b"ab", True), body(b"cd")],
    "in chunks": [start(200, JSON), body(b"ab", True), body(b"cd", True), body(b"")],
    "without a length": [start(200, JSON), body(b"abcd")],
    "that closes": [start(200, (b"connection", b"close"), length(2)), body(b"ab")],
}


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("messages", ANSWERS.values(), ids=ANSWERS)
async def test_the_same_is_written(messages: list[Any], method: str, keep_alive: bool) -> None:
    ours, theirs = (Exchange(kind, method, keep_alive=keep_alive) for kind in (Cycle, RequestResponseCycle))
    assert await ours.send(*messages) == await theirs.send(*messages) == ""
    assert ours.outcome == theirs.outcome
    assert ours.answered == 1


@pytest.mark.parametrize("number", [1, 3])
async def test_a_length_that_lies_is_no_answer(number: int) -> None:
    ours, theirs = Exchange(Cycle), Exchange(RequestResponseCycle)
    for exchange in (ours, theirs):
        assert await exchange.send(start(200, length(number)), body(b"ab")) == "RuntimeError"
    assert ours.outcome == theirs.outcome
    assert ours.answered == 0


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_no_header_leaves_its_line(value: bytes) -> None:
    exchange = Exchange(Cycle)
    assert await exchange.send(start(200, (b"x", value), length(0)), body(b"")) == "RuntimeError"
    assert exchange.socket.writes == []


async def test_a_complete_answer_is_one_write() -> None:
    exchange = Exchange(Cycle)
    await exchange.send(*ANSWERS["complete"])
    assert len(exchange.socket.writes) == 1
    assert await exchange.send(body(b"more")) == "RuntimeError"


async def test_prepared_lines_say_what_headers_do() -> None:
    """Where a server takes them, and where it does not; and where the answer turns out not to be complete."""
    prepared = Prepared(JSON, (b"cache-control", b"no-store"))
    expected = Exchange(RequestResponseCycle)
    await expected.send(start(200, *prepared.headers, length(2)), body(b"{}"))
    ours = Exchange(Cycle)
    lines = {**start(200, length(2)), "lines": prepared.lines}
    await ours.send(lines, body(b"{}"))
    assert ours.outcome == expected.outcome

    pieces = Exchange(Cycle)
    await pieces.send(lines, body(b"{", True), body(b"}"))
    assert b"".join(pieces.socket.writes) == b"".join(expected.socket.writes)


async def test_an_answer_says_the_same_to_every_server() -> None:
    answer: Answer = json_bytes(b"{}", 401, [(b"www-authenticate", b"Basic")])
    told = []
    scopes: list[dict[str, Any]] = [{}, {"extensions": {"authsvc.lines": {}}}]
    for more in scopes:
        exchange = Exchange(Cycle)
        await answer({"type": "http", "method": "GET", **more}, exchange.cycle.receive, exchange.cycle.send)  # type: ignore[arg-type]
        head, _, text = b"".join(exchange.socket.writes).partition(b"\r\n\r\n")
        told.append((sorted(head.split(b"\r\n")), text))
    assert told[0] == told[1]
    assert b"www-authenticate: Basic" in told[0][0]


async def test_who_does_not_read_is_waited_for_and_who_is_gone_is_not_written_to() -> None:
    exchange = Exchange(Cycle)
    exchange.flow.pause_writing()
    task = asyncio.create_task(exchange.send(*ANSWERS["complete"]))
    await asyncio.sleep(0)
    assert exchange.socket.writes == []
    exchange.cycle.disconnected = True
    exchange.flow.resume_writing()
    assert await task == ""
    assert exchange.socket.writes == []
