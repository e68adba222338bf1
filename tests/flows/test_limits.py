"""How often may somebody try (LOG-04 to LOG-08): over workers, with Redis, without it, and while it goes away."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest
from redis import Redis

from authsvc.caches import redis
from authsvc.caches.redis import TIMEOUT_SECONDS
from authsvc.errors import (
    AuthsvcError,
    InvalidClient,
    InvalidValue,
    TooManyAttempts,
)
from authsvc.models import GrantType
from authsvc.protocol.accounts import LoginRequest, RegistrationRequest
from authsvc.protocol.addresses import Address
from tests.flows.workers import ADDRESS, EMAIL, Caller, Worker, cheap, sql, worker_on, workers_on
from tests.house_of import PASSWORD
from tests.stores import running_stores
from tests.tables.line import Line, line_to, redis_line_to

ELSEWHERE = ip_address("198.51.100.7")
LIMITED = {"login_attempts": 10}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage: what is not about the timeout has a long one."""
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)


@pytest.fixture(params=["redis", "alone"])
async def worker(request: pytest.FixtureRequest, database_url: str, redis_url: str) -> AsyncIterator[Worker]:
    """A worker that is alone, with Redis and without: it keeps the same limits."""
    url = redis_url if request.param == "redis" else None
    async with worker_on(cheap(database_url, redis_url=url, **LIMITED)) as worker:
        yield worker


async def attempt(
    worker: Worker, password: str = "wrong", email: str = EMAIL, address: Address | None = ADDRESS
) -> str:
    """What becomes of it: the name of the error, or `in`."""
    try:
        await worker.flows.login.log_in(LoginRequest(email=email, password=password), address)
    except AuthsvcError as error:
        return type(error).__name__
    return "in"


async def attempts(worker: Worker, many: int, **how: Any) -> Counter[str]:
    return Counter([await attempt(worker, **how) for _ in range(many)])


# --- Logins


async def test_the_eleventh_login_is_refused_unheard_known_or_not(
    worker: Worker, hashes: list[str]
) -> None:  # LOG-04, LOG-08
    await worker.register()
    for email in (EMAIL, "nobody@example.com", "no address", "\ud800"):
        hashes.clear()
        assert await attempts(worker, 15, email=email) == {"InvalidCredentials": 10, "TooManyAttempts": 5}
        assert len(hashes) == 10
    hashes.clear()
    with pytest.raises(TooManyAttempts) as caught:
        await worker.log_in()
    assert 1 <= caught.value.retry_after <= 90
    assert hashes == [], "the right password is no better"


async def test_one_account_has_one_budget_however_it_is_spelt(worker: Worker) -> None:
    for email in ("ada@example.com", "ADA@Example.COM", "ada@ｅｘａｍｐｌｅ.com", "ada@example.com", "Ada@example.com"):
        assert await attempts(worker, 2, email=email) == {"InvalidCredentials": 2}
    assert await attempt(worker) == "TooManyAttempts"


async def test_success_gives_the_account_its_budget_back(worker: Worker) -> None:  # LOG-07
    await worker.register()
    for _ in range(3):
        assert await attempts(worker, 9) == {"InvalidCredentials": 9}
        assert await attempt(worker, PASSWORD) == "in"
    assert await attempts(worker, 11) == {"InvalidCredentials": 10, "TooManyAttempts": 1}


async def test_a_stranger_elsewhere_does_not_keep_the_user_out(worker: Worker) -> None:
    await worker.register()
    assert (await attempts(worker, 20, address=ELSEWHERE))["TooManyAttempts"] == 10
    assert await attempt(worker, PASSWORD) == "in"
    for address in (ip_address("2001:db8::1"), ip_address("2001:db8::2")):
        assert await attempts(worker, 5, address=address) == {"InvalidCredentials": 5}
    assert await attempt(worker, PASSWORD, address=ip_address("2001:db8::3")) == "TooManyAttempts"
    assert await attempt(worker, PASSWORD, address=ip_address("2001:db8:0:1::3")) == "in"
    assert await attempts(worker, 11, address=None) == {"InvalidCredentials": 10, "TooManyAttempts": 1}


async def test_many_addresses_together_have_a_budget_at_one_account(database_url: str) -> None:
    async with worker_on(cheap(database_url, login_attempts=10, login_attempts_per_account=25)) as worker:
        await worker.register()
        made = Counter([await attempt(worker, address=ip_address(f"192.0.2.{host}")) for host in range(1, 41)])
        assert made == {"InvalidCredentials": 25, "TooManyAttempts": 15}
        assert await attempt(worker, email="bob@example.com") == "InvalidCredentials"
        worker.clock.advance(900 / 25)
        assert await attempt(worker, PASSWORD) == "in"
        assert await attempts(worker, 11) == {"InvalidCredentials": 10, "TooManyAttempts": 1}


