"""Between the socket and uvicorn: who sends or reads slowly, too much, or ambiguously, holds nothing for long.

uvicorn on httptools has none of these limits. Nor does it end every request where others on the way here see its end:
see `_check_head` and `_without_upgrade`. What it does for each request is done here anew where it can be had for less.
"""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from authsvc.admission import ADDRESS, Guard
from authsvc.cycle import EXTENSIONS, Cycle

# Where the reading of a connection stands: not begun, for TLS comes first; between two requests, in a head, in a body;
# or it is over, and nothing that still comes is looked at. Plain numbers: a member of an Enum costs ten times as much.
_OUTSIDE, _BETWEEN, _HEAD, _BODY, _OVER = range(5)

_WATCHED = frozenset({b"expect", b"host", b"transfer-encoding"})


class _Refused(Exception):
    """With the status of the answer. Raised into the parser, which takes nothing more after it."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. To its answers it is the transport: they write straight through, and it closes with care."""

    guard: ClassVar[Guard]
    cycle: Cycle
    write: Callable[[bytes], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase = _OUTSIDE
        self.age = 0.0  # seconds that the client took in this phase; also those since its last answer
        self._stuck = 0.0  # seconds in which it did not take all that was written
        self._size = 0  # bytes of this request, but for a beginning that came with the end of an earlier one
        self._is_counted = True  # there was no such beginning
        self._hosts = 0
        self._codings: list[bytes] = []
        self._head_again = b""
        self._keep_alive = False  # as the request has it
        self._earlier: list[Cycle] = []  # those that were not answered when another one came

    # --- The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        objection = self.guard.find_objection(self, transport.get_extra_info("peername"))
        self._phase = _HEAD
        if objection is None:
            super().connection_made(transport)
            self.write = transport.write
        else:
            self.transport = transport
            transport.write(self._bare_answer(429 if objection == ADDRESS else 503, b"retry-after: 1\r\n"))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.forget(self)
        for cycle in self._owed():  # uvicorn tells the newest alone: an earlier one would write to a closed handle
            self._drop(cycle)
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment] # as at the beginning; each refers to the other
        self._earlier.clear()

    def shutdown(self) -> None:
        self.guard.hurry()
        self.age = 0.0
        self._keep_alive = False
        super().shutdown()

    @property
    def is_idle(self) -> bool:
        return self._phase == _BETWEEN and not self._owed() and not self.transport.is_closing()

    def look(self) -> None:
        """Called at each sweep."""
        limits = self.guard.limits
        if self._phase == _OUTSIDE:
            return  # the handshake has its own end
        self._stuck = self._stuck + limits.sweep_s if self.transport.get_write_buffer_size() else 0.0
        if self._stuck >= limits.answer_s:
            self.transport.abort()
            return
        if self.flow.read_paused or (self._phase == _OVER and self._owed()):
            return  # the client waits for us
        self.age += limits.sweep_s
        if self._phase == _BETWEEN:
            if self.age >= limits.idle_s and not self._owed():
                self.transport.close()
        elif self._phase == _OVER:
            if self.age >= limits.leave_s:
                self.transport.abort()
        elif self.age >= (limits.head_s if self._phase == _HEAD else limits.body_s):
            if self._size or not self._is_counted:
                self._refuse(408)
            else:  # nobody has asked anything
                self.transport.close()

    # --- Reading

    def data_received(self, data: bytes) -> None:
        limits = self.guard.limits
        if len(data) > limits.head_bytes:  # how much of it belongs to a head is known by the piece only
            for start in range(0, len(data), limits.head_bytes):
                self.data_received(data[start : start + limits.head_bytes])
            return
        self._size += len(data)
        if self._phase == _BETWEEN:
            self._phase, self.age, self._is_counted = _HEAD, 0.0, True
        elif self._phase == _OVER:
            if self._size > limits.request_bytes:
                self.transport.abort()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._size = 0
            self.data_received(self._head_again + data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.args[0] if isinstance(cause, _Refused) else 400)
        else:
            if self._phase == _HEAD and self._size > limits.head_bytes:
                self._refuse(431)
            elif self._phase == _BODY and self._size > limits.request_bytes:
                self._refuse(413)

    def on_url(self, url: bytes) -> None:
        self._phase = _HEAD  # also of a request that begins in the middle of what was read
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _WATCHED:
            if name == b"host":
                self._hosts += 1
            elif name == b"transfer-encoding":
                self._codings.append(value.lower())
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._check_head()
        if self.parser.should_upgrade():
            self._head_again = self._without_upgrade()
            return
        self._describe()
        self._begin(self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        # uvicorn would put trailers among the headers, where they pass for what a gateway has let through.
        self.headers = []
        self._phase, self.age = _BODY, 0.0

    def _describe(self) -> None:
        """The scope, as ASGI has it."""
        scope, url = self.scope, self.url
        scope["extensions"] = EXTENSIONS
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = self.parser.get_http_version()
        query = b""
        if not url.startswith(b"/") or b"?" in url or b"#" in url:  # else it is a path
            parsed = httptools.parse_url(url)
            url, query = parsed.path, parsed.query or b""
        path = url.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url
        scope["query_string"] = query

    def _begin(self, keep_alive: bool) -> None:
        """Have the request answered, when those before it have been."""
        earlier = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self,  # type: ignore[arg-type] # all of a transport that it uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=False,  # an answer that does not wait for the end of the body is the last one
            on_response=self.on_response_complete,
        )
        self._keep_alive = keep_alive
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, self.app)
            return
        self.flow.pause_reading()
        self.pipeline.appendleft((self.cycle, self.app))
        self._earlier = [*(each for each in self._earlier if not each.response_complete), earlier]

    def on_message_complete(self) -> None:
        self._hosts, self._codings = 0, []
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._phase, self.age, self._size, self._is_counted = _BETWEEN, 0.0, 0, False
        if not self.cycle.response_started:
            self.cycle.keep_alive = self._keep_alive

    def _check_head(self) -> None:
        """Whether it has a bearable size and, for everybody on the way here, the same end (RFC 9112 §3.2, §6.1)."""
        limits = self.guard.limits
        if (self._size > limits.head_bytes or not self._is_counted) and self._head_size() > limits.head_bytes:
            raise _Refused(431)
        if (self._hosts != 1 or self._codings) and not self._is_clear():
            raise _Refused(400)
        if len(self.pipeline) >= limits.waiting:
            raise _Refused(429)

    def _is_clear(self) -> bool:
        version = self.parser.get_http_version()
        if version == "1.1":
            return self._hosts == 1 and self._codings in ([], [b"chunked"])
        return version == "1.0" and self._hosts <= 1 and not self._codings

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _without_upgrade(self) -> bytes:
        """The head as it is taken here: an upgrade may be ignored (RFC 9110 §7.8), the body behind it must not be.

        The parser ends such a request with its head, and uvicorn takes the body for the next one.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise _Refused(400)
        start = b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())
        lines = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([start, *lines, b"", b""])

    # --- Answering

    def on_response_complete(self) -> None:
        """uvicorn's own sets a timer for each connection that is idle then; here the sweep sees to it."""
        self.server_state.total_requests += 1
        if self._phase == _BETWEEN:
            self.age = 0.0
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def is_closing(self) -> bool:
        return self._phase == _OVER or self.transport.is_closing()

    def close(self) -> None:
        """Nothing more is written. Who still sends gets to read first: the kernel would take back what was written."""
        if self._phase == _BETWEEN or self.transport.is_closing():
            self.transport.close()
            return
        self._phase, self._size, self.age = _OVER, 0, 0.0
        for cycle in self._owed():
            self._drop(cycle)
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():  # TLS cannot: who goes by the header `connection: close` leaves by itself
            self.transport.write_eof()

    def _refuse(self, status: int) -> None:
        """Answer what has just come, and close. What came before it is answered first, and is then the last."""
        has_begun = self._phase == _BODY and self.cycle.response_started
        if self._phase == _BODY:
            self._drop(self.cycle)
        self._phase = _OVER
        if owed := self._owed():
            owed[-1].keep_alive = False
            return
        if not has_begun:
            self.write(self._bare_answer(status))
        self.close()

    def _owed(self) -> list[Cycle]:
        """The requests that have come and have not been answered, in their order."""
        come = [*self._earlier, self.cycle] if self.cycle is not None else []
        return [each for each in come if not (each.response_complete or each.disconnected)]

    @staticmethod
    def _drop(cycle: Cycle) -> None:
        """To its application the client is gone."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _bare_answer(self, status: int, more: bytes = b"") -> bytes:
        headers = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        return b"".join([STATUS_LINE[status], *headers, more, b"content-length: 0\r\nconnection: close\r\n\r\n"])


def guarded(guard: Guard, protocol: type[GuardedProtocol] = GuardedProtocol) -> type[GuardedProtocol]:
    """What uvicorn is to be given as `http`. For one server."""
    return type("Guarded", (protocol,), {"guard": guard})
