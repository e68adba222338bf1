"""What users do with their own account, and what races it (ATK-33, FLT-38, FLT-42)."""

import asyncio
import random
from collections import Counter
from itertools import count
from typing import Any

import pytest

from authsvc.errors import (
    AuthsvcError,
    Forbidden,
    InvalidCredentials,
    InvalidGrant,
    InvalidPassword,
    InvalidToken,
    InvalidValue,
    Unavailable,
)
from authsvc.models import AccessToken
from authsvc.protocol.accounts import LoginResponse, PasswordChangeRequest
from tests.flows.workers import (
    EMAIL,
    Caller,
    Worker,
    active_everywhere,
    cheap,
    claims_of,
    contents,
    sql,
    worker_on,
    workers_on,
)
from tests.house_of import PASSWORD
from tests.tables.line import line_to
from tests.tables.rows import database_on, until_somebody_waits

NEW = "another good password"
FIRST_PARTY = Caller("first-party", None)


async def sessions_of(worker: Worker) -> set[str]:
    """The sessions that have not ended."""
    query = "SELECT coalesce(array_agg(sid), '{}') FROM auth.sessions WHERE ended_at IS NULL"
    return set(await sql(worker.settings.database_url, query))


async def check_dead(workers: list[Worker], asker: Caller, *tokens: str) -> None:
    for token in tokens:
        assert not await active_everywhere(workers, asker, token)
        assert not any([await worker.is_let_in(token) for worker in workers])


async def check_live(workers: list[Worker], asker: Caller, *tokens: str) -> None:
    for token in tokens:
        assert await active_everywhere(workers, asker, token)
        assert all([await worker.is_let_in(token) for worker in workers])


# --- Logging out