async def test_one_address_has_a_budget_at_all_accounts_and_cannot_buy_more_with_its_own(
    database_url: str,
) -> None:  # ATK-54
    async with worker_on(cheap(database_url, login_attempts=10, login_attempts_per_address=20)) as worker:
        await worker.register("mallory@example.com")
        outcomes: Counter[str] = Counter()
        for number in range(30):
            outcomes[await attempt(worker, email=f"user{number}@example.com")] += 1
            outcomes[await attempt(worker, PASSWORD, "mallory@example.com")] += 1
        assert outcomes["InvalidCredentials"] == 20
        assert outcomes["in"] == 19, "what succeeded cost nothing, and bought nothing"
        assert await attempt(worker, address=ELSEWHERE) == "InvalidCredentials"


async def test_what_could_not_be_looked_up_is_not_counted(database_url: str, redis_url: str) -> None:
    async with line_to(database_url) as line, worker_on(cheap(line.url, redis_url=redis_url, **LIMITED)) as worker:
        await worker.register()
        await line.cut()
        assert await attempts(worker, 15) == {"Unavailable": 15}
        await line.restore()
        assert await attempts(worker, 11) == {"InvalidCredentials": 10, "TooManyAttempts": 1}


async def test_what_found_no_room_to_be_hashed_is_not_counted(database_url: str, redis_url: str) -> None:
    crowded = {"password_hash_queue": 1, "password_hash_threads": 1}
    crowded |= {"password_hash_memory_kib": 19_456, "password_hash_passes": 8}  # takes longer than all the rest
    async with worker_on(cheap(database_url, redis_url=redis_url, **crowded, **LIMITED)) as worker:
        outcomes = Counter(await asyncio.gather(*(attempt(worker) for _ in range(30))))
        assert outcomes["Unavailable"] > 0
        outcomes += await attempts(worker, 15)
        assert outcomes["InvalidCredentials"] == 10


async def test_of_a_hundred_at_once_exactly_ten_are_heard(
    database_url: str, redis_url: str, hashes: list[str]
) -> None:  # RTL-07
    async with workers_on(cheap(database_url, redis_url=redis_url, **LIMITED)) as workers:
        await workers[0].register()
        outcomes = Counter(await asyncio.gather(*(attempt(workers[number % 2]) for number in range(100))))
        assert outcomes == {"InvalidCredentials": 10, "TooManyAttempts": 90}
        assert len(hashes) == 10


async def test_without_limits_nothing_is_asked_of_redis(database_url: str, redis_url: str) -> None:
    async with worker_on(cheap(database_url, redis_url=redis_url)) as worker:
        await worker.register()
        assert await attempts(worker, 30) == {"InvalidCredentials": 30}
        assert await attempt(worker, PASSWORD) == "in"
    with Redis.from_url(redis_url) as server:
        assert server.keys("authsvc:lim:*") == []


# --- Redis goes away


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    async with redis_line_to(redis_url) as line:
        yield line


async def test_a_worker_starts_and_limits_while_redis_is_away(database_url: str, line: Line) -> None:  # LOG-06
    await line.cut()
    async with worker_on(cheap(database_url, redis_url=line.url, **LIMITED)) as worker:
        await worker.register()
        assert await attempt(worker, PASSWORD) == "in"
        assert await attempts(worker, 30) == {"InvalidCredentials": 10, "TooManyAttempts": 20}


