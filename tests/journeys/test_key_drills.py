"""The drills of docs/operations.md with real processes: two nodes, traffic on both, the command line beside them."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import jwt

from authsvc.metrics import TASKS
from authsvc.protocol.keys import format_master_key
from tests.house_of import MASTER_KEY
from tests.journeys import fetch
from tests.journeys.service import Service, clean_environment, run_cli, serving, wait_until, working
from tests.stores import run_sql

NEW_MASTER_KEY = format_master_key(bytes(range(32)))
ISSUER = "https://auth.example"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
LIKE_A_CONTENT_OF_KEYS = "SELECT md5(string_agg(k::text, ',' ORDER BY kid)) FROM auth.signing_keys k"


def node(database_url: str, log: Path, *options: str, **settings: str) -> Any:
    """One of several that are one deployment."""
    return serving(database_url, log, *options, **({"AUTHSVC_ISSUER": ISSUER} | settings))


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def published_by(service: Service) -> set[str]:
    return {key["kid"] for key in fetch.get(f"{service.base}/.well-known/jwks.json").json()["keys"]}


def is_active(service: Service, auth: tuple[str, str], token: str) -> bool:
    answer = service.introspect(auth, token)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["active"])


class Traffic:
    """Mints at one node and introspects at the other at once, over and over. Holds every token with what was said."""

    def __init__(self, here: Service, there: Service, auth: tuple[str, str]) -> None:
        self._nodes = [(here, there), (there, here)]
        self._auth = auth
        self._over = threading.Event()
        self.told: list[tuple[str, bool]] = []
        self.unavailable = 0

    @contextmanager
    def flowing(self) -> Iterator[None]:
        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(self._flow, *pair) for pair in self._nodes * 2]
            try:
                yield
            finally:
                self._over.set()
            for each in done:
                each.result()

    def until_more(self, many: int) -> None:
        goal = len(self.told) + many
        wait_until(lambda: len(self.told) >= goal or self._over.is_set(), 30)

    def _flow(self, minter: Service, other: Service) -> None:
        while not self._over.is_set():
            answer = fetch.post(
                f"{minter.base}/oauth2/token", data={"grant_type": "client_credentials"}, auth=self._auth
            )
            if answer.status_code == 503:
                self.unavailable += 1
                continue
            assert answer.status_code == 200, answer.text
            token = str(answer.json()["access_token"])
            self.told.append((token, is_active(other, self._auth, token)))


def test_a_key_is_killed_on_two_nodes_under_load_and_the_tokens_of_others_never_falter(
    database_url: str, tmp_path: Path
) -> None:
    with node(database_url, tmp_path / "here") as here, node(database_url, tmp_path / "there") as there:
        auth = here.client("--introspect", "any")
        spared = here.token(auth)
        here.cli("key", "rotate")
        # Each reads the keys by itself; while one of them still signs with the old key, that could be the victim.
        wait_until(lambda: kid_of(spared) not in {kid_of(each.token(auth)) for each in (here, there)}, 10)
        traffic = Traffic(here, there, auth)
        with traffic.flowing():
            traffic.until_more(40)
            victim = kid_of(traffic.told[-1][0])
            here.cli("key", "kill", victim)
            dead = [token for token, _ in traffic.told if kid_of(token) == victim]
            assert not any(is_active(each, auth, token) for each in (here, there) for token in dead[-10:])
            traffic.until_more(40)
            assert is_active(here, auth, spared)
            assert is_active(there, auth, spared)
        assert all(said for token, said in traffic.told if kid_of(token) != victim), "a false inactive"
        assert {kid_of(token) for token, _ in traffic.told[-20:]} - {victim}, "tokens flow"
        wait_until(lambda: not any(victim in published_by(each) for each in (here, there)), 20)


def test_a_rotation_that_has_to_wait_says_until_when(database_url: str) -> None:
    environ = clean_environment(AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER=ISSUER, AUTHSVC_MASTER_KEY=MASTER_KEY)

    def tell(*arguments: str) -> Any:
        return json.loads(run_cli(environ, "key", *arguments, "--json").stdout)

    following = next(key["kid"] for key in tell("list") if (key["algorithm"], key["state"]) == ("ES256", "next"))
    first, second = tell("rotate"), tell("rotate")
    assert first["kid"] == following
    waits = datetime.fromisoformat(second["signs_from"]) - datetime.fromisoformat(first["signs_from"])
    assert waits > timedelta(seconds=600)
    assert tell("rotate") == second
    assert [key["algorithm"] for key in second["keys"]] == ["ES256", "RS256", "Ed25519"]
    assert second["keys"][0].items() <= second.items()
    assert tell("rotate", "--algorithm", "RS256")["kid"] == second["keys"][1]["kid"]
    assert f"{second['kid']} signs from " in run_cli(environ, "key", "rotate").stdout
    states = {key["kid"]: key["state"] for key in tell("list")}
    assert (states[first["kid"]], states[second["kid"]]) == ("active", "next")


def test_the_master_key_is_exchanged_under_a_service_that_goes_on(database_url: str, tmp_path: Path) -> None:
    both = {"AUTHSVC_MASTER_KEY": NEW_MASTER_KEY, "AUTHSVC_MASTER_KEY_PREVIOUS": MASTER_KEY}
    with node(database_url, tmp_path / "one") as one:
        auth = one.client("--introspect", "any")
        tokens = [one.token(auth)]
        with node(database_url, tmp_path / "two", **both) as two:
            traffic = Traffic(one, two, auth)
            with traffic.flowing():
                traffic.until_more(20)
                assert two.cli("master-key", "rotate") == {"signing_keys": 6, "secrets": _secrets(database_url)}
                assert two.cli("master-key", "rotate") == {"signing_keys": 0, "secrets": 0}
                traffic.until_more(20)
            assert all(said for _, said in traffic.told)
            assert traffic.unavailable == 0
            tokens.append(two.token(auth))
    with node(database_url, tmp_path / "three", AUTHSVC_MASTER_KEY=NEW_MASTER_KEY) as three:
        assert all(is_active(three, auth, token) for token in [*tokens, three.token(auth)])
        done = run_cli(three.environ | {"AUTHSVC_MASTER_KEY": MASTER_KEY}, "key", "list", check=False)
        assert done.returncode == 2
        assert "the master key does not open" in done.stderr
        assert "Traceback" not in done.stderr


def _secrets(database_url: str) -> int:
    return int(run_sql(database_url, "SELECT count(*) FROM auth.sealed_secrets"))


async def test_an_exchange_that_is_killed_in_the_middle_has_changed_nothing(database_url: str, tmp_path: Path) -> None:
    environ = clean_environment(
        AUTHSVC_DATABASE_URL=database_url,
        AUTHSVC_ISSUER=ISSUER,
        AUTHSVC_MASTER_KEY=NEW_MASTER_KEY,
        AUTHSVC_MASTER_KEY_PREVIOUS=MASTER_KEY,
        AUTHSVC_DATABASE_TIMEOUT_MS="30000",
    )
    run_cli(environ | {"AUTHSVC_MASTER_KEY": MASTER_KEY}, "key", "list")
    connection, observer = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "INSERT INTO auth.sealed_secrets (name, sealed, master_key_id, created_at) VALUES ('a', '', '', now())"
        )
        before = await connection.fetchval(LIKE_A_CONTENT_OF_KEYS)
        async with connection.transaction():
            await connection.execute("SELECT FROM auth.sealed_secrets FOR UPDATE")
            process = subprocess.Popen([sys.executable, "-m", "authsvc", "master-key", "rotate"], env=environ)
            while await observer.fetchval(WAITING) < 1:  # it has sealed the signing keys, and comes to the secrets
                assert process.poll() is None
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert await connection.fetchval(LIKE_A_CONTENT_OF_KEYS) == before
        await connection.execute("DELETE FROM auth.sealed_secrets")
        done = run_cli(environ, "master-key", "rotate", "--json")
        assert json.loads(done.stdout) == {"signing_keys": 6, "secrets": 0}
    finally:
        await connection.close()
        await observer.close()


# --- Who does the jobs


def test_the_jobs_run_where_they_are_told_to(database_url: str, tmp_path: Path) -> None:
    run_sql(
        database_url,
        "INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at) "
        "VALUES ('j:old', 1, now() - interval '1 year', now() - interval '1 year')",
    )
    with node(database_url, tmp_path / "serve", "--no-jobs") as service:
        auth = service.client()
        with working(service, tmp_path / "work") as worker:
            wait_until(lambda: 'authsvc_purged_rows_total{table="token_blacklist"} 1.0' in _metrics(worker), 40)
            wait_until(lambda: run_sql(database_url, "SELECT count(*) FROM auth.jobs") == len(TASKS), 40)
            assert 'authsvc_job_runs_total{outcome="success",task="purge"} 1.0' in _metrics(worker)
        assert 'authsvc_job_runs_total{outcome="success",task="purge"} 0.0' in _metrics(service)
        assert service.token(auth), "which goes on"
    messages = [line["message"] for line in worker.log_lines()]
    assert {"serving", "purged", "stopped"} <= set(messages)


def _metrics(service: Service) -> str:
    return service.ask_management("/metrics").text
