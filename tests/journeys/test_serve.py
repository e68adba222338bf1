"""`authsvc serve --workers 2` on a PostgreSQL of its own, without Redis, used by clients that are not ours."""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import jwt
import msgspec
import pytest
from authlib.integrations.httpx_client import OAuth2Client

from tests.faults.line import FORM, Line, basic, post
from tests.faults.sockets import holders
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, children_of, is_alive, serving, wait_until
from tests.stores import embedded, passable_directory, prepared


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with passable_directory() as directory, embedded(prepared(directory / "stores"), durable=False) as stores:
        log = tmp_path_factory.mktemp("serve") / "log"
        # A storm comes from one address here.
        unlimited = {"AUTHSVC_LOGIN_ATTEMPTS_PER_ADDRESS": "0"}
        with serving(stores.database_url, log, "--workers", "2", "--migrate", **unlimited) as service:
            yield service


def test_a_foreign_library_verifies_the_token_with_the_published_keys(service: Service) -> None:
    auth = service.client("--scope", "read", "--audience", "https://api.example/v1")
    token = service.token(auth)
    key = jwt.PyJWKClient(f"{service.base}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="https://api.example/v1", issuer=service.base)
    assert claims["client_id"] == claims["sub"] == auth[0]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_foreign_client_gets_introspects_and_revokes_a_token(service: Service, method: str) -> None:
    client_id, secret = service.client("--scope", "read write")
    with OAuth2Client(
        client_id, secret, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method, scope="read"
    ) as session:
        token = session.fetch_token(f"{service.base}/oauth2/token", grant_type="client_credentials")
        assert token["scope"] == "read"
        text = token["access_token"]
        assert session.introspect_token(f"{service.base}/oauth2/introspect", token=text).json()["active"] is True
        assert session.revoke_token(f"{service.base}/oauth2/revoke", token=text).status_code == 200
        assert session.introspect_token(f"{service.base}/oauth2/introspect", token=text).json() == {"active": False}


async def test_a_revoked_token_is_dead_on_both_workers_when_the_call_returns(service: Service) -> None:
    auth = service.client()
    async with httpx2.AsyncClient(base_url=service.base, auth=auth, timeout=30) as http:

        async def live_and_die() -> list[bool]:
            form = {"grant_type": "client_credentials"}
            token = (await http.post("/oauth2/token", data=form)).json()["access_token"]
            asking = [http.post("/oauth2/introspect", data={"token": token}) for _ in range(2)]
            before = [answer.json()["active"] for answer in await asyncio.gather(*asking)]
            assert (await http.post("/oauth2/revoke", data={"token": token})).status_code == 200
            asking = [http.post("/oauth2/introspect", data={"token": token}) for _ in range(4)]
            assert before == [True, True]
            return [answer.json()["active"] for answer in await asyncio.gather(*asking)]

        # Many connections at once, so that the kernel spreads them over the workers.
        found: Counter[bool] = Counter()
        for _ in range(10):
            for answers in await asyncio.gather(*(live_and_die() for _ in range(20))):
                found.update(answers)
    assert found == {False: 800}
    counted = [line for line in service.ask_management("/metrics").text.splitlines() if "revocations_total" in line]
    assert any(line.startswith('authsvc_revocations_total{kind="token"} ') for line in counted)


def test_everything_an_operator_revokes_is_dead_when_the_command_ends(service: Service) -> None:
    auth = service.client()
    service.cli("user", "create", "--email", "op@example.com", "--password-stdin", stdin=PASSWORD)
    door = service.client("--introspect", "any")

    def log_in() -> str:
        body = {"email": "op@example.com", "password": PASSWORD}
        return str(fetch.post(f"{service.base}/api/v1/login", json=body).json()["access_token"])

    def dies(token: str, *command: str, stdin: str = "") -> None:
        assert service.introspect(door, token).json()["active"] is True
        service.cli(*command, stdin=stdin)
        assert service.introspect(door, token).json() == {"active": False}

    token = service.token(auth)
    dies(token, "token", "revoke", stdin=token)
    dies(service.token(auth), "client", "revoke-tokens", auth[0])
    dies(log_in(), "user", "revoke-tokens", "op@example.com")
    dies(log_in(), "user", "disable", "op@example.com")
    service.cli("user", "enable", "op@example.com")
    dies(log_in(), "token", "revoke-everything", "--yes")
    token = service.token(auth)
    dies(token, "key", "kill", jwt.get_unverified_header(token)["kid"])
    dies(service.token(auth), "client", "disable", auth[0])
    dies(log_in(), "user", "delete", "op@example.com")


def test_tokens_outlive_a_rotation_of_the_keys(service: Service) -> None:
    auth = service.client()
    before = service.token(auth)
    service.cli("key", "rotate")
    assert service.introspect(auth, before).json()["active"] is True
    assert service.introspect(auth, service.token(auth)).json()["active"] is True


async def test_a_storm_of_logins_is_shed_and_holds_up_nobody_else(service: Service) -> None:  # FLT-27
    auth = service.client()
    token = service.token(auth)
    workers = children_of(service.process.pid)
    before = _memory_of(workers)
    statuses: Counter[int] = Counter()
    over = threading.Event()
    introspector = ThreadPoolExecutor(1).submit(_introspect_until, over, service, auth, token)
    limits = httpx2.Limits(max_connections=600)
    async with httpx2.AsyncClient(base_url=service.base, limits=limits, timeout=60) as http:

        async def log_in(number: int) -> None:
            body = {"email": f"nobody{number}@example.com", "password": PASSWORD}
            answer = await http.post("/api/v1/login", json=body)
            statuses[answer.status_code] += 1
            assert answer.status_code == 401 or answer.headers["retry-after"]

        await asyncio.gather(*(log_in(number) for number in range(500)))
    over.set()
    assert set(statuses) == {401, 503}
    assert introspector.result() > 1
    assert _memory_of(workers) - before < 200 * 1024 * 1024


def _introspect_until(over: threading.Event, service: Service, auth: tuple[str, str], token: str) -> int:
    """How often it was asked, and answered, meanwhile."""
    answered = 0
    while not over.is_set():
        assert service.introspect(auth, token).json()["active"] is True
        answered += 1
    return answered


def _memory_of(pids: set[int]) -> int:
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def test_the_log_is_json_and_holds_no_secret(service: Service) -> None:
    auth = service.client()
    token = service.token(auth)
    fetch.get(f"{service.base}/oauth2/introspect", params={"token": token})
    fetch.post(f"{service.base}/oauth2/token?client_secret={auth[1]}", data={"grant_type": "x"})
    text = service.log.read_text()
    assert service.log_lines()
    assert auth[1] not in text
    assert token not in text
    assert PASSWORD not in text


def test_the_public_port_shows_no_metrics(service: Service) -> None:
    for path in ("/metrics", "/livez", "/readyz", "/debug"):
        assert fetch.get(service.base + path).status_code == 404


def test_nothing_is_lost_when_everything_is_killed(tmp_path: Path) -> None:  # FLT-34
    with passable_directory() as directory:
        data_dir = prepared(directory / "stores")
        with embedded(data_dir) as stores, serving(stores.database_url, tmp_path / "1", "--migrate") as one:
            auth = one.client()
            one.cli("user", "create", "--email", "kept@example.com", "--password-stdin", stdin=PASSWORD)
            live, dead = one.token(auth), one.token(auth)
            assert one.revoke(auth, dead).status_code == 200
            family = children_of(one.process.pid)
            one.process.kill()
            one.process.wait()
            wait_until(lambda: not any(is_alive(pid) for pid in family), 10)
        with (
            embedded(data_dir) as stores,
            serving(stores.database_url, tmp_path / "2", AUTHSVC_ISSUER=one.base) as two,
        ):
            assert two.introspect(auth, live).json()["active"] is True
            assert two.introspect(auth, dead).json() == {"active": False}
            body = {"email": "kept@example.com", "password": PASSWORD}
            assert fetch.post(f"{two.base}/api/v1/login", json=body).status_code == 200


def test_an_outage_of_postgresql_never_looks_like_a_logout(tmp_path: Path) -> None:  # FLT-35
    with passable_directory() as directory:
        stores_of = embedded(prepared(directory / "stores"))
        stores = stores_of.start()
        try:
            with serving(stores.database_url, tmp_path / "log", "--migrate", "--workers", "2") as service:
                auth = service.client()
                token = service.token(auth)
                assert service.introspect(auth, token).json()["active"] is True
                stores_of.stop()
                for answer in (service.introspect(auth, token), service.revoke(auth, token)):
                    assert answer.status_code == 503
                    assert int(answer.headers["retry-after"]) >= 1
                    assert answer.json()["error"] == "temporarily_unavailable"
                assert service.ask_management("/livez").status_code == 200
                wait_until(lambda: service.ask_management("/readyz").status_code == 503, 20)
                assert fetch.get(f"{service.base}/.well-known/jwks.json").status_code == 200
                assert fetch.get(f"{service.base}/.well-known/oauth-authorization-server").status_code == 200
                stores_of.start()
                back = wait_until(lambda: service.introspect(auth, token).status_code == 200, 10)
                assert back < 2
                assert service.introspect(auth, token).json()["active"] is True
                wait_until(lambda: service.ask_management("/readyz").status_code == 200, 20)
        finally:
            stores_of.stop()


async def test_while_workers_are_replaced_nobody_is_turned_away_and_no_revocation_is_lost(service: Service) -> None:
    """FLT-25."""
    auth = service.client()
    headers = FORM | basic(*auth)
    management, *_ = sorted(children_of(service.process.pid))
    port = int(service.base.rpartition(":")[2])
    old = set(holders(port, children_of(service.process.pid) - {management}))
    assert len(old) == 2
    revoked: list[bytes] = []
    is_over = False

    async def ask(path: str, body: bytes) -> bytes:
        line = Line("", port)  # a new connection each time: who keeps one may lose it as it asks
        try:
            status, answer = await line.ask(post(path, body, headers))
        finally:
            line.close()
        assert status == 200, answer
        return answer

    async def live_and_die() -> None:
        while not is_over:
            told = await ask("/oauth2/token", b"grant_type=client_credentials")
            form = b"token=" + msgspec.json.decode(told)["access_token"].encode()
            assert msgspec.json.decode(await ask("/oauth2/introspect", form))["active"]
            await ask("/oauth2/revoke", form)
            revoked.append(form)
            assert await ask("/oauth2/introspect", form) == b'{"active":false}'

    async with asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(live_and_die())
        service.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            while any(map(is_alive, old)):
                await asyncio.sleep(0.05)
        is_over = True
    assert len(revoked) > 10
    for form in revoked:
        assert await ask("/oauth2/introspect", form) == b'{"active":false}'


def test_a_worker_that_dies_is_replaced_and_its_numbers_are_kept(service: Service) -> None:
    auth = service.client()
    token = service.token(auth)

    def count() -> float:
        lines = service.ask_management("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("authsvc_introspections_total"))

    before = count()
    for _ in range(20):
        service.introspect(auth, token)
    assert count() == before + 20
    management, *_ = sorted(children_of(service.process.pid))
    victim = max(children_of(service.process.pid) - {management})
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not is_alive(victim), 20)
    assert count() >= before + 20
    wait_until(lambda: service.ask_management("/readyz").status_code == 200, 20)
    assert service.introspect(auth, token).json()["active"] is True