@pytest.mark.parametrize("how", ["cut", "hold"])
async def test_redis_that_goes_away_in_the_middle_leaves_limits_and_logins(
    database_url: str, line: Line, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # LOG-06
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    async with workers_on(cheap(database_url, redis_url=line.url, **LIMITED)) as workers:
        await workers[0].register()
        before = [asyncio.create_task(attempt(workers[number % 2])) for number in range(40)]
        await asyncio.wait(before, return_when=asyncio.FIRST_COMPLETED)
        if how == "cut":
            await line.cut()
        else:
            line.hold()
        after = [attempt(workers[number % 2]) for number in range(40)]
        outcomes = Counter(await asyncio.gather(*before, *after))
        assert outcomes.keys() == {"InvalidCredentials", "TooManyAttempts"}
        # What Redis heard, and what each of the two counted by itself.
        assert 10 <= outcomes["InvalidCredentials"] <= 30
        for worker in workers:
            # That a connection was cut is found out when it is used: then the worker goes by its own count.
            await attempts(worker, 12)
            assert await attempt(worker, PASSWORD) == "TooManyAttempts"
            assert await attempt(worker, PASSWORD, address=ELSEWHERE) == "in"


async def test_redis_that_is_killed_leaves_limits_and_logins(database_url: str) -> None:  # LOG-06
    with running_stores(durable=False) as stores:
        async with workers_on(cheap(database_url, redis_url=stores.redis_url, **LIMITED)) as workers:
            await workers[0].register()
            assert await attempts(workers[0], 6) == {"InvalidCredentials": 6}
            with Redis.from_url(stores.redis_url) as server:
                os.kill(server.info("server")["process_id"], signal.SIGKILL)
            for worker in workers:
                assert await attempt(worker, PASSWORD) == "in"
                assert await attempts(worker, 15) == {"InvalidCredentials": 10, "TooManyAttempts": 5}


async def test_when_redis_is_back_it_counts_again(database_url: str, line: Line) -> None:
    async with workers_on(cheap(database_url, redis_url=line.url, **LIMITED)) as workers:
        await line.cut()
        for worker in workers:
            assert await attempts(worker, 10) == {"InvalidCredentials": 10}
        await line.restore()
        workers[0].clock.advance(1)
        outcomes = Counter([await attempt(workers[number % 2]) for number in range(20)])
        assert outcomes == {"InvalidCredentials": 10, "TooManyAttempts": 10}


# --- The own password, registration


async def test_the_current_password_cannot_be_guessed_with_a_token_either(
    worker: Worker, hashes: list[str]
) -> None:  # PWR-09
    await worker.register()
    token = await worker.log_in()
    for _ in range(9):
        with pytest.raises(InvalidValue):
            await worker.change_password(token, "another good password", current="wrong")
    token = await worker.change_password(token, "another good password")
    for _ in range(10):
        with pytest.raises(InvalidValue):
            await worker.change_password(token, PASSWORD, current="wrong")
    hashes.clear()
    with pytest.raises(TooManyAttempts):
        await worker.change_password(token, PASSWORD, current="another good password")
    assert hashes == []
    assert await attempt(worker, "another good password") == "in", "that says nothing of logins"


async def test_one_address_registers_a_bounded_number_of_users(database_url: str) -> None:
    async with worker_on(cheap(database_url, registrations_per_address=3)) as worker:

        async def register(number: int, address: Address | None = ADDRESS) -> None:
            request = RegistrationRequest(email=f"user{number}@example.com", password=PASSWORD)
            await worker.flows.registration.register(request, address)

        for number in range(3):
            await register(number)
        with pytest.raises(TooManyAttempts):
            await register(3)
        await register(3, ELSEWHERE)
        await worker.flows.registration.create("operator@example.com", PASSWORD)
        assert await sql(database_url, "SELECT count(*) FROM auth.users") == 5


# --- Clients


def guessing(who: Caller, secret: str = "wrong") -> Caller:
    return Caller(who.client_id, secret)


async def outcome(worker: Worker, who: Caller, address: Address | None = ADDRESS) -> str:
    try:
        await worker.flows.exchange.authenticate(who.credentials, lambda: address)
    except AuthsvcError as error:
        return type(error).__name__
    return "in"


async def test_secrets_are_not_guessed_without_end_and_nobody_is_kept_out_by_it(database_url: str) -> None:  # GEN-10
    async with worker_on(cheap(database_url, client_failures=5)) as worker:
        client, other = await worker.client(), await worker.client()
        for who in (client, Caller("cli_nobody", "x")):
            told = [await outcome(worker, guessing(who)) for _ in range(8)]
            assert told == ["InvalidClient"] * 5 + ["TooManyAttempts"] * 3
        assert await outcome(worker, guessing(client), ELSEWHERE) == "InvalidClient"
        assert await outcome(worker, guessing(other)) == "InvalidClient"
        assert await outcome(worker, client) == "in"
        assert await outcome(worker, other) == "in"


async def test_a_client_gets_its_share_of_tokens_and_of_revocations_and_no_more(database_url: str) -> None:  # ATK-35
    async with worker_on(cheap(database_url, client_requests_per_minute=5)) as worker:
        client, other = await worker.client(), await worker.client()
        tokens = [await worker.mint(client) for _ in range(5)]
        with pytest.raises(TooManyAttempts):
            await worker.mint(client)
        for token in tokens:
            await worker.revoke(client, token)
        with pytest.raises(TooManyAttempts):
            await worker.revoke(client, tokens[0])
        assert await worker.mint(other)
        worker.clock.advance(60 / 5)
        token = await worker.mint(client)
        await worker.revoke(client, token)
        assert not await worker.is_active(client, token)


async def test_what_is_done_in_the_name_of_a_public_client_is_counted_by_address(database_url: str) -> None:
    async with worker_on(cheap(database_url, client_requests_per_minute=5)) as worker:
        public = await worker.client(public=True, grant_types=(GrantType.REFRESH_TOKEN,))
        assert [await outcome(worker, public) for _ in range(6)] == ["in"] * 5 + ["TooManyAttempts"]
        assert await outcome(worker, public, ELSEWHERE) == "in"


async def test_introspections_are_limited_by_client_where_that_is_asked_for(database_url: str) -> None:  # INT-14
    async with worker_on(cheap(database_url, introspections_per_minute=5)) as worker:
        client, other = await worker.client(), await worker.client()
        token = await worker.mint(other)
        assert all([await worker.is_active(client, token) for _ in range(5)])
        with pytest.raises(TooManyAttempts):
            await worker.is_active(client, token)
        assert await worker.is_active(other, token)


async def test_a_public_client_with_a_secret_is_no_better_than_a_wrong_one(database_url: str) -> None:
    async with worker_on(cheap(database_url, client_failures=2)) as worker:
        public = await worker.client(public=True, grant_types=(GrantType.REFRESH_TOKEN,))
        pretending = Caller(public.client_id, "x")
        for expected in (InvalidClient, InvalidClient, TooManyAttempts):
            with pytest.raises(expected):
                await worker.authenticate(pretending)
