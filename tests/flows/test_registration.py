"""New users, and users who come back under an address that was somebody's before (ATK-21, ATK-47)."""

import asyncio
from collections import Counter

import pytest

from authsvc.errors import EmailTaken, Forbidden, InvalidCredentials, InvalidGrant, InvalidValue, Unavailable
from authsvc.protocol.accounts import RegistrationRequest
from tests.flows.workers import (
    ADDRESS,
    EMAIL,
    Caller,
    Worker,
    active_everywhere,
    cheap,
    claims_of,
    count,
    sql,
    worker_on,
)
from tests.house_of import PASSWORD
from tests.tables.line import line_to

SPELLINGS = ["ada@example.com", "Ada@Example.com", "ADA@EXAMPLE.COM", "ada@ｅｘａｍｐｌｅ.com", "ａda@example.com"]


async def test_of_twenty_who_register_one_address_at_once_one_gets_it(workers: list[Worker]) -> None:
    async def register(number: int) -> str:
        return await workers[number % 2].register(SPELLINGS[number % 5], f"{PASSWORD} {number}")

    outcomes = await asyncio.gather(*(register(number) for number in range(20)), return_exceptions=True)
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"str": 1, "EmailTaken": 19}
    assert await count(workers[0].settings.database_url, "users") == 1
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            assert claims_of(await workers[1].log_in(password=f"{PASSWORD} {number}"))["sub"] == outcome
        else:
            with pytest.raises(InvalidCredentials):
                await workers[1].log_in(password=f"{PASSWORD} {number}")


async def test_a_user_made_anew_under_an_old_address_is_somebody_else(workers: list[Worker]) -> None:  # ATK-21
    here, there = workers
    asker = await here.client()
    public = Caller("first-party", None)
    subs = [await here.register()]
    opened = await here.open_session()
    for _ in range(3):
        await there.flows.users.delete(subs[-1])
        subs.append(await here.register())
        assert not await active_everywhere(workers, asker, opened.access_token)
        for worker in workers:
            assert not await worker.is_let_in(opened.access_token)
            with pytest.raises(InvalidGrant):
                await worker.refresh(public, str(opened.refresh_token))
    assert len(set(subs)) == 4
    assert await active_everywhere(workers, asker, await here.log_in())


async def test_a_new_user_is_as_asked_for_and_nothing_more(worker: Worker) -> None:  # ATK-49
    request = RegistrationRequest(email="Ada@Example.com", password=PASSWORD)
    user = await worker.flows.registration.register(request, ADDRESS)
    assert await worker.flows.users.get(user.sub) == user
    assert user.sub.startswith("usr_")
    assert (user.email, user.email_canonical) == ("Ada@Example.com", "ada@example.com")
    assert (user.email_verified, user.claims, user.disabled_at) == (False, {}, None)
    assert user.created_at == worker.clock.now()
    assert user.password_hash is not None
    assert PASSWORD not in user.password_hash
    assert user.password_hash.startswith("$argon2id$")


async def test_an_operator_may_vouch_for_a_user(worker: Worker) -> None:
    user = await worker.flows.registration.create(
        EMAIL, PASSWORD, email_verified=True, claims={"name": "Ada", "locale": "en"}
    )
    assert await worker.flows.users.get(EMAIL) == user
    assert (user.email_verified, user.claims) == (True, {"name": "Ada", "locale": "en"})


async def test_closed_registration_is_closed_to_users_and_open_to_operators(database_url: str) -> None:
    async with worker_on(cheap(database_url, registration="closed")) as worker:
        with pytest.raises(Forbidden):
            await worker.register()
        assert await count(database_url, "users") == 0
        assert await worker.flows.registration.create(EMAIL, PASSWORD)


async def test_what_is_not_acceptable_makes_no_user(workers: list[Worker]) -> None:
    for email in ("nobody", "a@b@example.com", "ada\0@example.com", ""):
        with pytest.raises(InvalidValue):
            await workers[0].register(email)
    for password in (
        "x" * 14,
        "é" * 14,
        "e\u0301" * 14,
        "x" * 257,
        "\ud800" * 20,
        "",
        "password1234567",
        "ada ada ada ada",
    ):
        with pytest.raises(InvalidValue):
            await workers[0].register(EMAIL, password)
    assert await count(workers[0].settings.database_url, "users") == 0


async def test_what_is_acceptable_makes_a_user_who_can_log_in(workers: list[Worker]) -> None:
    long = "".join(chr(code) for code in range(0x100, 0x200))
    for number, password in enumerate(["lowercaseletter", "  blanks around  ", "password\0with\0nul", long]):
        await workers[0].register(f"user{number}@example.com", password)
        assert await workers[1].log_in(f"user{number}@example.com", password)


async def test_a_registration_that_cannot_be_written_is_no_verdict(database_url: str) -> None:
    async with line_to(database_url) as line, worker_on(cheap(line.url)) as worker:
        await line.cut()
        with pytest.raises(Unavailable):
            await worker.register()
        await line.restore()
        await worker.register()
        with pytest.raises(EmailTaken):
            await worker.register()


async def test_no_password_and_no_hash_is_kept_anywhere_but_in_its_column(worker: Worker) -> None:
    await worker.register()
    await worker.log_in()
    url = worker.settings.database_url
    stored = await sql(url, "SELECT password_hash FROM auth.users")
    for table in ("users", "sessions", "grants", "token_blacklist"):
        query = f"SELECT coalesce(string_agg((to_jsonb(t) - 'password_hash')::text, ' '), '') FROM auth.{table} t"
        text = await sql(url, query)
        assert PASSWORD not in text
        assert stored not in text
