"""Where users are logged in: they see their own and end them, and what races that (SES-04, SES-06, C1, C5)."""

import asyncio

import pytest

from authsvc.errors import InvalidGrant, InvalidPassword, Unavailable
from authsvc.flows.browser_sessions import OpenedSession
from authsvc.flows.own_sessions import MOST_LISTED
from authsvc.models import OpenSession
from authsvc.protocol.accounts import PasswordChangeRequest
from tests.flows.test_code_grant import a_client, issue, log_in, redeem
from tests.flows.workers import (
    ADDRESS,
    EMAIL,
    Caller,
    Worker,
    active_everywhere,
    claims_of,
    sql,
    with_and_without_redis,
)
from tests.house_of import PASSWORD

NEW = "another good password"
BOB = "bob@example.com"
FIRST_PARTY = Caller("first-party", None)


@pytest.fixture
async def opened(worker: Worker) -> OpenedSession:
    await worker.register()
    return await worker.flows.hosted_login.log_in(EMAIL, PASSWORD, ADDRESS, cookie=None, device="Firefox, Linux")


async def listed(worker: Worker, opened: OpenedSession) -> list[OpenSession]:
    found, total = await worker.flows.sessions.list_open(opened.session)
    assert len(found) == total
    return found


async def events(worker: Worker, name: str) -> int:
    query = "SELECT count(*) FROM audit.security_events WHERE event = $1"
    return int(await sql(worker.settings.database_url, query, name))


# --- The list


async def test_a_session_is_known_by_what_it_was_opened_with(worker: Worker, opened: OpenedSession) -> None:
    (only,) = await listed(worker, opened)
    assert (only.sid, only.device, only.address) == (opened.session.sid, "Firefox, Linux", "192.0.2.1")
    assert (only.client_id, only.since, only.seen_at) == ("first-party", worker.clock.now(), None)


async def test_when_it_was_last_used_is_known_without_a_write_for_each_use(
    worker: Worker, opened: OpenedSession
) -> None:
    worker.clock.advance(3600)
    assert await worker.flows.browser_sessions.find(opened.cookie) is not None
    used = worker.clock.now()
    version = "SELECT xmin::text FROM auth.sessions"
    before = await sql(worker.settings.database_url, version)
    worker.clock.advance(30)
    assert await worker.flows.browser_sessions.find(opened.cookie) is not None
    assert [each.seen_at for each in await listed(worker, opened)] == [used]
    assert await sql(worker.settings.database_url, version) == before


async def test_the_one_that_asks_is_first_then_those_that_were_used_last(worker: Worker, opened: OpenedSession) -> None:
    worker.clock.advance(60)
    at_a_login_ui = await worker.open_session()
    worker.clock.advance(60)
    later = await log_in(worker)
    worker.clock.advance(60)
    assert at_a_login_ui.refresh_token
    await worker.refresh(FIRST_PARTY, str(at_a_login_ui.refresh_token))
    sids = [each.sid for each in await listed(worker, opened)]
    assert sids == [opened.session.sid, claims_of(at_a_login_ui.access_token)["sid"], later.session.sid]
    assert (await listed(worker, opened))[1].seen_at == worker.clock.now()


async def test_only_what_lives_is_listed_and_nobody_elses(worker: Worker, opened: OpenedSession) -> None:
    await worker.register(BOB)
    await log_in(worker, BOB)
    ended, logged_out = await log_in(worker), await worker.log_in()
    await worker.flows.browser_sessions.end(ended.session)
    await worker.log_out(logged_out)
    assert [each.sid for each in await listed(worker, opened)] == [opened.session.sid]
    idle = await worker.log_in()
    worker.clock.advance(worker.settings.session_idle_seconds - 1)
    assert {each.sid for each in await listed(worker, opened)} == {opened.session.sid, claims_of(idle)["sid"]}
    assert await worker.flows.browser_sessions.find(opened.cookie) is not None
    worker.clock.advance(worker.settings.refresh_idle_seconds)
    assert await listed(worker, opened) == []


async def test_a_long_list_has_an_end_and_says_how_long_it_is(worker: Worker, opened: OpenedSession) -> None:
    await sql(
        worker.settings.database_url,
        "INSERT INTO auth.sessions (sid, sub, client_id, gen_user, gen_client, gen_everything, methods, "
        "authenticated_at, expires_at, idle_until) SELECT 'many' || n, sub, client_id, gen_user, gen_client, "
        "gen_everything, methods, authenticated_at + interval '1 second', expires_at, idle_until "
        "FROM auth.sessions, generate_series(1, 150) AS n",
    )
    found, total = await worker.flows.sessions.list_open(opened.session)
    assert (len(found), total) == (MOST_LISTED, 151)
    assert found[0].sid == opened.session.sid
    await worker.flows.sessions.end_others(opened.session)
    assert [each.sid for each in await listed(worker, opened)] == [opened.session.sid]


# --- Ending one


