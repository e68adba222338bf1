"""A service with traffic on it, and a Prometheus that watches it as `deploy/prometheus` tells it to."""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from tests.deploy.tools import DEPLOY, read_yaml, tool
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, free_port, serving, wait_until
from tests.stores import running_stores

PROMETHEUS = DEPLOY / "prometheus"


@dataclass
class Prometheus:
    """A running Prometheus."""

    base: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = fetch.get(f"{self.base}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with its labels as `metric` and its `value`."""
        data = self.ask("query", query=expression)
        assert data["resultType"] == "vector", data["resultType"]
        result: list[dict[str, Any]] = data["result"]
        return result


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers, with Redis, that shed logins early."""
    log = tmp_path_factory.mktemp("deploy") / "log"
    with (
        running_stores(durable=False) as stores,
        serving(
            stores.database_url, log, "--workers", "2", "--migrate",
            AUTHSVC_PASSWORD_HASH_THREADS="1", AUTHSVC_PASSWORD_HASH_QUEUE="1", AUTHSVC_LOGIN_ATTEMPTS="0",
            AUTHSVC_REDIS_URL=stores.redis_url,
        ) as service,
    ):  # fmt: skip
        yield service


@pytest.fixture(scope="package")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen tokens, introspections, revocations, and logins that succeeded, failed and were shed."""
    program = tool("prometheus")
    directory, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(_configuration(service)))
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [program, f"--config.file={directory}/prometheus.yaml", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log,
        )  # fmt: skip
    watching = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _has_seen(watching, 'up{job="authsvc"} == 1'), 60)
        wait_until(lambda: _has_seen(watching, 'authsvc_cache_state{state="R"} == 1'), 60)
        # Twice, with a scrape in between: a rate is of what changed.
        for _ in range(2):
            _use(service)
            time.sleep(2)
        # The jobs begin after ten seconds.
        wait_until(lambda: _has_seen(watching, "min(authsvc_job_last_success_timestamp_seconds) > 0"), 60)
        # The gauges of the pools are sampled every five seconds.
        wait_until(lambda: _has_seen(watching, 'authsvc_db_pool_size{pool="main"} > 0'), 60)
        wait_until(lambda: _has_seen(watching, 'instance_pool:authsvc_db_pool_in_use:ratio5m{pool="main"} >= 0'), 60)
        yield watching
    finally:
        process.terminate()
        process.wait(20)


def _configuration(service: Service) -> Any:
    """The configuration of `deploy/`, in a hurry, and with this service for its target."""
    told = read_yaml(PROMETHEUS / "prometheus.yaml")
    told["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    told["rule_files"] = [str(PROMETHEUS / name) for name in told["rule_files"]]
    (job,) = told["scrape_configs"]
    job["static_configs"] = [{"targets": [service.management.removeprefix("http://")]}]
    return told


def _has_seen(prometheus: Prometheus, expression: str) -> bool:
    try:
        return bool(prometheus.query(expression))
    except (httpx2.TransportError, ValueError):  # it is not there yet, or not ready, which it says in plain text
        return False


def _use(service: Service) -> None:
    auth = service.client()
    token = service.token(auth)
    assert service.introspect(auth, token).json()["active"] is True
    assert service.revoke(auth, token).status_code == 200
    assert service.introspect(auth, token).json() == {"active": False}
    assert service.introspect((auth[0], "wrong"), token).status_code == 401
    assert fetch.post(f"{service.base}/oauth2/token", data={}, auth=auth).status_code == 400
    email = f"{auth[0].lower()}@example.com"
    account = {"email": email, "password": PASSWORD}
    assert fetch.post(f"{service.base}/api/v1/users", json=account).status_code == 201

    def log_in(password: str) -> int:
        return fetch.post(f"{service.base}/api/v1/login", json={"email": email, "password": password}).status_code

    assert log_in(PASSWORD) == 200
    statuses: set[int] = set()
    with ThreadPoolExecutor(12) as pool:
        for _ in range(5):  # on a busy machine they come one after the other, and none is shed
            statuses |= set(pool.map(log_in, ["not the password of ours"] * 12))
            if statuses == {401, 503}:
                return
    raise AssertionError(statuses)
