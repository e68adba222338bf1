"""Copies of client rows under a lease: they stay for as long as it, and end when it is renewed after any change."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from authsvc.errors import Unavailable
from authsvc.flows.client_copies import MAX_AGE_SECONDS, ClientCopies
from authsvc.flows.lease import MAX_DRIFT_SECONDS
from authsvc.models import Client
from authsvc.tables import clients
from authsvc.tables.db import Database
from tests.flows.nodes import Node, node_on
from tests.house_of import FakeClock, database_away
from tests.tables.rows import NOW, a_client, database_on

T = 5.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def node(database_url: str, clock: FakeClock) -> AsyncIterator[Node]:
    """With a lease, and nothing that renews it unasked."""
    async with node_on(database_url, None, clock) as node:
        await put(node, "R")
        await node.lease.renew()
        yield node


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Database]:
    """Where another worker changes things."""
    async with database_on(database_url) as db:
        yield db


@pytest.fixture
def copies(node: Node, clock: FakeClock) -> ClientCopies:
    return ClientCopies(node.db, node.lease, clock)


@pytest.fixture
async def client(outside: Database) -> Client:
    client = a_client()
    await clients.insert_client(outside, client)
    return client


async def put(node: Node, state: str) -> None:
    await node.db.execute("UPDATE auth.cache_mode SET state = $1, epoch = epoch + 1, nonce = 'nonce'", state)


async def rename(db: Database, client: Client, name: str = "renamed") -> None:
    await db.execute("UPDATE auth.clients SET name = $2 WHERE client_id = $1", client.client_id, name)


async def name_of(copies: ClientCopies, client: Client) -> str:
    copy = await copies.find(client.client_id)
    assert copy is not None
    return copy.client.name


async def test_a_copy_is_good_for_as_long_as_the_lease_without_a_question(
    copies: ClientCopies, client: Client, clock: FakeClock, database_url: str
) -> None:
    await name_of(copies, client)
    async with database_away(database_url):
        clock.advance(T - 0.001)
        assert await name_of(copies, client) == "a client"
        clock.advance(0.001)
        with pytest.raises(Unavailable):
            await copies.find(client.client_id)
    assert await name_of(copies, client) == "a client"


async def test_each_renewal_that_sees_no_change_makes_it_as_good_as_new(
    node: Node, copies: ClientCopies, client: Client, clock: FakeClock, database_url: str
) -> None:
    await name_of(copies, client)
    for _ in range(20):
        clock.advance(T - 1)
        await node.lease.renew()
    async with database_away(database_url):
        clock.advance(T - 1)
        assert await name_of(copies, client) == "a client"


async def test_a_change_is_seen_at_the_next_renewal_and_before_it_only_by_who_has_no_copy(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock
) -> None:
    await name_of(copies, client)
    clock.advance(MAX_AGE_SECONDS)
    await rename(outside, client)
    assert await name_of(copies, client) == "a client"
    assert await name_of(ClientCopies(node.db, node.lease, clock), client) == "renamed"
    await node.lease.renew()
    assert await name_of(copies, client) == "renamed"


@pytest.mark.parametrize("ends", ["disabled", "deleted"])
async def test_who_was_disabled_or_deleted_is_so_from_the_next_renewal_on(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock, ends: str
) -> None:
    await name_of(copies, client)
    clock.advance(MAX_AGE_SECONDS)
    if ends == "disabled":
        await clients.update_disabled(outside, client.client_id, NOW)
    else:
        await outside.execute("DELETE FROM auth.clients WHERE client_id = $1", client.client_id)
    await node.lease.renew()
    copy = await copies.find(client.client_id)
    assert copy is None or copy.client.disabled_at is not None


async def test_a_change_between_the_reading_and_the_renewal_is_not_missed(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock
) -> None:
    """Neither by a copy that is older than the lease, nor by one that is newer, whichever was read under what."""
    for turn in range(3):
        await rename(outside, client, f"{turn} before")
        await copies.load(client.client_id)
        await rename(outside, client, f"{turn} after")
        await node.lease.renew()
        clock.advance(MAX_AGE_SECONDS)
        assert await name_of(copies, client) == f"{turn} after"


async def test_a_copy_that_is_newer_than_the_lease_is_good_for_its_second_and_then_as_the_next_renewal_says(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock, database_url: str
) -> None:
    await rename(outside, client)
    assert await name_of(copies, client) == "renamed"
    clock.advance(MAX_AGE_SECONDS)
    async with database_away(database_url):
        assert node.lease.current() is not None
        with pytest.raises(Unavailable):
            await copies.find(client.client_id)
    await node.lease.renew()
    assert await name_of(copies, client) == "renamed"
    async with database_away(database_url):
        clock.advance(T - 0.001)
        assert await name_of(copies, client) == "renamed"


async def test_an_old_copy_that_comes_late_is_not_taken_for_a_new_one(
    node: Node,
    copies: ClientCopies,
    client: Client,
    outside: Database,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two read at once, and the answer that was given first comes last."""
    gate, was_read, read = asyncio.Event(), asyncio.Event(), node.db.fetchrow

    async def slow(query: str, *args: object) -> object:
        row = await read(query, *args)
        was_read.set()
        await gate.wait()
        return row

    monkeypatch.setattr(node.db, "fetchrow", slow)
    late = asyncio.create_task(copies.load(client.client_id))
    await was_read.wait()
    monkeypatch.undo()
    await rename(outside, client)
    await node.lease.renew()
    assert await name_of(copies, client) == "renamed"
    gate.set()
    await late
    clock.advance(MAX_AGE_SECONDS)
    assert await name_of(copies, client) == "renamed"


