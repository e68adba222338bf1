"""Everything a run needs: the stores, the service on each path with its clients and tokens, ceilings and peers."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from authsvc.embedded import Stores
from authsvc.exposition import exposition
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key
from tests.benchmarks import large
from tests.benchmarks.case import (
    CEILINGS,
    EVERY_CORE,
    FORGETFUL,
    LARGE_POSTGRESQL,
    LARGE_REDIS,
    ON_EVERY_CORE,
    PEERS,
    POSTGRESQL,
    REDIS,
    SERVICES,
    TWO_WORKERS,
    UNCHECKED,
    Case,
)
from tests.benchmarks.cast import prepare
from tests.benchmarks.cpu import Cores, family, resident_bytes, seconds_of
from tests.benchmarks.peers.installation import NotInstalled, install
from tests.benchmarks.peers.servers import running_peer
from tests.benchmarks.script import begin_refreshing, write_script
from tests.benchmarks.server import Server, running, serving
from tests.benchmarks.traffic import Connection, Load, WrongAnswer, get
from tests.caches.own_server import own_servers
from tests.journeys.service import wait_until
from tests.stores import fresh_database, running_stores

WARM_SECONDS = 600
"""Ten million marks take Redis some time."""
ISSUER = "https://id.example"
Environ = dict[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    servers: Mapping[str, Server]
    loads: Mapping[str, Mapping[str, Load]]
    """By application: what it may be asked, by kind."""
    idle_bytes: Mapping[str, int]
    """What each server of one process holds before it is asked anything."""
    metrics: Mapping[str, str]
    """The directory of each service."""
    left_out: Mapping[str, str]
    """The peers that are not here, and why."""

    @staticmethod
    def store_seconds() -> tuple[float, float]:
        """CPU time of PostgreSQL and of Redis until now."""
        processes = family(os.getpid())
        return (
            seconds_of([each for each in processes if each.name.startswith("postgres")]),
            seconds_of([each for each in processes if each.name.startswith(("valkey-server", "redis-server"))]),
        )

    def answered_by(self) -> dict[str, dict[str, int]]:
        """Which store answered how many questions for marks, by service."""
        return {app: _questions(directory) for app, directory in self.metrics.items()}

    def questions(self, app: str) -> int:
        """How many questions for marks a service has asked until now."""
        return sum(_questions(self.metrics[app]).values()) if app in self.metrics else 0


def _questions(directory: str) -> dict[str, int]:
    return _values(directory, "authsvc_mark_questions_total", "path")


def _values(directory: str, name: str, label: str) -> dict[str, int]:
    """What a service has counted under this name, by the value of the label."""
    text, _ = exposition(directory)
    return {
        sample.labels[label]: int(sample.value)
        for metric in text_string_to_metric_families(text.decode())
        for sample in metric.samples
        if sample.name == name
    }


@contextmanager
def set_up(cores: Cores, cases: Collection[Case], *, tokens: int, say: Callable[[str], None]) -> Iterator[Stage]:
    """The stage for these cases, and nothing left of it. This process and the stores keep off the server's core."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.load)
    apps = {case.app for case in cases} | {REDIS}  # which prepares the traffic of all
    refreshed = {case.app for case in cases if case.traffic == "refresh"}
    try:
        with ExitStack() as stack:
            stores = stack.enter_context(running_stores())
            common = {
                "AUTHSVC_ISSUER": ISSUER,
                "AUTHSVC_MASTER_KEY": format_master_key(os.urandom(MASTER_KEY_BYTES)),
                "AUTHSVC_ACCESS_TOKEN_SECONDS": "3600",  # no token of the run expires during it
                "AUTHSVC_LOG_LEVEL": "warning",
                # Nothing is refused, and everything that is counted by default is counted.
                "AUTHSVC_CLIENT_REQUESTS_PER_MINUTE": "10000000",
                **{f"AUTHSVC_LOGIN_ATTEMPTS{which}": "1000000" for which in ("", "_PER_ACCOUNT", "_PER_ADDRESS")},
            }
            cast = asyncio.run(prepare({**common, "AUTHSVC_DATABASE_URL": stores.database_url}))
            servers, peer_loads, left_out = _start_peers(stack, sorted(apps & set(PEERS)), cores, stores, tokens, say)
            environments = _environments(stack, stores, common, apps, say)
            for app in sorted(apps & set(CEILINGS)):
                factory, usable = f"tests.benchmarks.ceilings:{app}", _usable(app, cores)
                servers[app] = stack.enter_context(running(factory, usable, environ={}))
            metrics = {}
            services = sorted(apps & set(SERVICES))
            for app in services:
                metrics[app] = stack.enter_context(tempfile.TemporaryDirectory(prefix="authsvc-benchmark-"))
                environ = {**environments[app], "PROMETHEUS_MULTIPROC_DIR": metrics[app]}
                servers[app] = stack.enter_context(_service(app, cores, environ))
            if TWO_WORKERS in metrics:  # they keep their numbers where they like
                del metrics[TWO_WORKERS]
                wait_until(lambda: _says_that_it_is_ready(servers[TWO_WORKERS]), WARM_SECONDS)
            for app in metrics:
                on_redis = "AUTHSVC_REDIS_URL" in environments[app]
                wait_until(partial(_is_ready, metrics[app], on_redis=on_redis), WARM_SECONDS)
            idle = {app: resident_bytes(servers[app].pid) for app in apps & {*CEILINGS, *metrics}}
            with Connection(servers[REDIS].port) as connection:
                script = write_script(cast, connection, [servers[app].port for app in services], tokens, ISSUER)
            loads: dict[str, Mapping[str, Load]] = dict.fromkeys(servers, script) | peer_loads
            for app in refreshed:
                with Connection(servers[app].port) as connection:
                    loads[app] = {**script, "refresh": begin_refreshing(connection)}
            yield Stage(servers, loads, idle, metrics, left_out)
    finally:
        os.sched_setaffinity(0, everywhere)


