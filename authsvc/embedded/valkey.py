"""Valkey, or Redis: started with nothing to keep, asked whether it is up, stopped."""

import signal
import socket
from contextlib import suppress
from pathlib import Path

from authsvc.embedded.places import Place
from authsvc.embedded.process import Answer, Server

LOG = "valkey.log"
_ASK_S = 2.0


def start(server: Server, program: Path, place: Place) -> None:
    """Answers when this returns. It listens on no port and writes nothing to disk: what it holds may be lost."""
    place.give(place.valkey)
    settings = {
        "port": "0",
        "unixsocket": str(place.valkey_socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
    }
    server.launch(
        [program, *(part for name, value in settings.items() for part in (f"--{name}", value))],
        lambda: ask(place),
        parting=signal.SIGTERM,
        directory=place.valkey,
    )


def stop(server: Server) -> None:
    server.stop(signal.SIGTERM)


def ask(place: Place) -> Answer:
    """Says PING."""
    reply = b""
    with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
        knock.settimeout(_ASK_S)
        knock.connect(str(place.valkey_socket))
        knock.sendall(b"PING\r\n")
        reply = knock.recv(64)
    if reply.startswith(b"+PONG"):
        return Answer.READY
    return Answer.BUSY if reply.startswith(b"-LOADING") else Answer.NOTHING
