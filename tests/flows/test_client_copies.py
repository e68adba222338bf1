"""Copies of client rows: how old they get, who loads them, and what an impatient caller takes from the others."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc.errors import Unavailable
from authsvc.flows.client_copies import MAX_COPIES, MAX_ID_LENGTH, READ_AGAIN_SECONDS, ClientCopies
from authsvc.flows.lease import Lease
from authsvc.metrics import Metrics
from authsvc.models import Client
from authsvc.protocol.revocation import client_mark
from authsvc.tables import clients, revocations
from authsvc.tables.db import Database
from tests.house_of import FakeClock
from tests.tables.rows import LATER, NOW, a_client, database_on


class Watched(Database):
    """Counts its questions and the rows that were read, and lets each answer out when the gate is open."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked = self.read = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetchrow(self, query: str, *args: object) -> Any:
        self.asked += 1
        row = await super().fetchrow(query, *args)
        self.read += 1
        await self.gate.wait()
        return row


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Watched]:
    db = Watched(database_url, size=4, timeout=5, name="watched")
    await db.open()
    yield db
    await db.close()


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Database]:
    """Where another worker changes things."""
    async with database_on(database_url) as db:
        yield db


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def copies(db: Watched, clock: FakeClock) -> ClientCopies:
    """Of a worker that has no lease."""
    return ClientCopies(db, Lease(db, clock, Metrics(CollectorRegistry())), clock)


@pytest.fixture
async def client(outside: Database) -> Client:
    client = a_client()
    await clients.insert_client(outside, client)
    return client


async def rename(outside: Database, client: Client) -> None:
    await outside.execute("UPDATE auth.clients SET name = 'renamed' WHERE client_id = $1", client.client_id)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_copy_holds_the_row_and_its_number(copies: ClientCopies, client: Client, outside: Database) -> None:
    number = await revocations.raise_generation(outside, client_mark(client.client_id), now=NOW, expires_at=LATER)
    copy = await copies.find(client.client_id)
    assert copy is not None
    assert (copy.client, copy.generation) == (client, number)


async def test_a_copy_is_believed_for_less_than_a_second_and_no_longer(
    copies: ClientCopies, client: Client, outside: Database, db: Watched, clock: FakeClock
) -> None:
    await copies.find(client.client_id)
    await rename(outside, client)
    clock.advance(0.999)
    copy = await copies.find(client.client_id)
    assert copy is not None
    assert (copy.client.name, db.asked) == ("a client", 1)
    clock.advance(0.001)
    copy = await copies.find(client.client_id)
    assert copy is not None
    assert (copy.client.name, db.asked) == ("renamed", 2)


async def test_the_age_of_a_copy_is_counted_from_the_question_and_not_from_the_answer(
    copies: ClientCopies, client: Client, outside: Database, db: Watched, clock: FakeClock
) -> None:
    db.gate.clear()
    slow = asyncio.create_task(copies.find(client.client_id))
    await until(lambda: db.read == 1)  # and waits behind the gate
    clock.advance(0.6)
    db.gate.set()
    await slow
    await rename(outside, client)
    clock.advance(0.4)
    copy = await copies.find(client.client_id)
    assert copy is not None
    assert copy.client.name == "renamed"


async def test_nobody_joins_a_question_that_is_a_second_old(
    copies: ClientCopies, client: Client, outside: Database, db: Watched, clock: FakeClock
) -> None:
    """A store that is slow to answer: what it read was true when it was asked, and is perhaps no longer."""
    db.gate.clear()
    early = asyncio.create_task(copies.find(client.client_id))
    await until(lambda: db.read == 1)
    await rename(outside, client)
    clock.advance(1)
    late = asyncio.create_task(copies.find(client.client_id))
    await until(lambda: db.read == 2)
    db.gate.set()
    first, second = await early, await late
    assert first is not None
    assert second is not None
    assert (first.client.name, second.client.name) == ("a client", "renamed")
    await asyncio.sleep(0)
    assert copies._loading == {}


async def test_one_load_is_for_all_who_ask(copies: ClientCopies, client: Client, db: Watched) -> None:
    db.gate.clear()
    tasks = [asyncio.create_task(copies.find(client.client_id)) for _ in range(100)]
    await until(lambda: db.asked == 1)
    db.gate.set()
    found = await asyncio.gather(*tasks)
    assert {copy.client.client_id for copy in found if copy is not None} == {client.client_id}
    assert len(found) == 100
    assert db.asked == 1


async def test_an_impatient_caller_does_not_take_the_load_from_the_others(
    copies: ClientCopies, client: Client, db: Watched
) -> None:
    db.gate.clear()
    tasks = [asyncio.create_task(copies.find(client.client_id)) for _ in range(5)]
    await until(lambda: db.asked == 1)
    tasks[0].cancel()  # the one who began it
    tasks[3].cancel()
    await asyncio.sleep(0)
    db.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "CancelledError",
        "ClientCopy",
        "ClientCopy",
        "CancelledError",
        "ClientCopy",
    ]
    assert db.asked == 1