async def test_a_change_of_another_client_costs_one_reading(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock, database_url: str
) -> None:
    other = a_client()
    await clients.insert_client(outside, other)
    await name_of(copies, client)
    await rename(outside, other)
    clock.advance(MAX_AGE_SECONDS)
    await node.lease.renew()
    await name_of(copies, client)
    clock.advance(MAX_AGE_SECONDS)
    async with database_away(database_url):
        assert await name_of(copies, client) == "a client"


async def test_of_a_client_that_was_not_there_a_lease_says_nothing(
    node: Node, copies: ClientCopies, outside: Database, clock: FakeClock
) -> None:
    client = a_client()
    assert await copies.find(client.client_id) is None
    await clients.insert_client(outside, client)
    await node.lease.renew()
    clock.advance(MAX_AGE_SECONDS)
    assert await name_of(copies, client) == "a client"


@pytest.mark.parametrize("state", ["G", "W"])
async def test_while_redis_is_not_trusted_a_copy_is_good_for_a_second(
    node: Node, copies: ClientCopies, client: Client, clock: FakeClock, database_url: str, state: str
) -> None:
    await put(node, state)
    await node.lease.renew()
    await name_of(copies, client)
    clock.advance(MAX_AGE_SECONDS)
    async with database_away(database_url):
        with pytest.raises(Unavailable):
            await copies.find(client.client_id)


async def test_a_clock_that_was_set_ends_what_the_lease_says(
    node: Node, copies: ClientCopies, client: Client, clock: FakeClock, outside: Database
) -> None:
    await name_of(copies, client)
    clock.advance(MAX_AGE_SECONDS)
    await rename(outside, client)
    assert await name_of(copies, client) == "a client"
    clock.at += timedelta(seconds=MAX_DRIFT_SECONDS + 0.01)
    assert await name_of(copies, client) == "renamed"


async def test_no_copy_is_older_than_the_renewal_however_reading_changing_and_renewing_cross(
    node: Node, copies: ClientCopies, client: Client, outside: Database, clock: FakeClock
) -> None:
    committed, is_over = 0, False
    await rename(outside, client, "0")

    async def change() -> None:
        nonlocal committed, is_over
        for turn in range(1, 120):
            await rename(outside, client, str(turn))
            committed = turn
            await asyncio.sleep(0.001 * (turn % 3))
        is_over = True

    async def read_at_any_time() -> None:
        while not is_over:
            await copies.load(client.client_id)
            await asyncio.sleep(0)

    async def look() -> int:
        unasked = 0
        while not is_over:
            clock.advance(MAX_AGE_SECONDS)  # by its age alone no copy is good
            at_least = committed
            await node.lease.renew()
            held = copies._copies.get(client.client_id)
            assert int(await name_of(copies, client)) >= at_least
            unasked += held is not None and copies._is_unchanged(held[1])
        return unasked

    _, _, _, unasked = await asyncio.gather(change(), read_at_any_time(), read_at_any_time(), look())
    assert unasked > 3, "some were taken at the word of the lease"
