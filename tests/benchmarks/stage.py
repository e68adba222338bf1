"""Everything a run needs: the stores, the service on each path with its clients and tokens, the ceilings beside it."""

import asyncio
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from authsvc.embedded import Stores
from authsvc.exposition import exposition
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key
from tests.benchmarks.cases import FORGETFUL, POSTGRESQL, REDIS, SERVICES, UNCHECKED, Case
from tests.benchmarks.cast import prepare
from tests.benchmarks.cpu import Cores, family, resident_bytes, seconds_of
from tests.benchmarks.script import write_script
from tests.benchmarks.server import Server, running
from tests.benchmarks.traffic import Connection, Traffic
from tests.journeys.service import wait_until
from tests.stores import fresh_database, running_stores

WARM_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Stage:
    servers: Mapping[str, Server]
    traffic: Mapping[str, Traffic]
    idle_bytes: Mapping[str, int]
    """What each server holds before it is asked anything."""
    metrics: Mapping[str, str]
    """The directory of each service."""

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
        return {
            app: _values(directory, "authsvc_mark_questions_total", "path") for app, directory in self.metrics.items()
        }


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
def set_up(cores: Cores, cases: Collection[Case], *, tokens: int) -> Iterator[Stage]:
    """The stage for these cases, and nothing left of it. This process and the stores keep off the server's core."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.load)
    apps = {case.app for case in cases} | {REDIS}  # which prepares the traffic of all
    try:
        with ExitStack() as stack:
            stores = stack.enter_context(running_stores())
            common = {
                "AUTHSVC_ISSUER": "https://id.example",
                "AUTHSVC_MASTER_KEY": format_master_key(os.urandom(MASTER_KEY_BYTES)),
                "AUTHSVC_ACCESS_TOKEN_SECONDS": "3600",  # no token of the run expires during it
                "AUTHSVC_LOG_LEVEL": "warning",
                # Nothing is refused, and everything that is counted by default is counted.
                "AUTHSVC_CLIENT_REQUESTS_PER_MINUTE": "10000000",
                **{f"AUTHSVC_LOGIN_ATTEMPTS{which}": "1000000" for which in ("", "_PER_ACCOUNT", "_PER_ADDRESS")},
            }
            cast = asyncio.run(prepare({**common, "AUTHSVC_DATABASE_URL": stores.database_url}))
            environments = _environments(stack, stores, common)
            servers, metrics = {}, {}
            for app in sorted(apps - set(SERVICES)):
                servers[app] = stack.enter_context(running(f"tests.benchmarks.ceilings:{app}", cores, environ={}))
            for app in sorted(apps & set(SERVICES)):
                metrics[app] = stack.enter_context(tempfile.TemporaryDirectory(prefix="authsvc-benchmark-"))
                factory = "tests.benchmarks.unchecked:create_app" if app == UNCHECKED else "authsvc.app:create_app"
                environ = {**environments[app], "PROMETHEUS_MULTIPROC_DIR": metrics[app]}
                servers[app] = stack.enter_context(running(factory, cores, environ=environ, as_worker=True))
            for app in metrics:
                wait_until(lambda app=app: _is_ready(metrics[app], on_redis=app != POSTGRESQL), WARM_SECONDS)
            idle = {app: resident_bytes(server.pid) for app, server in servers.items()}
            with Connection(servers[REDIS].port) as connection:
                ports = [servers[app].port for app in metrics]
                traffic = write_script(cast, connection, ports, tokens)
            yield Stage(servers, traffic, idle, metrics)
    finally:
        os.sched_setaffinity(0, everywhere)


def _environments(stack: ExitStack, stores: Stores, common: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Those on Redis are workers of one deployment. The one without is a deployment of its own with the same keys and
    clients: a store that one of them fills is not to be emptied by the other."""
    own = urlsplit(stores.database_url).path.removeprefix("/")
    apart = stack.enter_context(fresh_database(stores, own))
    on_redis = {**common, "AUTHSVC_DATABASE_URL": stores.database_url, "AUTHSVC_REDIS_URL": stores.redis_url}
    return {
        REDIS: on_redis,
        UNCHECKED: on_redis,
        FORGETFUL: {**on_redis, "AUTHSVC_TOKEN_CACHE": "1"},
        POSTGRESQL: {**common, "AUTHSVC_DATABASE_URL": apart},
    }


def _is_ready(directory: str, *, on_redis: bool) -> bool:
    """Its worker has opened the stores; and where it has Redis, it has been filled, and the worker has a lease."""
    if on_redis:
        return _values(directory, "authsvc_cache_state", "state").get("R") == 1
    return bool(_values(directory, "authsvc_db_pool_size", "pool"))
