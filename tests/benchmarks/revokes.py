"""`python -m tests.benchmarks.revokes [TOKENS]`: how long a revoke takes, and how long while Redis is in doubt.

One after the other, on one connection, to `authsvc serve --workers 2`, with 100 introspections a second beside them;
each token is asked about right after. PostgreSQL writes to the disk before it answers. On stores of its own.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread

import click
import msgspec

from authsvc.migrate import migrate
from tests.benchmarks.traffic import Connection, WrongAnswer, post
from tests.caches.own_server import OwnServer, own_servers
from tests.journeys.service import Service, serving
from tests.stores import running_stores

CALLERS, PAUSE_SECONDS = 4, 0.04
IN_DOUBT = 50
SETTLED_SECONDS = 7
"""After the start: then no lease is left from before Redis was filled."""

Auth = tuple[str, str]


@contextmanager
def asking(port: int, request: bytes) -> Iterator[None]:
    """Others ask about a live token meanwhile."""
    is_over = Event()

    def ask_on() -> None:
        with Connection(port) as connection:
            while not is_over.wait(PAUSE_SECONDS):
                status, body = connection.ask(request)
                if status != 200 or b'"active":true' not in body:
                    raise WrongAnswer("a live token is told to be dead")

    threads = [Thread(target=ask_on) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def revoke(connection: Connection, owner: Auth, watcher: Auth, tokens: Sequence[str]) -> list[float]:
    """How long each took, in milliseconds; one that was answered with 503, until it was answered otherwise."""
    took = []
    for token in tokens:
        request, began = post("/oauth2/revoke", {"token": token}, owner), time.perf_counter()
        while connection.ask(request)[0] != 200:
            pass
        took.append(1000 * (time.perf_counter() - began))
        if b'"active":false' not in connection.ask(post("/oauth2/introspect", {"token": token}, watcher))[1]:
            raise WrongAnswer("a revoked token is told to be live")
    return took


def measure(service: Service, server: OwnServer, many: int) -> None:
    owner, watcher = service.client(), service.client("--introspect", "any")
    port = int(service.base.rpartition(":")[2])
    minting = post("/oauth2/token", {"grant_type": "client_credentials"}, owner)
    with Connection(port) as connection:
        answers = [connection.ask(minting)[1] for _ in range(1 + many + 2 * IN_DOUBT)]
        live, *tokens = [msgspec.json.decode(answer)["access_token"] for answer in answers]
        time.sleep(SETTLED_SECONDS)
        with asking(port, post("/oauth2/introspect", {"token": live}, watcher)):
            warm, tokens = tokens[:IN_DOUBT], tokens[IN_DOUBT:]
            revoke(connection, owner, watcher, warm)
            tell("Redis trusted", revoke(connection, owner, watcher, tokens[:many]))
            server.kill()
            first, *later = tokens[many:]
            tell("Redis killed, the first", revoke(connection, owner, watcher, [first]))
            tell("Redis killed, those after it", revoke(connection, owner, watcher, later))


def tell(what: str, took: Sequence[float]) -> None:
    cuts = quantiles(took, n=100, method="inclusive") if len(took) > 1 else [*took] * 99
    click.echo(f"{what}: {len(took)}, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, longest {max(took):.1f} ms")


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with running_stores() as stores, own_servers() as (server,), tempfile.TemporaryDirectory() as directory:
        asyncio.run(migrate(stores.database_url))
        settings = {"AUTHSVC_REDIS_URL": server.url}
        with serving(stores.database_url, Path(directory) / "log", "--workers", "2", **settings) as service:
            measure(service, server, many)


if __name__ == "__main__":
    main()
