"""Logging in: the same work and the same word for everybody who may not (LOG-01, LOG-02)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from authsvc.errors import InvalidClient, InvalidCredentials, InvalidScope, InvalidValue, Unavailable
from tests.flows.workers import (
    EMAIL,
    Worker,
    active_everywhere,
    cheap,
    claims_of,
    contents,
    count,
    sql,
    worker_on,
)
from tests.house_of import PASSWORD
from tests.tables.line import line_to

Prepare = Callable[[Worker], Awaitable[Any]]


async def _nobody(worker: Worker) -> None:
    pass


async def _somebody(worker: Worker) -> None:
    await worker.register(EMAIL, "quite another password")


async def _disabled(worker: Worker) -> None:
    await worker.flows.users.disable(await worker.register())


async def _deleted(worker: Worker) -> None:
    await worker.flows.users.delete(await worker.register())


async def _without_password(worker: Worker) -> None:
    await worker.register()
    await sql(worker.settings.database_url, "UPDATE auth.users SET password_hash = NULL")


async def _with_an_unusable_hash(worker: Worker) -> None:
    await worker.register()
    unusable = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$uW4hkbxS8ltU5i9eZ1HVdYpIqQjQVNtZdqRlDfSyVwY"
    await sql(worker.settings.database_url, "UPDATE auth.users SET password_hash = $1", unusable)


async def _with_plain_text_for_a_hash(worker: Worker) -> None:
    await worker.register()
    await sql(worker.settings.database_url, "UPDATE auth.users SET password_hash = $1", PASSWORD)


@pytest.mark.parametrize(
    "prepare",
    [_nobody, _somebody, _disabled, _deleted, _without_password, _with_an_unusable_hash, _with_plain_text_for_a_hash],
)
async def test_who_may_not_log_in_is_told_one_thing_at_the_cost_of_one_hash(
    worker: Worker, prepare: Prepare, hashes: list[str]
) -> None:  # ATK-40, ATK-44
    await prepare(worker)
    before = await contents(worker.settings.database_url)
    with pytest.raises(InvalidCredentials) as caught:
        await worker.log_in()
    assert str(caught.value) == str(InvalidCredentials())
    assert caught.value.__cause__ is None
    assert len(hashes) == 1
    assert await contents(worker.settings.database_url) == before


async def test_an_address_that_nobody_can_have_is_nobodys_at_the_same_cost(worker: Worker, hashes: list[str]) -> None:
    emails = ["", "nobody", "a@b@example.com", "a b@example.com", "a\0@example.com", "@", "x" * 9999]
    for email in emails:
        with pytest.raises(InvalidCredentials):
            await worker.log_in(email)
    assert len(hashes) == len(emails)


async def test_who_may_log_in_costs_one_hash_too(worker: Worker, hashes: list[str]) -> None:
    await worker.register()
    await worker.log_in()
    assert len(hashes) == 1


async def test_one_address_has_many_spellings_and_one_user(worker: Worker) -> None:
    sub = await worker.register("Ada@example.com")
    for email in ("ada@example.com", "ADA@Example.COM", "ada@ｅｘａｍｐｌｅ.com"):
        assert claims_of(await worker.log_in(email))["sub"] == sub


async def test_a_password_is_right_to_the_letter(worker: Worker) -> None:  # ATK-45
    await worker.register()
    for wrong in (PASSWORD + " ", " " + PASSWORD, PASSWORD.upper(), PASSWORD[:-1], PASSWORD + "\0", ""):
        with pytest.raises(InvalidCredentials):
            await worker.log_in(password=wrong)


async def test_a_password_is_the_same_however_its_letters_are_composed(worker: Worker) -> None:  # PWR-04
    await worker.register(password="caf\u00e9 cr\u00e8me, cr\u00eape")
    assert await worker.log_in(password="cafe\u0301 cre\u0300me, cre\u0302pe")


async def test_a_password_that_is_never_hashed_costs_no_hash(worker: Worker, hashes: list[str]) -> None:
    await worker.register()
    for password in ("x" * 257, "ü" * 600, "x" * 60_000, "\ud800" * 20):  # ATK-42
        with pytest.raises(InvalidValue):
            await worker.log_in(password=password)
    assert hashes == []


async def test_every_login_opens_a_session_of_its_own(workers: list[Worker]) -> None:  # ATK-60
    here = workers[0]
    await here.register()
    tokens = await asyncio.gather(*(worker.log_in() for worker in workers for _ in range(10)))
    for name in ("sid", "jti", "grant_id"):
        assert len({claims_of(token)[name] for token in tokens}) == 20
    assert await count(here.settings.database_url, "sessions") == 20
    assert {claims_of(token)["sub"] for token in tokens} == {claims_of(tokens[0])["sub"]}
    assert claims_of(tokens[0])["amr"] == ["pwd"]


async def test_a_user_is_logged_in_by_first_party_clients_alone(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    ours = await here.client(first_party=True, scope="read", grant_types=())
    theirs = await here.client()
    assert claims_of(await here.log_in(client_id=ours.client_id))["client_id"] == ours.client_id
    for stranger in (theirs.client_id, "cli_nobody", "", "a\0b", "ü", "x" * 9999):
        with pytest.raises(InvalidClient):
            await here.log_in(client_id=stranger)
    with pytest.raises(InvalidScope):
        await here.log_in(client_id=ours.client_id, scope="read write")
    await there.flows.clients.disable(ours.client_id)
    with pytest.raises((InvalidClient, InvalidCredentials)):
        await here.log_in(client_id=ours.client_id)
    here.clock.advance(1)
    with pytest.raises(InvalidClient):
        await here.log_in(client_id=ours.client_id)
    await there.flows.clients.enable(ours.client_id)
    token = await here.log_in(client_id=ours.client_id)
    assert await active_everywhere(workers, theirs, token)


async def test_the_built_in_client_can_be_disabled_like_any_other(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    await here.register()
    token = await here.log_in()
    await there.flows.clients.disable("first-party")
    assert not await active_everywhere(workers, asker, token)
    for worker in workers:
        with pytest.raises((InvalidClient, InvalidCredentials)):
            await worker.log_in()


async def test_a_disabled_user_is_let_in_again_when_enabled_and_old_tokens_stay_dead(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    token = await here.log_in()
    await there.flows.users.disable(sub)
    with pytest.raises(InvalidCredentials):
        await here.log_in()
    await there.flows.users.enable(sub)
    assert await active_everywhere(workers, asker, await here.log_in())
    assert not await active_everywhere(workers, asker, token)


# --- Storms and outages


async def test_a_storm_of_logins_is_shed_and_holds_up_nobody_else(database_url: str) -> None:  # ATK-43, ATK-107
    settings = cheap(database_url, password_hash_memory_kib=19_456, password_hash_passes=2, password_hash_queue=8,
                     password_hash_threads=1)  # fmt: skip
    async with worker_on(settings) as worker:
        owner = await worker.client()
        token = await worker.mint(owner)
        await worker.register()
        outcomes: Counter[str] = Counter()
        over = asyncio.Event()

        async def log_in(number: int) -> None:
            try:
                await worker.log_in(EMAIL if number % 2 else "nobody@example.com")
            except (InvalidCredentials, Unavailable) as error:
                outcomes[type(error).__name__] += 1
            else:
                outcomes["let in"] += 1

        async def introspect() -> int:
            answered = 0
            while not over.is_set():
                assert await worker.is_active(owner, token)
                answered += 1
            return answered

        introspecting = asyncio.create_task(introspect())
        await asyncio.gather(*(log_in(number) for number in range(500)))
        over.set()
        assert await introspecting > 20
        assert outcomes.total() == 500
        assert outcomes["Unavailable"] >= 480
        assert outcomes["let in"] + outcomes["InvalidCredentials"] == 500 - outcomes["Unavailable"] > 0
        assert await worker.log_in()


async def test_a_login_that_cannot_be_looked_up_or_written_is_no_verdict(database_url: str) -> None:
    async with line_to(database_url) as line, worker_on(cheap(line.url)) as worker:
        await worker.register()
        await line.cut()
        for email in (EMAIL, "nobody@example.com"):
            with pytest.raises(Unavailable):
                await worker.log_in(email)
        await line.restore()
        assert await worker.log_in()


async def test_a_queue_that_is_full_is_told_before_anything_is_looked_up(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:  # LOG-08: nothing is said of who exists
    monkeypatch.setattr(worker.flows.login._password._passwords._hasher, "_room", 0)
    monkeypatch.setattr(worker.flows.login, "_find_client", None)
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(Unavailable):
            await worker.log_in(email)
