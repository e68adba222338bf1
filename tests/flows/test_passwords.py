"""How passwords are kept: brought up to date when they are used, and peppered (PWS-03, PWS-04)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from authsvc.adapters.hasher import Hasher
from authsvc.errors import ConfigurationError, InvalidCredentials, InvalidValue, Unavailable
from authsvc.flows.passwords import Passwords
from authsvc.protocol.passwords import prepare
from authsvc.protocol.peppers import parse_pepper
from authsvc.tables import users
from tests.flows.workers import EMAIL, Worker, cheap, sql, worker_on
from tests.house_of import PASSWORD

OLD_PEPPER = "kR1f1V9T5jv2g8Gq0yPj3m8bW7c4aZ6xN1oQeUuHsYI"
NEW_PEPPER = "0yPj3m8bW7c4aZ6xN1oQeUuHsYIkR1f1V9T5jv2g8GQ"
NEW = "another good password"

WEAK, STRONG = {"password_hash_passes": 1}, {"password_hash_passes": 3}


@pytest.fixture
def stored(database_url: str) -> Any:
    async def read() -> str:
        return str(await sql(database_url, "SELECT password_hash FROM auth.users"))

    return read


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What Argon2 computed: verifications and hashes."""
    seen: list[str] = []
    run = Hasher._run

    async def watched(self: Hasher, work: Any) -> Any:
        seen.append("one")
        return await run(self, work)

    monkeypatch.setattr(Hasher, "_run", watched)
    yield seen


@asynccontextmanager
async def worker(database_url: str, **settings: Any) -> AsyncIterator[Worker]:
    async with worker_on(cheap(database_url, **settings)) as worker:
        yield worker


def passwords_of(worker: Worker) -> Passwords:
    return worker.flows.login._password._passwords


# --- Brought up to date


async def test_a_login_replaces_a_hash_that_is_weaker_than_todays_and_no_other(
    database_url: str, stored: Any, computed: list[str]
) -> None:
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        weak = await stored()
        token = await then.log_in()
        assert await stored() == weak, "it is as strong as the others here"
        computed.clear()
        assert await now.log_in()
        strong = await stored()
        assert strong.startswith("$argon2id$v=19$m=8,t=3,p=1$")
        assert len(computed) == 2, "one to verify, one to renew"
        for each in (now, then, now):
            assert await each.log_in()
            assert await stored() == strong
        assert await now.is_let_in(token), "it is the same password: nobody is logged out"


async def test_who_does_not_know_the_password_renews_nothing(
    database_url: str, stored: Any, computed: list[str]
) -> None:
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        weak = await stored()
        computed.clear()
        with pytest.raises(InvalidCredentials):
            await now.log_in(password="another password")
        assert len(computed) == 1
        assert await stored() == weak


async def test_of_many_logins_at_once_while_hashes_are_renewed_none_is_refused(database_url: str) -> None:
    threads = {"password_hash_threads": 2}
    async with (
        worker(database_url, **WEAK) as then,
        worker(database_url, **STRONG, **threads) as here,
        worker(database_url, **STRONG, **threads) as there,
    ):
        for turn in range(20):
            email = f"user{turn}@example.com"
            await then.register(email)
            await asyncio.gather(*(each.log_in(email) for each in (here, there, then) * 4))
            await here.log_in(email)
        assert await sql(database_url, "SELECT bool_and(password_hash LIKE '%t=3%') FROM auth.users")