@with_and_without_redis
async def test_what_is_ended_is_dead_on_every_worker(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    opened, other = await log_in(here), await log_in(there)
    who, observer = await a_client(here), await here.client()
    token = (await redeem(here, who, await issue(here, who, other, scope=("read",)))).access_token
    at_a_login_ui = await there.log_in()
    waiting = await issue(here, who, other, scope=("read",))
    assert await active_everywhere(workers, observer, token)

    assert await there.flows.sessions.end(opened.session, other.session.sid)
    assert not await active_everywhere(workers, observer, token)
    assert await here.flows.browser_sessions.find(other.cookie) is None
    with pytest.raises(InvalidGrant):
        await redeem(here, who, waiting)
    assert await active_everywhere(workers, observer, at_a_login_ui)
    assert await here.flows.sessions.end(opened.session, claims_of(at_a_login_ui)["sid"])
    assert not await active_everywhere(workers, observer, at_a_login_ui)
    assert await there.flows.browser_sessions.find(opened.cookie) is not None


async def test_nobody_ends_a_session_of_somebody_else(worker: Worker, opened: OpenedSession) -> None:  # SES-06
    await worker.register(BOB)
    bobs, observer = await log_in(worker, BOB), await worker.client()
    token = await worker.log_in(BOB)
    for sid in (bobs.session.sid, claims_of(token)["sid"], "", "nobody's", "' OR true --"):
        assert not await worker.flows.sessions.end(opened.session, sid)
    await worker.flows.sessions.end_others(opened.session)
    assert await worker.is_active(observer, token)
    assert await worker.flows.browser_sessions.find(bobs.cookie) is not None
    assert await events(worker, "session_logout") == 0
    assert (
        await sql(worker.settings.database_url, "SELECT count(*) FROM auth.token_blacklist WHERE mark LIKE 's:%'") == 0
    )


async def test_ending_it_twice_is_ending_it_once(worker: Worker, opened: OpenedSession) -> None:
    other = await log_in(worker)
    for _ in range(2):
        assert await worker.flows.sessions.end(opened.session, other.session.sid)
        worker.clock.advance(5)
    assert await events(worker, "session_logout") == 1


async def test_who_was_told_to_try_again_is_heard_again(
    worker: Worker, opened: OpenedSession, monkeypatch: pytest.MonkeyPatch
) -> None:  # C5
    """It was committed, and could not be made known."""
    others = [await log_in(worker) for _ in range(3)]
    publication = worker.flows.account._revocations._publication
    known: set[str] = set()

    async def fail(marks: object) -> None:
        raise Unavailable

    async def note(marks: dict[str, int]) -> None:
        known.update(marks)

    monkeypatch.setattr(publication, "publish", fail)
    with pytest.raises(Unavailable):
        await worker.flows.sessions.end(opened.session, others[0].session.sid)
    with pytest.raises(Unavailable):
        await worker.flows.sessions.end_others(opened.session)
    monkeypatch.setattr(publication, "publish", note)
    assert await worker.flows.sessions.end(opened.session, others[0].session.sid)
    assert known == {f"s:{others[0].session.sid}"}
    await worker.flows.sessions.end_others(opened.session)
    assert known == {f"s:{each.session.sid}" for each in others}
    assert await events(worker, "session_logout") == 3


# --- Races


@with_and_without_redis
async def test_a_session_that_refreshes_while_it_is_ended_leaves_nothing_that_lives(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    opened, observer = await log_in(here), await here.client()
    for turn in range(10):
        session = await here.open_session()
        first = str(session.refresh_token)
        minted: list[tuple[str, str]] = []

        async def refresh(token: str, minted: list[tuple[str, str]] = minted) -> None:
            for number in range(10):
                try:
                    minted.append(await workers[number % 2].refresh(FIRST_PARTY, token))
                except InvalidGrant:
                    return
                token = minted[-1][1]

        async def end(sid: str, turn: int = turn) -> None:
            for _ in range(turn):
                await asyncio.sleep(0.001)
            assert await there.flows.sessions.end(opened.session, sid)

        sid = claims_of(session.access_token)["sid"]
        await asyncio.gather(refresh(first), end(sid))
        for access_token in (session.access_token, *(each[0] for each in minted)):
            assert not await active_everywhere(workers, observer, access_token)
        last = minted[-1][1] if minted else first
        with pytest.raises(InvalidGrant):
            await here.refresh(FIRST_PARTY, last)


async def test_two_browsers_that_end_all_others_at_once_do_not_stand_in_each_others_way(workers: list[Worker]) -> None:
    await workers[0].register()
    for _ in range(5):
        opened = [await log_in(workers[0]) for _ in range(6)]
        await asyncio.gather(
            *(workers[number % 2].flows.sessions.end_others(each.session) for number, each in enumerate(opened))
        )
        lives = [await workers[0].flows.browser_sessions.find(each.cookie) for each in opened]
        assert lives == [None] * 6, "each was another one to somebody"


# --- A new password in a browser


async def test_a_new_password_gives_a_new_cookie_and_ends_all_other_sessions(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    opened, other, token = await log_in(here), await log_in(there), await here.log_in()
    observer = await here.client()
    request = PasswordChangeRequest(current_password=PASSWORD, new_password=NEW)
    cookie = await there.flows.browser_sessions.change_password(opened.session, request)
    find = here.flows.browser_sessions.find
    assert await find(opened.cookie) is None  # SES-01
    assert await find(other.cookie) is None  # SES-04
    found = await find(cookie)
    assert found is not None
    assert found.sid == opened.session.sid
    assert not await active_everywhere(workers, observer, token)
    user = await here.flows.browser_sessions.find_user(found)
    assert user is not None
    assert user.password_changed_at == here.clock.now()
    await here.log_in(password=NEW)
    stored = await sql(here.settings.database_url, "SELECT string_agg(s::text, '') FROM auth.sessions s")
    assert cookie not in stored


async def test_a_wrong_password_changes_nothing(worker: Worker, opened: OpenedSession) -> None:  # PWR-09
    request = PasswordChangeRequest(current_password="wrong", new_password=NEW)
    with pytest.raises(InvalidPassword):
        await worker.flows.browser_sessions.change_password(opened.session, request)
    assert await worker.flows.browser_sessions.find(opened.cookie) is not None
    await worker.log_in()
