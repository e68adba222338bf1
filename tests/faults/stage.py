"""Two nodes of two workers on one PostgreSQL and one Valkey, each node with a wire of its own to Valkey."""

import asyncio
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import msgspec

from authsvc.embedded.places import Place
from authsvc.migrate import migrate
from tests.faults.proxy import Wire, wire_to
from tests.faults.servers import Postgres, RedisServer, launch, send, wait_for
from tests.faults.sockets import holders
from tests.house_of import MASTER_KEY
from tests.journeys.service import children_of, clean_environment, free_port, is_alive
from tests.stores import embedded, prepared, programs

ISSUER = "https://auth.example"
NODES, WORKERS = 2, 2
LONGEST_LINE = 1500
SETTINGS = {
    "AUTHSVC_ISSUER": ISSUER,
    "AUTHSVC_MASTER_KEY": MASTER_KEY,
    "AUTHSVC_ACCESS_TOKEN_SECONDS": "3600",
    "AUTHSVC_KEY_ROTATION_DAYS": "0",
    # Everybody comes from one address here.
    "AUTHSVC_LOGIN_ATTEMPTS": "0",
    "AUTHSVC_LOGIN_ATTEMPTS_PER_ACCOUNT": "0",
    "AUTHSVC_LOGIN_ATTEMPTS_PER_ADDRESS": "0",
    "AUTHSVC_REGISTRATIONS_PER_ADDRESS": "0",
    "AUTHSVC_CLIENT_FAILURES": "0",
    "AUTHSVC_CLIENT_REQUESTS_PER_MINUTE": "0",
}
FORGETFUL = {"AUTHSVC_TOKEN_CACHE": "0"}
"""Of one node: a worker remembers who is dead, and that is no help in seeing what its stores say."""
_ASKED = re.compile(r'^authsvc_(?:mark_questions_total{path="(\w+)"}|cache_fences_total) ([0-9.e+]+)$', re.MULTILINE)
CLI = [sys.executable, "-m", "authsvc"]


