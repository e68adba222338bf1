"""A client's server, which is told of logouts: what it is told, and how it behaves."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

HANG = "hang"
"""Takes the request, and says nothing for as long as the receiver is there."""
DROP = "drop"
"""Hangs up."""
LATE = "late"
"""Is fine with it, after a while."""
LATE_SECONDS = 0.5

Behaviour = int | str
"""A status, or one of these."""


@dataclass(frozen=True)
class Told:
    path: str
    form: dict[str, list[str]]
    content_type: str
    heard_at: float = field(default_factory=time.monotonic)

    @property
    def token(self) -> str:
        (token,) = self.form["logout_token"]
        return token


@dataclass
class Receiver:
    port: int
    told: list[Told] = field(default_factory=list)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By path. Others are fine with what they are told."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    over: threading.Event = field(default_factory=threading.Event)

    def uri(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Told]:
        with self.changed:
            return [each for each in self.told if each.path == path]

    def wait_for(self, path: str, many: int = 1, seconds: float = 30) -> list[Told]:
        """Until that much has been told there."""
        ends = time.monotonic() + seconds
        with self.changed:
            while len(found := [each for each in self.told if each.path == path]) < many:
                assert self.changed.wait(ends - time.monotonic()), f"{path} was told {len(found)} times"
            return found

    def hear(self, told: Told) -> Behaviour:
        with self.changed:
            self.told.append(told)
            self.changed.notify_all()
            return self.behaviours.get(told.path, 200)


@contextmanager
def receiving(certificate: tuple[Path, Path], port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told = Told(self.path, parse_qs(body.decode(), strict_parsing=True), self.headers["content-type"])
            behaviour = receiver.hear(told)
            if behaviour == HANG:
                receiver.over.wait()
            if behaviour == LATE:
                receiver.over.wait(LATE_SECONDS)
                behaviour = 200
            if isinstance(behaviour, int):
                self.send_response(behaviour)
                self.send_header("content-length", "0")
                self.end_headers()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    with _Server(("127.0.0.1", port), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever talks to it may be killed."""
