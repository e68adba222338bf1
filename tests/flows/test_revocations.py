"""The marks: every kind of them kills what it is for, any two of them together, and nothing else (ATK-34)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, product

import asyncpg
import pytest

from authsvc.errors import InvalidRequest, NotFound, Unavailable
from authsvc.flows.revocations import Revocations
from authsvc.metrics import REVOCATION_KINDS
from authsvc.models import AccessToken, Generations
from authsvc.protocol import revocation as rules
from authsvc.protocol.revocation import Marks, marks_of
from tests.flows.workers import (
    Caller,
    Worker,
    active_everywhere,
    claims_of,
    contents,
    count,
    kid_of,
    with_and_without_redis,
)

TOKEN = AccessToken(
    jti="jti", sub="usr_1", client_id="cli_1", kid="kid", audience=("https://api.example",), scope=(), issued_at=1,
    expires_at=2, generations=Generations(user=100, client=200, everything=300), grant_id="grant", sid="sid",
)  # fmt: skip
PRESENCES = ["j:jti", "f:grant", "s:sid", "k:kid"]
NUMBERS = {"u:usr_1": 100, "c:cli_1": 200, "*": 300}
OLDER, SAME, NEWER = -1, 0, 1

State = tuple[str, int | None]
"""A mark, and its number: None when it is not set."""


def states_of(mark: str) -> list[State]:
    if mark in NUMBERS:
        return [(mark, None), *((mark, NUMBERS[mark] + step) for step in (OLDER, SAME, NEWER))]
    return [(mark, None), (mark, 1)]


def kills(state: State) -> bool:
    mark, number = state
    return number is not None and (mark in PRESENCES or number > NUMBERS[mark])


def test_a_token_has_a_mark_of_every_kind() -> None:
    assert sorted(marks_of(TOKEN).all) == sorted([*PRESENCES, *NUMBERS])


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def put(connection: asyncpg.Connection, *states: State) -> None:
    await connection.execute("DELETE FROM auth.token_blacklist")
    rows = [(mark, number) for mark, number in states if number is not None]
    await connection.executemany("INSERT INTO auth.token_blacklist VALUES ($1, $2, now(), now())", rows)


async def test_any_one_mark_kills_whatever_any_other_one_says(
    worker: Worker, connection: asyncpg.Connection
) -> None:  # ATK-34
    """All pairs of kinds, each mark absent, older, equal or newer."""
    revocations: Revocations = worker.flows.account._revocations
    marks = marks_of(TOKEN)
    pairs = [
        pair
        for one, other in combinations([*PRESENCES, *NUMBERS], 2)
        for pair in product(states_of(one), states_of(other))
    ]
    assert len(pairs) == 6 * 4 + 12 * 8 + 3 * 16
    for pair in pairs:
        await put(connection, *pair)
        assert await revocations.kills(marks) == any(kills(state) for state in pair), pair


async def test_all_older_numbers_together_kill_nothing_and_one_newer_among_them_does(
    worker: Worker, connection: asyncpg.Connection
) -> None:
    revocations: Revocations = worker.flows.account._revocations
    for steps in product((OLDER, SAME, NEWER), repeat=3):
        states = [(mark, number + step) for (mark, number), step in zip(NUMBERS.items(), steps, strict=True)]
        await put(connection, *states)
        assert await revocations.kills(marks_of(TOKEN)) == (NEWER in steps)


async def test_the_marks_of_others_kill_nothing(worker: Worker, connection: asyncpg.Connection) -> None:
    revocations: Revocations = worker.flows.account._revocations
    others = [
        "j:jti2",
        "j:",
        "j:sid",
        "s:jti",
        "f:kid",
        "k:grant",
        "u:cli_1",
        "c:usr_1",
        "u:*",
        "c:*",
        "**",
        "u:usr_10",
    ]
    await put(connection, *((mark, 10**12) for mark in others))
    assert not await revocations.kills(marks_of(TOKEN))
    assert not await revocations.kills(Marks((), ()))


# --- Through the doors


@with_and_without_redis
async def test_each_revocation_kills_what_it_is_for_and_nothing_beside_it(workers: list[Worker]) -> None:
    """A user with two sessions at two clients, and another user: which of the five tokens die."""
    here, there = workers
    asker = await here.client()
    client = await here.client(first_party=True, grant_types=())

    class Scene:
        sub = mine = same_session = my_other = elsewhere = bobs = ""

        async def build(self, turn: int) -> None:
            self.sub = await here.register(f"ada{turn}@example.com")
            await here.register(f"bob{turn}@example.com")
            self.mine = await here.log_in(f"ada{turn}@example.com")
            self.my_other = await there.log_in(f"ada{turn}@example.com")
            self.elsewhere = await there.log_in(f"ada{turn}@example.com", client_id=client.client_id)
            self.bobs = await here.log_in(f"bob{turn}@example.com")

    async def act(kind: str, scene: Scene) -> None:
        match kind:
            case "token":
                await there.revoke(Caller("first-party", None), scene.mine)
            case "session":
                await there.log_out(scene.mine)
            case "user":
                await there.flows.users.revoke_tokens(scene.sub)
            case "client":
                await there.flows.clients.revoke_tokens(client.client_id)
            case "key":
                await there.flows.keys.kill(kid_of(scene.mine))
            case "everything":
                await there.flows.revocation.revoke_everything()

    expected = {
        "token": (False, True, True, True),
        "session": (False, True, True, True),
        "user": (False, False, False, True),
        "client": (True, True, False, True),
        "everything": (False, False, False, False),
        "key": (False, False, False, False),
    }
    for turn, (kind, alive) in enumerate(expected.items()):
        scene = Scene()
        await scene.build(turn)
        tokens = (scene.mine, scene.my_other, scene.elsewhere, scene.bobs)
        assert all([await active_everywhere(workers, asker, token) for token in tokens])
        await act(kind, scene)
        assert tuple([await active_everywhere(workers, asker, token) for token in tokens]) == alive, kind


@with_and_without_redis
async def test_revoking_twice_is_revoking_once(workers: list[Worker]) -> None:  # FLT-43, ATK-32
    here, there = workers
    owner = await here.client()
    token = await here.mint(owner)
    await here.revoke(owner, token)
    before = await contents(here.settings.database_url)
    await here.revoke(owner, token)
    await there.revoke(owner, token)
    assert await contents(here.settings.database_url) == before
    assert not await active_everywhere(workers, owner, token)


@with_and_without_redis
async def test_the_token_of_another_client_is_refused_and_stays_alive(workers: list[Worker]) -> None:  # ATK-32
    here, there = workers
    owner, stranger = await here.client(), await here.client()
    token = await here.mint(owner)
    with pytest.raises(InvalidRequest):
        await there.revoke(stranger, token)
    await there.revoke(Caller("first-party", None), token)
    assert await active_everywhere(workers, owner, token)
    assert await count(here.settings.database_url, "token_blacklist") == 0


@with_and_without_redis
async def test_revoking_a_token_and_deleting_its_user_at_once_is_both(workers: list[Worker]) -> None:  # FLT-43
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    token = await here.log_in()
    await there.flows.users.delete(sub)
    await here.revoke(Caller("first-party", None), token)
    assert not await active_everywhere(workers, asker, token)


async def test_a_mark_outlives_every_token_it_kills(worker: Worker) -> None:
    """Whatever a purge may take when marks expire: no token that is out by then is still valid."""
    owner = await worker.client()
    await worker.register()
    token, users, other = await worker.mint(owner), await worker.log_in(), await worker.log_in()
    await worker.revoke(owner, token)
    await worker.log_out(users)
    await worker.log_out_everywhere(other)
    await worker.flows.keys.kill(kid_of(token))
    rows = await _rows(worker.settings.database_url, "SELECT mark, expires_at FROM auth.token_blacklist")
    marks: dict[str, datetime] = {row["mark"]: row["expires_at"] for row in rows}
    now = worker.clock.now()
    longest = timedelta(seconds=3600)
    assert marks[f"j:{claims_of(token)['jti']}"] == datetime.fromtimestamp(claims_of(token)["exp"], UTC)
    assert marks[f"s:{claims_of(users)['sid']}"] >= now + longest
    assert marks[f"k:{kid_of(token)}"] >= now + longest
    assert marks[f"u:{claims_of(users)['sub']}"] >= now + timedelta(days=90)
    assert timedelta(days=90) < rules.NUMBER_LIFE


async def _rows(database_url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


# --- What is counted, and what is not


async def test_a_revocation_is_counted_when_it_is_committed_and_only_then(worker: Worker) -> None:
    revocations = worker.flows.account._revocations

    def counted() -> dict[str, float]:
        return {kind: revocations._metrics.revocations[kind]._value.get() for kind in REVOCATION_KINDS}

    before = counted()
    with pytest.raises(Unavailable):
        async with revocations.revoke() as revoking:
            await revoking.everything()
            raise Unavailable
    assert counted() == before
    async with revocations.revoke() as revoking:
        await revoking.session("sid")
        await revoking.everything()
    assert counted() == before | {"session": 1, "everything": 1}


async def test_nobody_is_revoked_who_is_not_there(workers: list[Worker]) -> None:
    """A change that names nobody is refused as a whole: its mark is not left behind either."""
    flows = workers[0].flows
    before = await contents(workers[0].settings.database_url)
    for refused in (
        flows.users.disable("usr_nobody"),
        flows.users.enable("usr_nobody"),
        flows.users.delete("usr_nobody"),
        flows.clients.disable("cli_nobody"),
        flows.clients.enable("cli_nobody"),
        flows.clients.delete("cli_nobody"),
        flows.clients.revoke_tokens("cli_nobody"),
        flows.clients.rotate_secret("cli_nobody", keep_old_for=timedelta(0)),
        flows.clients.rotate_secret("first-party", keep_old_for=timedelta(0)),
    ):
        with pytest.raises(NotFound):
            await refused
    assert await contents(workers[0].settings.database_url) == before


# --- What is written


async def test_nothing_is_written_for_an_access_token(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    await here.mint(owner)
    before = await contents(here.settings.database_url)
    tokens = [await worker.mint(owner) for _ in range(50) for worker in workers]
    for token in tokens:
        assert await there.is_active(owner, token)
    assert await contents(here.settings.database_url) == before
    assert len(before) >= 7


async def test_a_refresh_writes_its_one_row_and_no_more_of_them(worker: Worker) -> None:
    await worker.register()
    refresh_token = str((await worker.open_session()).refresh_token)
    before = await contents(worker.settings.database_url)
    for _ in range(20):
        _, refresh_token = await worker.refresh(Caller("first-party", None), refresh_token)
    after = await contents(worker.settings.database_url)
    assert {table for table in before if before[table] != after[table]} == {"grants"}
    assert await count(worker.settings.database_url, "grants") == 1


async def test_revocations_cost_a_row_each_and_not_one_for_each_token(worker: Worker) -> None:
    owner = await worker.client()
    for _ in range(50):
        await worker.mint(owner)
    for _ in range(5):
        await worker.flows.clients.revoke_tokens(owner.client_id)
        await worker.flows.revocation.revoke_everything()
    assert await count(worker.settings.database_url, "token_blacklist") == 2