async def test_logging_out_ends_one_session_and_with_it_every_token_of_it(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    await here.register()
    mine, elsewhere = await here.log_in(), await there.log_in()
    await there.log_out(mine)
    await check_dead(workers, asker, mine)
    await check_live(workers, asker, elsewhere)
    assert await sessions_of(here) == {claims_of(elsewhere)["sid"]}


async def test_logging_out_everywhere_ends_every_session_and_lets_the_user_in_again(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    await here.register()
    tokens = [await worker.log_in() for worker in workers * 2]
    await there.log_out_everywhere(tokens[0])
    await check_dead(workers, asker, *tokens)
    assert await sessions_of(here) == set()
    await check_live(workers, asker, await here.log_in(), await there.log_in())


async def test_a_dead_token_logs_nobody_out(worker: Worker) -> None:
    await worker.register()
    dead = await worker.log_in()
    await worker.log_out(dead)
    before = await contents(worker.settings.database_url)
    for act in (worker.log_out, worker.log_out_everywhere):
        with pytest.raises(InvalidToken):
            await act(dead)
    with pytest.raises(InvalidToken):
        await worker.change_password(dead, NEW)
    assert await contents(worker.settings.database_url) == before


async def test_a_clients_own_token_is_no_users(worker: Worker) -> None:
    owner = await worker.client(audiences=(worker.settings.api_audience,))
    with pytest.raises(Forbidden):
        await worker.flows.access.authorize_user(await worker.mint(owner))


# --- A new password


async def test_a_password_change_keeps_the_current_session_and_ends_all_others(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    await here.register()
    mine = await here.log_in()
    others = [await worker.log_in() for worker in workers * 2]
    assert len(await sessions_of(here)) == 5
    after = await there.change_password(mine, NEW)
    assert claims_of(after)["sid"] == claims_of(mine)["sid"]
    assert await sessions_of(here) == {claims_of(mine)["sid"]}
    await check_live(workers, asker, after)
    await check_dead(workers, asker, mine, *others)
    with pytest.raises(InvalidCredentials):
        await here.log_in(password=PASSWORD)
    await check_live(workers, asker, await here.log_in(password=NEW), after)


async def test_the_new_token_says_what_the_old_one_said(worker: Worker) -> None:
    await worker.register()
    mine = await worker.log_in(scope="email")
    worker.clock.advance(60)
    before, after = claims_of(mine), claims_of(await worker.change_password(mine, NEW))
    for name in ("iss", "sub", "aud", "client_id", "scope", "sid", "grant_id", "auth_time", "amr"):
        assert after[name] == before[name]
    for name in ("jti", "iat", "exp", "gen"):
        assert after[name] != before[name]


async def test_a_session_is_carried_over_one_change_after_another(workers: list[Worker]) -> None:
    asker = await workers[0].client()
    await workers[0].register()
    token, password = await workers[0].log_in(), PASSWORD
    for number in range(5):
        old, token = token, await workers[number % 2].change_password(token, f"{NEW} {number}", password)
        password = f"{NEW} {number}"
        await check_dead(workers, asker, old)
        await check_live(workers, asker, token)
    await workers[0].log_out(token)
    await check_dead(workers, asker, token)


async def test_a_password_change_that_is_refused_changes_nothing(workers: list[Worker]) -> None:
    here, _ = workers
    asker = await here.client()
    await here.register()
    tokens = [await here.log_in() for _ in range(2)]
    before = await contents(here.settings.database_url)
    for current in ("a wrong password", "", PASSWORD + " ", "x" * 257):
        with pytest.raises(InvalidValue):
            await here.change_password(tokens[0], NEW, current)
    for new in ("short", "x" * 257, ""):
        with pytest.raises(InvalidValue):
            await here.change_password(tokens[0], new)
    assert await contents(here.settings.database_url) == before
    await check_live(workers, asker, *tokens)


async def test_a_password_is_not_changed_by_a_session_whose_time_is_over(database_url: str) -> None:
    async with worker_on(cheap(database_url, session_seconds=300, access_token_seconds=600)) as worker:
        await worker.register()
        known = await worker.flows.access.authorize_user(await worker.log_in())
        worker.clock.advance(300)  # while the request was on its way, as it were
        before = await contents(database_url)
        with pytest.raises(InvalidToken):
            await worker.flows.account.change_password(known, _change(PASSWORD, NEW))
        assert await contents(database_url) == before, "not the password either"


async def test_a_session_of_before_everything_was_revoked_gets_no_live_token_by_a_password_change(
    workers: list[Worker],
) -> None:
    """Carried over are the numbers of the user and no others: the door was open before, and it closes behind."""
    here, there = workers
    asker = await here.client()
    await here.register()
    for what in ("everything", "the client's"):
        known = await there.flows.access.authorize_user(token := await there.log_in())
        if what == "everything":
            await here.flows.revocation.revoke_everything()
        else:
            await here.flows.clients.revoke_tokens("first-party")
        issued = (await there.flows.account.change_password(known, _change(PASSWORD, NEW))).access_token
        await check_dead(workers, asker, token, issued)
        known = await here.flows.access.authorize_user(await here.log_in(password=NEW))
        await here.flows.account.change_password(known, _change(NEW, PASSWORD))


def _change(current: str, new: str) -> PasswordChangeRequest:
    return PasswordChangeRequest(current_password=current, new_password=new)


# --- Races


async def test_of_two_password_changes_at_once_one_wins(database_url: str) -> None:
    """From two sessions and from one; on two workers. The other one leaves no session, no token and no password."""
    async with workers_on(cheap(database_url, password_hash_threads=4)) as workers:
        asker = await workers[0].client()
        for turn in range(6):
            email = f"user{turn}@example.com"
            await workers[0].register(email)
            first = await workers[0].log_in(email)
            second = first if turn % 2 else await workers[1].log_in(email)
            outcomes = await asyncio.gather(
                workers[0].change_password(first, f"{NEW} 0"),
                workers[1].change_password(second, f"{NEW} 1"),
                return_exceptions=True,
            )
            won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)]
            assert len(won) == 1
            # Whether it lost before or after the winner had committed.
            assert type(outcomes[1 - won[0]]) in {InvalidToken, InvalidPassword}
            await check_live(workers, asker, str(outcomes[won[0]]))
            await check_dead(workers, asker, first, second)
            assert await workers[0].log_in(email, f"{NEW} {won[0]}")
            for wrong in (PASSWORD, f"{NEW} {1 - won[0]}"):
                with pytest.raises(InvalidCredentials):
                    await workers[0].log_in(email, wrong)


async def test_a_password_change_and_a_log_out_everywhere_at_once_leave_nothing_live(database_url: str) -> None:
    """In either order: first the change, and its token dies; first the end, and there is no session to keep. Also that
    neither is told to try again: they wait for one another in one order, and never in both."""
    async with workers_on(cheap(f"{database_url}&deadlock_timeout=20ms", password_hash_threads=4)) as workers:
        asker = await workers[0].client()
        orders: Counter[str] = Counter()
        for turn in range(20):
            email = f"user{turn}@example.com"
            await workers[0].register(email)
            tokens = [await worker.log_in(email) for worker in workers]
            known = [await workers[0].flows.access.authorize_user(token) for token in tokens]

            async def late(known: Any, turn: int) -> None:
                await asyncio.sleep(turn / 4000)
                await workers[1].flows.account.log_out_everywhere(known)

            changed, ended = await asyncio.gather(
                workers[0].flows.account.change_password(known[0], _change(PASSWORD, NEW)),
                late(known[1], turn),
                return_exceptions=True,
            )
            assert ended is None
            if isinstance(changed, BaseException):
                assert type(changed) is InvalidToken
                orders["ended first"] += 1
            else:
                tokens.append(changed.access_token)
                orders["changed first"] += 1
            await check_dead(workers, asker, *tokens)
        assert len(orders) == 2, "the race was one"


@pytest.mark.parametrize("kind", ["disable", "delete", "password"])
async def test_a_login_that_races_the_end_of_its_right_to_leaves_nothing_live(database_url: str, kind: str) -> None:
    """FLT-42. Logins with a password that is right when they begin, on both workers, while the user is disabled or
    deleted or the password changed: after that call has returned, none of their tokens is live, ever."""
    async with workers_on(cheap(database_url, password_hash_threads=4)) as workers:
        asker = await workers[0].client()
        outcomes: Counter[str] = Counter()
        for turn in range(6):
            email = f"user{turn}@example.com"
            sub = await workers[0].register(email)
            mine = await workers[0].log_in(email)
            known = await workers[0].flows.access.authorize_user(mine)
            tokens: list[str] = []
            ending = asyncio.Event()

            async def log_in(worker: Worker, email: str, tokens: list[str], ending: asyncio.Event) -> None:
                try:
                    while not ending.is_set():
                        tokens.append(await worker.log_in(email))
                except InvalidCredentials:
                    outcomes["refused"] += 1

            async def end(sub: str, known: Any, ending: asyncio.Event) -> str | None:
                await asyncio.sleep(0.01)
                kept = None
                match kind:
                    case "disable":
                        await workers[1].flows.users.disable(sub)
                    case "delete":
                        await workers[1].flows.users.delete(sub)
                    case "password":
                        answer = await workers[1].flows.account.change_password(known, _change(PASSWORD, NEW))
                        kept = answer.access_token
                ending.set()
                return kept

            logins = asyncio.gather(*(log_in(workers[n % 2], email, tokens, ending) for n in range(8)))
            kept = await end(sub, known, ending)
            await logins
            outcomes["logged in"] += len(tokens)
            await check_dead(workers, asker, mine, *tokens)
            if kept is not None:
                await check_live(workers, asker, kept)
                assert await sessions_of(workers[0]) & {claims_of(token)["sid"] for token in [*tokens, kept]} == {
                    claims_of(kept)["sid"]
                }
            else:
                assert not await sessions_of(workers[0]) & {claims_of(token)["sid"] for token in tokens}
            with pytest.raises(InvalidCredentials):
                await workers[0].log_in(email)
        assert outcomes["logged in"] > 0
        assert outcomes["refused"] > 6


async def test_a_session_opened_while_the_user_is_logged_out_everywhere_cannot_be_carried_past_it(
    workers: list[Worker],
) -> None:
    """The end of all sessions has looked for sessions and not yet committed. One that opens now must not be there
    afterwards, unended, to be kept by a change of the password."""
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    async with database_on(here.settings.database_url) as db:
        async with db.transaction() as tx:  # holds the row of the number, so that the revocation stops before it
            await tx.execute("INSERT INTO auth.token_blacklist VALUES ($1, 1, now(), now())", f"u:{sub}")
            ending = asyncio.create_task(here.flows.users.revoke_tokens(sub))
            await until_somebody_waits(db)
            opening = asyncio.create_task(there.log_in())
            await until_somebody_waits(db, 2)
        await ending
        token = await opening
    await check_dead(workers, asker, token)
    known = await there.flows.access._recognition.recognise(token)
    assert known is not None
    await check_live(workers, asker, await there.log_in())


async def test_a_storm_of_everything_about_one_user_ends_without_a_failure_and_says_the_truth(
    database_url: str,
) -> None:
    """FLT-38. Nobody is told to try again because of a deadlock, and every call has left what it promises."""
    url = f"{database_url}&deadlock_timeout=20ms"
    async with workers_on(cheap(url, password_hash_threads=4, database_pool=20)) as workers:
        asker = await workers[0].client()
        sub = await workers[0].register()
        chance = random.Random(38)
        passwords = [PASSWORD]
        dead: list[str] = []
        numbers = count()
        acts = ["log in", "change", "log out", "everywhere", "operator", "toggle"]
        outcomes: Counter[str] = Counter()

        async def act(worker: Worker) -> None:
            while min(outcomes[each] for each in acts) < 2 or outcomes.total() < 80:
                what = chance.choice(acts)
                try:
                    token = await worker.log_in(password=passwords[-1])
                    match what:
                        case "change":
                            new = f"{NEW} {next(numbers)}"
                            changed = await worker.change_password(token, new, passwords[-1])
                            passwords.append(new)
                            dead.append(token)
                            token = changed
                        case "log out":
                            await worker.log_out(token)
                            dead.append(token)
                        case "everywhere":
                            await worker.log_out_everywhere(token)
                            dead.append(token)
                        case "operator":
                            await worker.flows.users.revoke_tokens(sub)
                            dead.append(token)
                        case "toggle":
                            await worker.flows.users.disable(sub)
                            dead.append(token)
                            await worker.flows.users.enable(sub)
                    outcomes[what] += 1
                except (InvalidCredentials, InvalidToken, InvalidValue) as error:
                    outcomes[type(error).__name__] += 1
                assert not any([await each.is_active(asker, token) for token in dead[-3:] for each in workers])

        async with asyncio.timeout(30):
            await asyncio.gather(*(act(worker) for worker in workers * 4))
        await check_dead(workers, asker, *dead)
        assert await workers[0].log_in(password=passwords[-1])


# --- When the store is away


@pytest.mark.parametrize("act", ["log_out", "log_out_everywhere", "change_password"])
async def test_what_cannot_be_committed_is_told_so_and_has_not_happened(database_url: str, act: str) -> None:  # ATK-31
    async with (
        line_to(database_url) as line,
        worker_on(cheap(line.url)) as here,
        worker_on(cheap(database_url)) as there,
    ):
        asker = await there.client()
        await there.register(EMAIL)
        token = await there.log_in()
        known = await here.flows.access.authorize_user(token)
        before = await contents(database_url)
        await line.cut()
        with pytest.raises(Unavailable):
            await _act(here, act, known)
        assert await contents(database_url) == before
        assert await there.is_active(asker, token)
        await line.restore()
        await _act(here, act, known)
        await check_dead([here, there], asker, token)


async def _act(worker: Worker, act: str, known: Any) -> None:
    request = [_change(PASSWORD, NEW)] if act == "change_password" else []
    await getattr(worker.flows.account, act)(known, *request)


@pytest.mark.parametrize("kind", ["log out", "everywhere", "password", "disable", "family", "client", "all"])
async def test_what_is_refreshed_while_it_is_revoked_is_refused_or_dead(database_url: str, kind: str) -> None:
    """FLT-41, in both orders: either the refresh is refused, or the access token that came of it is dead, and so is the
    refresh token."""
    async with workers_on(cheap(database_url)) as workers:
        here, there = workers
        asker = await here.client()
        outcomes: Counter[str] = Counter()

        async def revoke(sub: str, opened: LoginResponse, known: AccessToken) -> str | None:
            flows = there.flows
            match kind:
                case "log out":
                    await flows.account.log_out(known)
                case "everywhere":
                    await flows.account.log_out_everywhere(known)
                case "password":
                    other = await flows.access.authorize_user(await there.log_in(EMAIL))
                    return (await flows.account.change_password(other, _change(PASSWORD, NEW))).access_token
                case "disable":
                    await flows.users.disable(sub)
                case "family":
                    await there.revoke(FIRST_PARTY, str(opened.refresh_token))
                case "client":
                    await flows.clients.revoke_tokens("first-party")
                case "all":
                    await flows.revocation.revoke_everything()
            return None

        async def refresh_on(worker: Worker, opened: LoginResponse, issued: list[str]) -> None:
            refresh_token = str(opened.refresh_token)
            try:
                for _ in range(1000):
                    access_token, refresh_token = await worker.refresh(FIRST_PARTY, refresh_token)
                    issued.append(access_token)
                    outcomes["refreshed"] += 1
            except InvalidGrant:
                outcomes["refused"] += 1

        for turn in range(5):
            sub = await here.register(EMAIL)
            opened = await here.open_session(EMAIL)
            known = await here.flows.access.authorize_user(opened.access_token)
            issued = [opened.access_token]
            refreshing = asyncio.create_task(refresh_on(workers[turn % 2], opened, issued))
            while len(issued) < 1 + turn % 4:
                await asyncio.sleep(0)
            kept = await revoke(sub, opened, known)
            await check_dead(workers, asker, *list(issued))
            await refreshing
            await check_dead(workers, asker, *issued)
            if kept is not None:
                await check_live(workers, asker, kept)
            await here.flows.users.delete(sub)
        assert outcomes["refused"] == 5
        assert outcomes["refreshed"] >= 5


async def test_a_user_who_is_gone_since_the_token_was_looked_at_is_gone(workers: list[Worker]) -> None:
    here, there = workers
    sub = await here.register()
    known = await here.flows.access.authorize_user(await here.log_in())
    assert (await here.flows.account.find(known)).sub == sub
    await there.flows.users.disable(sub)
    with pytest.raises(InvalidToken):
        await here.flows.account.find(known)
    await there.flows.users.delete(sub)
    with pytest.raises(InvalidToken):
        await here.flows.account.find(known)
    for act in ("change_password", "log_out", "log_out_everywhere"):
        try:
            await _act(here, act, known)
        except AuthsvcError as error:
            assert type(error) is InvalidToken
