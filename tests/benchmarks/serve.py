"""One server process with one worker: `python -m tests.benchmarks.serve FACTORY KIND SOCKET_FD`.

KIND `worker`: the service, as its own worker runs it. `bare`: a ceiling, on the same uvicorn with the same options,
without what the worker puts around them.
"""

import os
import socket
import sys
from multiprocessing.connection import Connection

import uvicorn

_STOP_SECONDS = 2


def _serve_bare(factory: str, listener: socket.socket) -> None:
    config = uvicorn.Config(
        factory,
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _serve_as_worker(factory: str, listener: socket.socket) -> None:
    from authsvc import worker  # not for the ceilings: they hold nothing of ours
    from authsvc.settings import load

    _, pulse = os.pipe()
    worker.run([listener], Connection(pulse, readable=False), factory, load(os.environ), _STOP_SECONDS)


if __name__ == "__main__":
    factory, kind, fd = sys.argv[1:]
    serve = _serve_as_worker if kind == "worker" else _serve_bare
    serve(factory, socket.socket(fileno=int(fd)))