async def test_a_load_that_everybody_hung_up_on_is_kept_and_complains_of_nothing(
    copies: ClientCopies, client: Client, db: Watched
) -> None:
    db.gate.clear()
    task = asyncio.create_task(copies.find(client.client_id))
    await until(lambda: db.asked == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    db.gate.set()
    await until(lambda: not copies._loading)
    assert await copies.find(client.client_id) is not None
    assert db.asked == 1


# --- Newer ones


async def test_a_newer_copy_is_of_after_the_question_and_is_kept(
    copies: ClientCopies, client: Client, outside: Database, db: Watched
) -> None:
    await copies.find(client.client_id)
    await rename(outside, client)
    for find in (copies.find_newer, copies.find):
        copy = await find(client.client_id)
        assert copy is not None
        assert copy.client.name == "renamed"
    assert db.asked == 2


async def test_nobody_joins_a_newer_copy_that_is_already_being_read(
    copies: ClientCopies, client: Client, outside: Database, db: Watched
) -> None:
    db.gate.clear()
    early = asyncio.create_task(copies.find_newer(client.client_id))
    await until(lambda: db.read == 1)  # and waits behind the gate
    await rename(outside, client)
    late = asyncio.create_task(copies.find_newer(client.client_id))
    await until(lambda: db.read == 2)
    db.gate.set()
    first, second = await early, await late
    assert first is not None
    assert second is not None
    assert (first.client.name, second.client.name) == ("a client", "renamed")


async def test_wrong_secrets_do_not_make_it_many_questions(copies: ClientCopies, client: Client, db: Watched) -> None:
    started = perf_counter()

    async def hammer() -> None:
        while perf_counter() - started < 0.5:
            assert await copies.find_newer(client.client_id) is not None

    await asyncio.gather(*(hammer() for _ in range(100)))
    assert 2 <= db.asked <= (perf_counter() - started) / READ_AGAIN_SECONDS + 1


async def test_one_client_does_not_wait_for_the_newer_copy_of_another(copies: ClientCopies, db: Watched) -> None:
    await copies.find_newer("cli_hammered")
    waiting = asyncio.create_task(copies.find_newer("cli_hammered"))
    await asyncio.sleep(0)
    await copies.find_newer("cli_other")
    assert not waiting.done()
    assert await waiting is None


async def test_an_impatient_caller_does_not_take_the_newer_copy_from_the_others(
    copies: ClientCopies, client: Client, db: Watched
) -> None:
    db.gate.clear()
    tasks = [asyncio.create_task(copies.find_newer(client.client_id)) for _ in range(3)]
    await until(lambda: db.asked == 1)
    tasks[0].cancel()
    db.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["CancelledError", "ClientCopy", "ClientCopy"]
    assert db.asked == 1


async def test_of_newer_copies_no_more_is_remembered_than_of_copies(
    copies: ClientCopies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.flows.client_copies.MAX_COPIES", 5)
    for number in range(20):
        await copies.find_newer(f"cli_{number}")
    assert len(copies._read_again_at) <= 5
    assert copies._next == {}


# --- What fails


async def test_a_load_that_fails_fails_all_and_is_not_remembered(client: Client, clock: FakeClock, db: Watched) -> None:
    async with database_on("postgresql://postgres@/x?host=/nowhere") as nowhere:
        copies = ClientCopies(nowhere, Lease(db, clock, Metrics(CollectorRegistry())), clock)
        outcomes = await asyncio.gather(*(copies.find(client.client_id) for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 5
        await until(lambda: not copies._loading)
        copies._db = db
        assert await copies.find(client.client_id) is not None


async def test_a_copy_that_is_too_old_is_not_believed_for_want_of_a_better_one(
    client: Client, clock: FakeClock, copies: ClientCopies
) -> None:
    assert await copies.find(client.client_id) is not None
    async with database_on("postgresql://postgres@/x?host=/nowhere") as nowhere:
        copies._db = nowhere
        assert await copies.find(client.client_id) is not None
        clock.advance(1)
        with pytest.raises(Unavailable):
            await copies.find(client.client_id)


async def test_a_copy_of_a_disabled_client_is_not_kept(
    copies: ClientCopies, client: Client, outside: Database, db: Watched
) -> None:
    await clients.update_disabled(outside, client.client_id, NOW)
    for asked in (1, 2):
        copy = await copies.find(client.client_id)
        assert copy is not None
        assert copy.client.disabled_at == NOW
        assert db.asked == asked
    await clients.update_disabled(outside, client.client_id, None)
    copy = await copies.find(client.client_id)
    assert copy is not None
    assert copy.client.disabled_at is None


async def test_that_a_client_is_unknown_is_remembered_for_a_second_too(
    copies: ClientCopies, db: Watched, clock: FakeClock
) -> None:
    for asked in (1, 1, 2):
        if asked == 2:
            clock.advance(1)
        assert await copies.find("cli_nobody") is None
        assert db.asked == asked


@pytest.mark.parametrize("text", ["a\0b", "ü", "x" * (MAX_ID_LENGTH + 1), "x" * 1_000_000, "a\nb", "\ud800", "１"])
async def test_what_no_client_is_called_is_neither_asked_for_nor_remembered(
    copies: ClientCopies, db: Watched, text: str
) -> None:  # ATK-48
    assert await copies.find(text) is None
    assert await copies.find_newer(text) is None
    assert db.asked == 0
    assert copies._copies == {}


async def test_so_many_are_kept_and_no_more(copies: ClientCopies, db: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_COPIES == 10_000
    monkeypatch.setattr("authsvc.flows.client_copies.MAX_COPIES", 5)
    for number in range(20):
        await copies.find(f"cli_{number}")
        assert len(copies._copies) <= 5
    assert set(copies._copies) == {f"cli_{number}" for number in range(15, 20)}
    await copies.find("cli_19")
    assert db.asked == 20
