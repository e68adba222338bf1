"""`auth.token_blacklist`, on a real PostgreSQL: present marks and growing numbers."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest

from authsvc.tables import revocations
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, database_on, until_somebody_waits

SECOND = timedelta(seconds=1)
UNIX = int(NOW.timestamp())


async def expiry_of(db: Database, mark: str) -> datetime:
    at: datetime = await db.fetchval("SELECT expires_at FROM auth.token_blacklist WHERE mark = $1", mark)
    return at


async def raise_at(db: Database, mark: str, now: datetime) -> int:
    return await revocations.raise_generation(db, mark, now=now, expires_at=now + timedelta(days=91))


# --- Finding


async def test_the_marks_that_are_set_are_found_and_no_others(db: Database) -> None:
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER)
    await revocations.insert_mark(db, "j:2", now=NOW, expires_at=LATER)
    number = await raise_at(db, "u:1", NOW)
    assert await revocations.find_generations(db, ["j:1", "j:3", "u:1", "u:2", "*"]) == {"j:1": 1, "u:1": number}


async def test_of_no_marks_none_is_found(db: Database) -> None:
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER)
    assert await revocations.find_generations(db, []) == {}


async def test_three_thousand_marks_are_asked_at_once_and_some_of_them_twice(db: Database) -> None:
    """What a full batch asks: 500 tokens of six marks each."""
    marks = {f"j:{number}" for number in range(3000)}
    for number in range(0, 3000, 500):
        await revocations.insert_mark(db, f"j:{number}", now=NOW, expires_at=LATER)
    assert set(await revocations.find_generations(db, [*marks, *marks])) == {f"j:{n}" for n in range(0, 3000, 500)}


@pytest.mark.parametrize("mark", ["j:%", "j:_", "J:1", "j:1 ", " j:1", "j:", "", "j:1'--", "j:\\1"])
async def test_marks_are_compared_letter_by_letter(db: Database, mark: str) -> None:
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER)
    assert await revocations.find_generations(db, [mark]) == {}


async def test_a_mark_that_has_expired_and_not_been_purged_still_kills(db: Database) -> None:
    """Clocks differ: whether it is over is for the purge to say, which leaves a day between."""
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=datetime(1999, 1, 1, tzinfo=UTC))
    assert await revocations.find_generations(db, ["j:1"]) == {"j:1": 1}


async def test_one_index_probe_finds_a_mark(db: Database) -> None:
    await db.execute(
        "INSERT INTO auth.token_blacklist SELECT 'j:' || n, 1, now(), now() FROM generate_series(1, 20000) n"
    )
    await db.execute("ANALYZE auth.token_blacklist")
    plan = "\n".join(
        row[0]
        for row in await db.fetch(
            "EXPLAIN SELECT mark, generation FROM auth.token_blacklist WHERE mark = ANY($1)", ["j:1", "j:7", "*"]
        )
    )
    assert "Seq Scan" not in plan
    assert "token_blacklist_pkey" in plan


async def test_a_nul_is_a_fault_and_not_an_outage(db: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        await revocations.find_generations(db, ["j:a\0b"])
    with pytest.raises(asyncpg.DataError):
        await revocations.insert_mark(db, "j:a\0b", now=NOW, expires_at=LATER)


# --- Presences


async def test_setting_a_mark_twice_is_setting_it_once(db: Database) -> None:
    for _ in range(3):
        await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER)
    assert await revocations.find_generations(db, ["j:1"]) == {"j:1": 1}
    assert await db.fetchval("SELECT count(*) FROM auth.token_blacklist") == 1


async def test_a_mark_never_comes_to_expire_sooner(db: Database) -> None:
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER)
    await revocations.insert_mark(db, "j:1", now=NOW - 9 * SECOND, expires_at=LATER - timedelta(days=9))
    assert await expiry_of(db, "j:1") == LATER
    await revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER + SECOND)
    assert await expiry_of(db, "j:1") == LATER + SECOND


async def test_a_mark_set_by_twenty_at_once_is_there_once_and_expires_last(database_url: str) -> None:
    async with database_on(database_url, size=20) as db:
        await asyncio.gather(
            *(revocations.insert_mark(db, "j:1", now=NOW, expires_at=LATER + n * SECOND) for n in range(20))
        )
        assert await db.fetchval("SELECT count(*) FROM auth.token_blacklist") == 1
        assert await expiry_of(db, "j:1") == LATER + 19 * SECOND


async def test_setting_a_number_as_a_mark_does_not_lower_it(db: Database) -> None:
    number = await raise_at(db, "u:1", NOW)
    await revocations.insert_mark(db, "u:1", now=NOW, expires_at=LATER)
    assert await revocations.find_generations(db, ["u:1"]) == {"u:1": number}


# --- Numbers


async def test_a_number_is_at_least_the_unix_second(db: Database) -> None:
    assert await raise_at(db, "u:1", NOW) == UNIX
    assert await raise_at(db, "u:1", NOW + 100 * SECOND) == UNIX + 100
    for microsecond in (0, 1, 499_999, 500_000, 999_999):
        number = await raise_at(db, f"c:{microsecond}", NOW.replace(microsecond=microsecond))
        assert UNIX <= number <= UNIX + 1


async def test_a_number_grows_by_at_least_one_each_time(db: Database) -> None:
    numbers = [await raise_at(db, "u:1", NOW) for _ in range(10)]
    assert numbers == list(range(UNIX, UNIX + 10))


@pytest.mark.parametrize("back", [SECOND, timedelta(hours=1), timedelta(days=30_000)])
async def test_a_number_never_falls_when_a_clock_is_set_back(db: Database, back: timedelta) -> None:
    before = await raise_at(db, "u:1", NOW)
    after = await raise_at(db, "u:1", NOW - back)
    assert after == before + 1
    assert await revocations.find_generations(db, ["u:1"]) == {"u:1": after}


async def test_thirty_who_raise_a_number_at_once_get_thirty_numbers(database_url: str) -> None:
    """Also the first of all, when there is no row yet, and with clocks that do not agree."""
    async with database_on(database_url, size=30) as db:
        clocks = [NOW + SECOND * (n % 5 - 2) for n in range(30)]
        numbers = await asyncio.gather(*(raise_at(db, "u:1", now) for now in clocks))
        assert len(set(numbers)) == 30
        assert await revocations.find_generations(db, ["u:1"]) == {"u:1": max(numbers)}
        assert max(numbers) >= min(numbers) + 29
        assert min(numbers) >= UNIX - 2


async def test_each_of_many_rounds_of_raises_at_once_outgrows_the_one_before(database_url: str) -> None:
    async with database_on(database_url, size=8) as db:
        rounds = [await asyncio.gather(*(raise_at(db, "*", NOW) for _ in range(8))) for _ in range(10)]
        assert all(max(before) < min(after) for before, after in pairwise(rounds))
        assert len({number for numbers in rounds for number in numbers}) == 80


async def test_the_numbers_of_others_stay(db: Database) -> None:
    await raise_at(db, "u:1", NOW)
    await raise_at(db, "u:2", NOW + SECOND)
    await raise_at(db, "u:1", NOW)
    assert await revocations.find_generations(db, ["u:1", "u:2", "c:1", "*"]) == {"u:1": UNIX + 1, "u:2": UNIX + 1}


async def test_a_raised_number_never_comes_to_expire_sooner(db: Database) -> None:
    await revocations.raise_generation(db, "u:1", now=NOW, expires_at=LATER)
    await revocations.raise_generation(db, "u:1", now=NOW, expires_at=LATER - timedelta(days=9))
    assert await expiry_of(db, "u:1") == LATER


async def test_a_number_that_was_purged_comes_back_greater(db: Database) -> None:
    before = await raise_at(db, "u:1", NOW)
    await db.execute("DELETE FROM auth.token_blacklist")
    assert await raise_at(db, "u:1", NOW + timedelta(days=92)) > before


async def test_a_raise_waits_for_the_one_before_it_and_outgrows_it(db: Database) -> None:
    async with db.transaction() as tx:
        first = await revocations.raise_generation(tx, "u:1", now=NOW, expires_at=LATER)
        second = asyncio.create_task(raise_at(db, "u:1", NOW))
        await until_somebody_waits(db)
        assert await revocations.find_generations(db, ["u:1"]) == {}
    assert await second == first + 1


async def test_a_raise_that_rolls_back_was_none(db: Database) -> None:
    with pytest.raises(LookupError):
        async with db.transaction() as tx:
            await revocations.raise_generation(tx, "u:1", now=NOW, expires_at=LATER)
            raise LookupError
    assert await revocations.find_generations(db, ["u:1"]) == {}


async def test_numbers_do_not_end_with_this_century(db: Database) -> None:  # FLT-45
    far = datetime(9000, 1, 1, tzinfo=UTC)
    assert await raise_at(db, "u:1", far) == int(far.timestamp())
