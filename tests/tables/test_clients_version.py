"""`auth.clients_version`: another one with every change of a client, and never the same again, whoever changes it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from authsvc.models import Client
from authsvc.protocol.revocation import client_mark
from authsvc.tables import cache_mode, clients, revocations
from authsvc.tables.db import Database, Queries
from tests.tables.rows import LATER, NOW, a_client

CHANGES: dict[str, Callable[[Queries, Client], Awaitable[object]]] = {
    "update": lambda db, client: clients.update_client(db, replace(client, name="another name")),
    "disable": lambda db, client: clients.update_disabled(db, client.client_id, NOW),
    "enable": lambda db, client: clients.update_disabled(db, client.client_id, None),
    "rotate": lambda db, client: clients.rotate_secret(db, client.client_id, b"n", now=NOW, old_expires_at=LATER),
    "drop": lambda db, client: clients.drop_old_secret(db, client.client_id),
    "delete": lambda db, client: clients.delete_client(db, client.client_id),
    "by hand": lambda db, client: db.execute("UPDATE auth.clients SET name = 'by hand'"),
}


async def version_of(db: Queries) -> str:
    return (await cache_mode.get_mode_and_clients_version(db))[1]


async def inserted(db: Queries, **changes: Any) -> Client:
    client = a_client(**changes)
    await clients.insert_client(db, client)
    return client


@pytest.mark.parametrize("change", CHANGES)
async def test_every_change_of_a_client_gives_another_version(db: Database, change: str) -> None:
    seen = {await version_of(db)}
    for _ in range(3):
        client = await inserted(db, disabled_at=NOW)  # or it could not be deleted
        assert await version_of(db) in seen, "nobody has a copy of a new one"
        await CHANGES[change](db, client)
        version = await version_of(db)
        assert version not in seen
        seen.add(version)


async def test_that_all_are_gone_at_once_is_a_change_too(db: Database) -> None:
    before = await version_of(db)
    with pytest.raises(ZeroDivisionError):  # so that the tests after this one find the built-in client
        async with db.transaction() as tx:
            await tx.execute("TRUNCATE auth.clients CASCADE")
            assert await version_of(tx) != before
            raise ZeroDivisionError
    assert await version_of(db) == before


async def test_what_is_no_change_of_a_client_leaves_the_version_alone(db: Database) -> None:
    client = await inserted(db)
    before = await version_of(db)
    await revocations.raise_generation(db, client_mark(client.client_id), now=NOW, expires_at=LATER)
    assert not await clients.update_disabled(db, "cli_nobody", NOW)
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await clients.update_disabled(tx, client.client_id, NOW)
            raise ZeroDivisionError
    assert await version_of(db) == before


async def test_change_and_version_are_seen_together(db: Database) -> None:
    """Two change clients and two read: under one version a client is only ever one thing."""
    one, two = await inserted(db), await inserted(db)
    running = 2
    seen: dict[tuple[str, str], set[str]] = {}

    async def change(client: Client) -> None:
        nonlocal running
        for turn in count():
            await clients.update_client(db, replace(client, name=f"name {turn}"))
            if turn >= 40 and len({version for _, version in seen}) > 3:
                break
        running -= 1

    async def read(client: Client) -> None:
        while running:
            found = await clients.find_client_to_copy(db, client.client_id, client_mark(client.client_id))
            assert found is not None
            seen.setdefault((client.client_id, found[2]), set()).add(found[0].name)

    async with asyncio.timeout(20):
        await asyncio.gather(change(one), change(two), read(one), read(two))
    assert {len(names) for names in seen.values()} == {1}


async def test_who_is_in_the_middle_of_a_change_holds_up_no_change_of_another_client(db: Database) -> None:
    slow, urgent = await inserted(db), await inserted(db)
    before = await version_of(db)
    async with db.transaction() as tx:
        await clients.update_disabled(tx, slow.client_id, NOW)
        async with asyncio.timeout(20):
            await clients.update_disabled(db, urgent.client_id, NOW)
        between = await version_of(db)
    assert len({before, between, await version_of(db)}) == 3


async def test_a_change_of_very_many_raises_it_once(db: Database) -> None:
    """Each time anew it would take a time that grows with their square."""
    for _ in range(20):
        await inserted(db)
    async with db.transaction() as tx:
        await tx.execute("UPDATE auth.clients SET name = name")
        await tx.execute("SET CONSTRAINTS ALL IMMEDIATE")
        updates = "SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'clients_version'"
        assert await tx.fetchval(updates) == 1
