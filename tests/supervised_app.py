"""A service small enough to watch its supervisor with: `python -m tests.supervised_app '{...}'`.

The test kills it, so what it promises is told through files and pipes: one line on stdout when every worker is ready.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from authsvc import logs
from authsvc.errors import ConfigurationError
from authsvc.metrics import Metrics
from authsvc.settings import Settings
from authsvc.supervisor import ServeOptions, serve

SETTINGS = Settings(issuer="http://localhost", database_url="postgresql://localhost/none", master_key="none")


def create_app() -> Starlette:
    metrics = Metrics(CollectorRegistry())
    metrics.requests_in_progress.set(1)  # one for each worker that lives

    async def pid(_: Request) -> Response:
        metrics.introspections["active"].inc()
        return PlainTextResponse(str(os.getpid()))

    async def slow(request: Request) -> Response:
        await asyncio.sleep(float(request.query_params["seconds"]))
        return PlainTextResponse("done")

    async def block(request: Request) -> Response:
        time.sleep(float(request.query_params["seconds"]))
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/pid", pid), Route("/slow", slow), Route("/block", block)])


def create_broken_app() -> Starlette:
    """Fails at each start, and leaves a trace of it."""
    with Path(os.environ["TRACE"]).open("a") as trace:
        trace.write(f"{time.monotonic()}\n")
    raise RuntimeError("this application cannot be made")


def create_breakable_app() -> Starlette:
    """Fails once a file is there."""
    if Path(os.environ["TRACE"]).exists():
        raise RuntimeError("this application cannot be made any more")
    return create_app()


@asynccontextmanager
async def open_readiness(_: Settings) -> AsyncIterator[Callable[[], Awaitable[Sequence[str]]]]:
    async def faults() -> Sequence[str]:
        return []

    yield faults


def main() -> int:
    logs.configure(SETTINGS.log_level, SETTINGS.log_format)
    options = ServeOptions(
        host="127.0.0.1",
        management_host="127.0.0.1",
        metrics_dir=os.environ["PROMETHEUS_MULTIPROC_DIR"],
        probe="tests.supervised_app:open_readiness",
        on_ready=lambda: print("ready", flush=True),  # noqa: T201
        **json.loads(sys.argv[1]),
    )
    try:
        return serve(options, SETTINGS)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