def _usable(app: str, cores: Cores) -> Collection[int]:
    return cores.every if app in ON_EVERY_CORE else cores.server


@contextmanager
def _service(app: str, cores: Cores, environ: Environ) -> Iterator[Server]:
    usable = _usable(app, cores)
    if app == TWO_WORKERS:
        with serving(2, usable, environ=environ) as server:
            yield server
    else:
        factory = "tests.benchmarks.unchecked:create_app" if app == UNCHECKED else "authsvc.app:create_app"
        with running(factory, usable, environ=environ, as_worker=True) as server:
            yield server


def _start_peers(
    stack: ExitStack, names: list[str], cores: Cores, stores: Stores, tokens: int, say: Callable[[str], None]
) -> tuple[dict[str, Server], dict[str, Mapping[str, Load]], dict[str, str]]:
    """Those that can be had: their servers and what they are asked. And why the others cannot."""
    servers: dict[str, Server] = {}
    loads: dict[str, Mapping[str, Load]] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            peer = running_peer(name, install(name, say), cores.server, stores, tokens=tokens)
            servers[name], traffic = stack.enter_context(peer)
            loads[name] = {"active": traffic}
        except NotInstalled as error:
            left_out[name] = str(error)
            say(f"{name} is left out: {error}")
    return servers, loads, left_out


def _environments(
    stack: ExitStack, stores: Stores, common: Environ, apps: Collection[str], say: Callable[[str], None]
) -> dict[str, Environ]:
    """Those on Redis are workers of one deployment. The one without is a deployment of its own with the same keys and
    clients: a store that one of them fills is not to be emptied by the other. So are the large ones."""

    def copy_of(database_url: str) -> str:
        return stack.enter_context(fresh_database(stores, urlsplit(database_url).path.removeprefix("/")))

    on_redis = {**common, "AUTHSVC_DATABASE_URL": stores.database_url, "AUTHSVC_REDIS_URL": stores.redis_url}
    environments = {
        **dict.fromkeys((REDIS, UNCHECKED, EVERY_CORE, TWO_WORKERS), on_redis),
        FORGETFUL: {**on_redis, "AUTHSVC_TOKEN_CACHE": "1"},
    }
    if POSTGRESQL in apps:
        environments[POSTGRESQL] = {**common, "AUTHSVC_DATABASE_URL": copy_of(stores.database_url)}
    if not {LARGE_REDIS, LARGE_POSTGRESQL}.isdisjoint(apps):
        filled = copy_of(stores.database_url)
        large.fill(filled, say)
        if LARGE_POSTGRESQL in apps:
            environments[LARGE_POSTGRESQL] = {**common, "AUTHSVC_DATABASE_URL": copy_of(filled)}
        if LARGE_REDIS in apps:
            (server,) = stack.enter_context(own_servers())
            environments[LARGE_REDIS] = {
                **common, "AUTHSVC_DATABASE_URL": filled, "AUTHSVC_REDIS_URL": server.url
            }  # fmt: skip
    return environments


def _says_that_it_is_ready(server: Server) -> bool:
    try:
        with Connection(server.management_port or 0) as connection:
            return connection.ask(get("/readyz"))[0] == 200
    except (OSError, WrongAnswer):
        return False


def _is_ready(directory: str, *, on_redis: bool) -> bool:
    """Its worker has opened the stores; and where it has Redis, it has been filled, and the worker has a lease."""
    if on_redis:
        return _values(directory, "authsvc_cache_state", "state").get("R", 0) >= 1
    return bool(_values(directory, "authsvc_db_pool_size", "pool"))
