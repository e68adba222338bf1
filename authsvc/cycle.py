"""One request and its answer on a guarded connection: uvicorn's own, with complete answers written at one go.

uvicorn writes the head header by header, each looked at by two patterns, and the body after it: a fifth of what an
introspection costs. An answer that is complete when its head is sent needs none of that.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from authsvc.web.responses import LINES, Headers, render

EXTENSIONS: dict[str, dict[object, object]] = {LINES: {}}
"""What is understood here beyond plain ASGI."""


class Cycle(RequestResponseCycle):
    _start: Any = None
    """The beginning of the answer, until something of its body comes."""

    async def send(self, message: Any) -> None:
        start = self._start
        if start is None:
            if message["type"] == "http.response.start" and not self.response_started:
                self._start = message
            else:
                await super().send(message)
            return
        self._start = None
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        body = message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body") and self._fits(start, body):
            self._answer(start, body)
        else:
            await super().send(_without_lines(start))
            await super().send(message)

    def _fits(self, start: Any, body: bytes) -> bool:
        """Whether the body is as long as the head says, which says nothing about the connection."""
        named: dict[bytes, bytes] = dict(start["headers"])
        if b"connection" in named or b"transfer-encoding" in named:
            return False
        if start["status"] in {204, 304}:
            return not body and b"content-length" not in named
        length = named.get(b"content-length")
        return length is not None and (self.scope["method"] == "HEAD" or length == b"%d" % len(body))

    def _answer(self, start: Any, body: bytes) -> None:
        headers = start["headers"]
        varying = render(headers)
        # Names are the code's own; a value may come from outside, and must stay on its line.
        if varying.count(b"\r") != len(headers) or varying.count(b"\n") != len(headers) or b"\0" in varying:
            raise RuntimeError("a header does not stay on its line")
        self.write(start["status"], start.get("lines", b"") + varying, b"" if self.scope["method"] == "HEAD" else body)

    def start(self) -> None:
        """Have the application answer it after all, of which it does not know yet."""
        self.transport.start(self)  # type: ignore[attr-defined] # a guarded protocol that offers

    def write(self, status: int, lines: bytes, body: bytes) -> None:
        """The whole answer. `lines` are its headers, rendered: the length of the body is among them."""
        if self.disconnected:
            return
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], _render_default(self.default_headers), lines, end, body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _without_lines(start: Any) -> Any:
    """As any server understands it."""
    if "lines" not in start:
        return start
    parsed = [tuple(line.split(b": ", 1)) for line in start["lines"].split(b"\r\n") if line]
    return {"type": start["type"], "status": start["status"], "headers": [*parsed, *start["headers"]]}


class _Default:
    """uvicorn makes a new list of them each second, for the date."""

    headers: Headers | None = None
    rendered = b""


def _render_default(headers: Headers) -> bytes:
    if _Default.headers is not headers:
        _Default.headers, _Default.rendered = headers, render(headers)
    return _Default.rendered
