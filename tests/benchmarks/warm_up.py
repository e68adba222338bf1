"""`python -m tests.benchmarks.warm_up [MARKS]`: how long it takes to fill an empty Redis with every mark.

By the service's own warm-up, between stores of its own on this machine. What it takes Redis and PostgreSQL alone is
told beside it: they work at the same time.
"""

import asyncio
import sys
from time import perf_counter

import click
import redis

from authsvc.flows.warm_up import PAGE
from authsvc.migrate import migrate
from authsvc.tables import revocations
from tests.flows.nodes import node_on, set_many
from tests.house_of import FakeClock
from tests.stores import running_stores


async def measure(database_url: str, redis_url: str, marks: int) -> None:
    async with node_on(database_url, redis_url, FakeClock()) as node:
        await set_many(node, marks)
        await node.db.execute("ANALYZE auth.token_blacklist")
        started, after = perf_counter(), ""
        while page := await revocations.read_marks(node.db, after=after, limit=PAGE):
            after = page[1]
        read = perf_counter() - started
        started = perf_counter()
        await node.fill()
        took = perf_counter() - started
    with redis.Redis.from_url(redis_url) as server:
        calls = server.info("commandstats")["cmdstat_fcall"]
    click.echo(
        f"{marks} marks: {took:.2f} s; of it busy Redis {calls['usec'] / 1e6:.2f} s; PostgreSQL alone {read:.2f} s"
    )


def main() -> None:
    marks = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with running_stores() as stores:
        asyncio.run(migrate(stores.database_url))
        asyncio.run(measure(stores.database_url, stores.redis_url, marks))


if __name__ == "__main__":
    main()
