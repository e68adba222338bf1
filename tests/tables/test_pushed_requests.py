"""`auth.pushed_requests`, on a real PostgreSQL: of one client, for a while, and answered once."""

import asyncio
from datetime import timedelta

from authsvc.models import Client
from authsvc.tables import clients, pushed_requests
from authsvc.tables.db import Database
from tests.tables.rows import NOW, a_client, database_on

SECOND = timedelta(seconds=1)
DIGEST = b"\x01" * 32
PARAMETERS = {"scope": ["openid"], "resource": ["https://a.example", "https://b.example"], "state": ["ü"]}


async def pushed(db: Database, digest: bytes = DIGEST, *, seconds: int = 90) -> Client:
    client = a_client()
    await clients.insert_client(db, client)
    await pushed_requests.insert_request(
        db, digest=digest, client_id=client.client_id, parameters=PARAMETERS, is_signed=True, now=NOW,
        expires_at=NOW + seconds * SECOND,
    )  # fmt: skip
    return client


async def test_a_request_comes_back_as_it_went_in(db: Database) -> None:
    client = await pushed(db)
    for _ in range(2):
        found = await pushed_requests.find_request(db, DIGEST, client_id=client.client_id, now=NOW + 89 * SECOND)
        assert found == (PARAMETERS, True)


async def test_it_is_found_by_its_client_in_its_time_and_before_its_answer(db: Database) -> None:
    client = await pushed(db)
    for digest, client_id, now in (
        (b"other", client.client_id, NOW),
        (DIGEST, "cli_other", NOW),
        (DIGEST, client.client_id, NOW + 90 * SECOND),
    ):
        assert await pushed_requests.find_request(db, digest, client_id=client_id, now=now) is None
    assert await pushed_requests.consume_request(db, DIGEST, client_id=client.client_id, now=NOW)
    assert await pushed_requests.find_request(db, DIGEST, client_id=client.client_id, now=NOW) is None


async def test_it_is_answered_once_by_its_client_however_long_its_user_took(db: Database) -> None:
    client = await pushed(db)
    later = NOW + 600 * SECOND
    assert not await pushed_requests.consume_request(db, DIGEST, client_id="cli_other", now=later)
    assert await pushed_requests.consume_request(db, DIGEST, client_id=client.client_id, now=later)
    assert not await pushed_requests.consume_request(db, DIGEST, client_id=client.client_id, now=later)


async def test_of_many_at_once_one_wins(database_url: str) -> None:
    async with database_on(database_url) as here, database_on(database_url) as there:
        for number in range(10):
            digest = number.to_bytes(32, "big")
            client_id = (await pushed(here, digest)).client_id
            won = await asyncio.gather(
                *(pushed_requests.consume_request(db, digest, client_id=client_id, now=NOW) for db in (here, there) * 4)
            )
            assert sum(won) == 1


async def test_what_is_over_goes_a_few_at_a_time_and_with_its_client(db: Database) -> None:
    for number in range(4):
        client = await pushed(db, b"%d" % number, seconds=number)
    assert await pushed_requests.purge_requests(db, NOW + 3 * SECOND, 2) == 2
    assert await pushed_requests.purge_requests(db, NOW + 3 * SECOND, 2) == 1
    assert await clients.update_disabled(db, client.client_id, NOW)
    assert await clients.delete_client(db, client.client_id)
    assert await pushed_requests.purge_requests(db, NOW + 99 * SECOND, 2) == 0