@dataclass
class Node:
    name: str
    port: int
    management_port: int
    wire: Wire
    environ: dict[str, str]
    log: Path
    is_lamed: bool = False
    """Whether its workers do without a rule, or have more patience than others; see `lamed.py`."""
    process: Any = None

    def start(self) -> None:
        ports = ["--port", str(self.port), "--management-port", str(self.management_port)]
        command = [*CLI, "serve", *ports, "--workers", str(WORKERS), "--drain-seconds", "0"]
        if self.is_lamed:
            command = [sys.executable, "-m", "tests.faults.lamed", str(self.port), str(self.management_port)]
        self.process = launch(command, self.log, parting=signal.SIGTERM, env=self.environ)

    async def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        async with httpx2.AsyncClient(timeout=2) as http:
            with suppress(httpx2.HTTPError):
                return (await http.get(f"http://127.0.0.1:{self.management_port}/readyz")).status_code == 200
        return False

    async def until_ready(self) -> None:
        while not await self.is_ready():
            await asyncio.sleep(0.05)

    def workers(self) -> list[int]:
        """Those that hold the port; the others are helpers."""
        return holders(self.port, sorted(children_of(self.process.pid)))

    def who_connects_from(self, port: int) -> list[int]:
        """The worker at the other end of a connection."""
        return holders(port, self.workers())

    async def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            below = children_of(self.process.pid)
            send(below, signal.SIGCONT)
            send([self.process.pid], signal.SIGTERM)
            with suppress(AssertionError):
                await wait_for(lambda: self.process.poll() is not None, 15)
            self.process.kill()  # harmless when it is gone
            self.process.wait()
            with suppress(AssertionError):
                await wait_for(lambda: not any(map(is_alive, below)), 5)
            send([pid for pid in below if is_alive(pid)], signal.SIGKILL)

    async def asked(self) -> Counter[str]:
        """How many questions about marks went which way, and how many fences there were, since the node began."""
        async with httpx2.AsyncClient(timeout=10) as http:
            text = (await http.get(f"http://127.0.0.1:{self.management_port}/metrics")).text
        found = Counter[str]()
        for path, count in _ASKED.findall(text):
            found[path or "fences"] += round(float(count))
        return found

    def errors(self) -> list[str]:
        """What the node has logged as an error."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(msgspec.DecodeError):
                entry = msgspec.json.decode(line)
                if entry["level"] in ("error", "critical"):
                    found.append(line[:LONGEST_LINE])
        return found


@dataclass
class Stage:
    database_url: str
    postgres: Postgres
    redis: RedisServer
    replica: RedisServer
    """Not started: a fault may."""
    nodes: list[Node]
    directory: Path
    chance: random.Random
    lease_seconds: float
    wires: list[Wire] = field(default_factory=list)

    @property
    def a_while(self) -> float:
        """Longer than a lease."""
        return 1.5 * self.lease_seconds

    async def cli(self, node: Node, *arguments: str, stdin: str = "", seconds: float = 30) -> tuple[int, Any]:
        """The exit status of a command, and what it tells."""
        process = await asyncio.create_subprocess_exec(
            *CLI, *arguments, "--json", env=node.environ, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), seconds)
        except TimeoutError:
            return -1, "no answer"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = process.returncode if process.returncode is not None else -1
        return status, msgspec.json.decode(out) if status == 0 else err.decode()

    async def sql(self, query: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.database_url, timeout=10)
        try:
            return list(await connection.fetch(query, *values, timeout=20))
        finally:
            await connection.close()

    async def is_trusted_soon(self, seconds: float) -> bool:
        """Whether Redis is trusted within that time, and no earlier lease has to be waited for."""
        patience = time.monotonic() + seconds
        while time.monotonic() < patience:
            with suppress(OSError, asyncpg.PostgresError, TimeoutError):
                if await self.sql("SELECT FROM auth.cache_mode WHERE state = 'R' AND settled"):
                    return True
            await asyncio.sleep(0.1)
        return False


@asynccontextmanager
async def open_stage(
    directory: Path, seed: int, *, lease_seconds: float = 1.0, without: str | None = None, patience: float = 1.0
) -> AsyncIterator[Stage]:
    """Everything runs and Redis is trusted when the block begins; nothing runs when it has been left.

    The directory is one that others may pass through.
    """
    data_dir = prepared(directory / "stores")
    with embedded(data_dir) as stores:
        await migrate(stores.database_url)
        connection = await asyncpg.connect(stores.database_url)
        await connection.execute("UPDATE auth.cache_mode SET lease_seconds = $1", lease_seconds)
        await connection.close()
    place = Place(data_dir)
    reachable = programs().within_reach(place, lambda line: None)
    place.open_sockets()
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        postgres = Postgres(reachable, place, directory / "postgres.log")
        stack.push_async_callback(postgres.end, signal.SIGINT, signal.SIGQUIT)
        await postgres.start()
        redis = RedisServer(reachable, place, directory / "redis", directory / "redis.log")
        stack.push_async_callback(redis.kill)
        await redis.start()
        replica = RedisServer(reachable, place, directory / "replica", directory / "replica.log")
        stack.push_async_callback(replica.kill)
        nodes = []
        for number in range(NODES):
            wire = await stack.enter_async_context(wire_to(redis.port, random.Random(seed + number)))
            environ = clean_environment(
                **SETTINGS,
                **({} if number else FORGETFUL),
                AUTHSVC_DATABASE_URL=stores.database_url,
                AUTHSVC_REDIS_URL=f"redis://127.0.0.1:{wire.port}/0",
                FAULTS_WITHOUT=without or "",
                FAULTS_PATIENCE=str(patience),
            )
            log, is_lamed = directory / f"node-{number}.log", bool(without) or patience != 1
            node = Node("ab"[number], free_port(), free_port(), wire, environ, log, is_lamed)
            stack.push_async_callback(node.stop)
            node.start()
            nodes.append(node)
        stage = Stage(stores.database_url, postgres, redis, replica, nodes, directory, chance, lease_seconds)
        stage.wires = [node.wire for node in nodes]
        for node in nodes:
            await node.until_ready()
        assert await stage.is_trusted_soon(20), "Redis never came to be trusted"
        yield stage