@pytest.mark.parametrize("changed", [False, True], ids=["renewed", "changed"])
async def test_a_session_is_opened_for_a_password_and_not_for_its_hash(
    database_url: str, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    """Between the verification and the session somebody else is faster: another login, or a change of the password."""
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        token = await then.log_in()
        open_session = then.flows.login._open_session

        async def late(*arguments: Any, **more: Any) -> Any:
            monkeypatch.setattr(then.flows.login, "_open_session", open_session)
            await (now.change_password(token, NEW) if changed else now.log_in())
            return await open_session(*arguments, **more)

        monkeypatch.setattr(then.flows.login, "_open_session", late)
        if changed:
            with pytest.raises(InvalidCredentials):
                await then.log_in()
        else:
            assert await then.is_let_in(await then.log_in())


async def test_a_password_is_changed_while_its_hash_is_renewed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        token = await then.log_in()
        hash_new = Passwords.hash

        async def late(self: Passwords, prepared: bytes) -> str:
            await now.log_in()
            return await hash_new(self, prepared)

        monkeypatch.setattr(Passwords, "hash", late)
        assert await then.is_let_in(await then.change_password(token, NEW))
        assert await now.log_in(password=NEW)


async def test_a_password_that_was_changed_meanwhile_stays_changed(database_url: str) -> None:
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        before = await then.flows.users.get(EMAIL)
        await then.change_password(await then.log_in(), NEW)
        await passwords_of(now).bring_up_to_date(before, prepare(PASSWORD))
        with pytest.raises(InvalidCredentials):
            await now.log_in()
        assert await now.log_in(password=NEW)


async def test_a_login_does_not_wait_for_a_thread_to_renew_a_hash(
    database_url: str, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        weak = await stored()
        hasher = passwords_of(now)._hasher
        with monkeypatch.context() as patch:
            patch.setattr(hasher, "_queue", hasher._room)  # as if every thread were at work
            assert await now.log_in()
        assert await stored() == weak
        assert await now.log_in()
        assert await stored() != weak


async def test_a_hash_that_cannot_be_written_does_not_fail_the_login(
    database_url: str, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise Unavailable

    async with worker(database_url, **WEAK) as then, worker(database_url, **STRONG) as now:
        await then.register()
        weak = await stored()
        monkeypatch.setattr(users, "update_password_hash", away)
        assert await now.log_in()
        assert await stored() == weak


# --- Peppered


async def test_without_its_pepper_a_hash_verifies_nothing_and_that_is_no_wrong_password(
    database_url: str, stored: Any, computed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    pepper = parse_pepper(OLD_PEPPER)
    async with worker(database_url, password_pepper=OLD_PEPPER) as with_it, worker(database_url) as without:
        await with_it.register()
        assert (await stored()).startswith(f"p:{pepper.id}$argon2id$v=19$")
        assert await with_it.log_in()
        with pytest.raises(InvalidCredentials):
            await with_it.log_in(password="another password")

        computed.clear()
        for password in (PASSWORD, "another password"):
            with pytest.raises(Unavailable):
                await without.log_in(password=password)
        assert len(computed) == 2, "the work is the same"
        assert {record.message for record in caplog.records} == {
            "a password hash was made with a pepper that is not set"
        }
        assert OLD_PEPPER not in caplog.text

        # The hash of the database alone, without what stands in front of it.
        await sql(database_url, "UPDATE auth.users SET password_hash = substr(password_hash, 19)")
        for each in (with_it, without):
            with pytest.raises(InvalidCredentials):
                await each.log_in()


async def test_a_pepper_is_brought_in_exchanged_and_taken_out_by_logins(database_url: str, stored: Any) -> None:
    old, new = parse_pepper(OLD_PEPPER).id, parse_pepper(NEW_PEPPER).id
    async with worker(database_url) as first:
        await first.register()
        assert (await stored()).startswith("$argon2id$")
    for settings, prefix in [
        ({"password_pepper_previous": OLD_PEPPER}, "$argon2id$"),
        ({"password_pepper": OLD_PEPPER}, f"p:{old}$argon2id$"),
        ({"password_pepper": OLD_PEPPER, "password_pepper_previous": NEW_PEPPER}, f"p:{old}$argon2id$"),
        ({"password_pepper": NEW_PEPPER, "password_pepper_previous": OLD_PEPPER}, f"p:{new}$argon2id$"),
        ({"password_pepper": NEW_PEPPER}, f"p:{new}$argon2id$"),
        ({"password_pepper_previous": NEW_PEPPER}, "$argon2id$"),
        ({}, "$argon2id$"),
    ]:
        async with worker(database_url, **settings) as now:
            assert await now.log_in()
            assert (await stored()).startswith(prefix), settings
            assert await now.log_in()


async def test_a_password_is_changed_under_the_pepper_of_today(database_url: str, stored: Any) -> None:
    async with worker(database_url) as then, worker(database_url, password_pepper=NEW_PEPPER) as now:
        await then.register()
        token = await then.log_in()
        with pytest.raises(InvalidValue):
            await now.change_password(token, NEW, "not the current one")
        await now.change_password(token, NEW)
        assert (await stored()).startswith(f"p:{parse_pepper(NEW_PEPPER).id}$argon2id$")
        assert await now.log_in(password=NEW)


async def test_a_stranger_costs_one_hash_under_a_pepper_too(database_url: str, computed: list[str]) -> None:  # LOG-02
    async with worker(database_url, password_pepper=NEW_PEPPER) as here:
        computed.clear()
        with pytest.raises(InvalidCredentials):
            await here.log_in("nobody@example.com")
        assert len(computed) == 1


@pytest.mark.parametrize("setting", ["password_pepper", "password_pepper_previous"])
async def test_a_service_does_not_start_with_what_is_no_pepper(database_url: str, setting: str) -> None:
    with pytest.raises(ConfigurationError, match="pepper"):
        async with worker(database_url, **{setting: "not a pepper"}):
            pass
