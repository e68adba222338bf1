"""The demo website as a process of its own beside the service, and what `authsvc dev` holds of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn

from authsvc.child import Server, spawn
from authsvc.demo.registration import Registration
from authsvc.logs import uvicorn_config
from authsvc.settings import Settings

GOODBYE_S = 1


def run(listener: socket, registration: Registration, log_level: str) -> None:
    """Serve until SIGTERM."""
    from authsvc.demo.site import build_site

    for chatty in ("authlib", "httpx2"):  # what they send is secret, or nobody's concern
        logging.getLogger(chatty).setLevel(logging.WARNING)
    config = uvicorn.Config(
        build_site(registration),
        ws="none",
        lifespan="off",
        log_config=uvicorn_config(log_level),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GOODBYE_S,
    )
    Server(config).run(sockets=[listener])


@contextmanager
def running(listener: socket, registration: Registration, settings: Settings) -> Iterator[None]:
    """It answers, in this block; who comes before it has started waits in the queue of the listener."""
    process = spawn(settings, run, listener, registration, settings.log_level)
    try:
        yield
    finally:
        process.terminate()
        process.join(3 * GOODBYE_S)
        process.kill()
        process.join()
