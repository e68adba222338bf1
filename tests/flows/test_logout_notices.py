"""Clients are told that sessions have ended: all that were in them, at least once, each in its order, and nobody waits
for one who does not answer (BCL-01 to BCL-05, BCL-08)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc import wiring
from authsvc.entropy import SystemEntropy
from authsvc.errors import NotFound, Unavailable
from authsvc.flows import logout_notices
from authsvc.flows.browser_sessions import OpenedSession
from authsvc.flows.publication import Publication
from authsvc.metrics import Metrics
from authsvc.models import LogoutNotice, SubjectType
from authsvc.protocol import jwt
from authsvc.protocol.backchannel_logout import EVENT, MOST_FAULTS, TYP
from authsvc.protocol.clients import ClientChanges
from authsvc.settings import Settings
from authsvc.wiring import Outside, open_flows
from tests.certificates import write_certificate
from tests.drawn_keys import draw_key
from tests.flows.test_code_grant import a_client, issue, log_in, redeem
from tests.flows.workers import ADDRESS, EMAIL, Caller, Worker, cheap, claims_of, segment, sql, worker_on, workers_on
from tests.house_of import ISSUER, PASSWORD, FakeClock
from tests.receiver import DROP, HANG, LATE, Behaviour, Receiver, Told, receiving

Certificate = tuple[Path, Path]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def receiver(certificate: Certificate) -> Iterator[Receiver]:
    with receiving(certificate) as receiver:
        yield receiver


@pytest.fixture
def settings(database_url: str, certificate: Certificate) -> Settings:
    return cheap(database_url, outbound_loopback=True, outbound_ca_file=str(certificate[0]))


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    async with worker_on(settings) as worker:
        await worker.register()
        yield worker


async def client_at(worker: Worker, receiver: Receiver, path: str, **changes: Any) -> Caller:
    return await a_client(worker, consent="never", backchannel_logout_uri=receiver.uri(path), **changes)


async def enter(worker: Worker, *clients: Caller, **changes: Any) -> OpenedSession:
    """A session in which these clients were given something."""
    opened = await log_in(worker)
    for client in clients:
        await redeem(worker, client, await issue(worker, client, opened, **changes))
    return opened


async def log_out(worker: Worker, opened: OpenedSession) -> None:
    await worker.flows.browser_sessions.end(opened.session)


async def told(receiver: Receiver, path: str, many: int = 1) -> list[Told]:
    return await asyncio.to_thread(receiver.wait_for, path, many)


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await is_so():
            await asyncio.sleep(0.01)


async def waiting(worker: Worker) -> list[str]:
    """The sessions of which somebody is yet to be told."""
    query = "SELECT array_agg(sid ORDER BY notice_id) FROM auth.logout_notices WHERE given_up_at IS NULL"
    return list(await sql(worker.settings.database_url, query) or [])


async def until_all_are_told(worker: Worker) -> None:
    async def are_told() -> bool:
        return not await waiting(worker)

    await until(are_told)


async def until_postponed(worker: Worker, seconds: int) -> None:
    """The next try of the first is so far away."""
    due = worker.clock.now() + timedelta(seconds=seconds)
    query = "SELECT due_at FROM auth.logout_notices WHERE given_up_at IS NULL ORDER BY notice_id LIMIT 1"

    async def is_postponed() -> bool:
        return bool(await sql(worker.settings.database_url, query) == due)

    await until(is_postponed)


def counted(worker: Worker, outcome: str) -> float:
    return float(worker.flows.logout_notices._metrics.logout_notices[outcome]._value.get())


def sid_of(each: Told) -> str:
    return str(claims_of(each.token)["sid"])


# --- Who is told what


async def test_every_client_of_the_session_is_told_in_its_own_words_and_nobody_else(
    worker: Worker, receiver: Receiver
) -> None:
    algorithms = {"/shop": "RS256", "/notes": "ES256"}
    clients = {
        path: await client_at(worker, receiver, path, id_token_algorithm=algorithm, **session)
        for (path, algorithm), session in zip(
            algorithms.items(), ({"backchannel_logout_session_required": True}, {}), strict=True
        )
    }
    other = await client_at(worker, receiver, "/other")
    deaf = await a_client(worker)
    opened = await enter(worker, *clients.values(), deaf)
    elsewhere = await enter(worker, other)
    await log_out(worker, opened)
    seen = set()
    for path, algorithm in algorithms.items():
        (each,) = await told(receiver, path)
        assert each.form.keys() == {"logout_token"}
        assert each.content_type == "application/x-www-form-urlencoded"
        assert segment(each.token, 0).items() >= {"typ": "logout+jwt", "alg": algorithm}.items()
        verified = jwt.verify(each.token, worker.flows.keys.ring.verifiers, typ=TYP)
        assert isinstance(verified, jwt.Verified)
        now = int(worker.clock.unix())
        seen.add(verified.claims.pop("jti"))
        assert verified.claims == {
            "iss": ISSUER, "aud": clients[path].client_id, "iat": now, "exp": now + 120, "events": {EVENT: {}},
            "sub": opened.session.sub, "sid": opened.session.sid,
        }  # fmt: skip
    assert len(seen) == 2
    await until_all_are_told(worker)
    assert receiver.at("/other") == []
    assert counted(worker, "delivered") == 2
    await log_out(worker, elsewhere)
    await told(receiver, "/other")


async def test_who_has_only_a_code_yet_is_told_too_and_who_has_what_outlives_the_session(
    worker: Worker, receiver: Receiver
) -> None:
    code, offline = [await client_at(worker, receiver, path) for path in ("/code", "/offline")]
    opened = await log_in(worker)
    await issue(worker, code, opened)
    tokens = await redeem(worker, offline, await issue(worker, offline, opened))
    assert tokens.id_token
    assert claims_of(tokens.id_token)["sid"] == opened.session.sid
    await log_out(worker, opened)
    for path in ("/code", "/offline"):
        (each,) = await told(receiver, path)
        assert sid_of(each) == opened.session.sid


async def test_after_a_new_login_in_the_same_browser_clients_are_told_by_the_name_that_they_know(
    worker: Worker, receiver: Receiver
) -> None:
    client = await client_at(worker, receiver, "/shop")
    old = await enter(worker, client)
    new = await worker.flows.hosted_login.log_in(EMAIL, PASSWORD, ADDRESS, cookie=old.cookie)
    await until_all_are_told(worker)
    assert receiver.at("/shop") == [], "they are logged in still"
    await log_out(worker, new)
    (each,) = await told(receiver, "/shop")
    assert sid_of(each) == old.session.sid


async def test_when_somebody_else_logs_in_clients_are_told_of_who_was_there(worker: Worker, receiver: Receiver) -> None:
    client = await client_at(worker, receiver, "/shop")
    old = await enter(worker, client)
    await worker.register("bob@example.com")
    await worker.flows.hosted_login.log_in("bob@example.com", PASSWORD, ADDRESS, cookie=old.cookie)
    (each,) = await told(receiver, "/shop")
    assert claims_of(each.token)["sub"] == old.session.sub


async def test_who_is_gone_is_told_of(worker: Worker, receiver: Receiver) -> None:
    client = await client_at(worker, receiver, "/shop")
    opened = await enter(worker, client)
    await worker.flows.users.delete(opened.session.sub)
    (each,) = await told(receiver, "/shop")
    assert claims_of(each.token)["sub"] == opened.session.sub


async def test_what_is_not_committed_is_told_to_nobody_and_what_is_done_again_is_told_once(
    worker: Worker, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await client_at(worker, receiver, "/shop")
    opened = await enter(worker, client)
    with pytest.raises(NotFound):
        await worker.flows.users.disable("nobody")
    assert await waiting(worker) == []

    async def fail(*_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(Publication, "publish", fail)
        with pytest.raises(Unavailable):
            await log_out(worker, opened)
    await told(receiver, "/shop")
    await log_out(worker, opened)
    await until_all_are_told(worker)
    assert len(receiver.at("/shop")) == 1


async def test_a_client_hears_by_the_names_that_it_has_by_then_wherever_it_is_told(
    worker: Worker, receiver: Receiver
) -> None:  # IDT-10
    """No time passes, so this worker has not heard of the change: it knows a client whose names are everybody's."""
    client = await client_at(worker, receiver, "/shop")
    opened = await enter(worker, client)
    changes: ClientChanges = {"subject_type": SubjectType.PAIRWISE}
    await worker.flows.clients.update(client.client_id, changes, change_subjects=True)
    await log_out(worker, opened)
    (each,) = await told(receiver, "/shop")
    again = await enter(worker, client)
    await log_out(worker, again)
    _, another = await told(receiver, "/shop", 2)
    of_one, of_other = claims_of(each.token), claims_of(another.token)
    assert of_one["sub"] == of_other["sub"] != opened.session.sub
    assert len({of_one["sid"], of_other["sid"], opened.session.sid, again.session.sid}) == 4


# --- Nobody waits


async def test_one_that_hangs_holds_up_neither_the_user_nor_the_others(worker: Worker, receiver: Receiver) -> None:
    receiver.behaviours["/hang"] = HANG
    hanging, fine = await client_at(worker, receiver, "/hang"), await client_at(worker, receiver, "/fine")
    await log_out(worker, await enter(worker, hanging, fine))
    await told(receiver, "/hang")
    await told(receiver, "/fine")
    await log_out(worker, await enter(worker, hanging, fine))
    await told(receiver, "/fine", 2)
    assert len(receiver.at("/hang")) == 1, "which has not even been answered yet"


async def test_what_ended_elsewhere_is_told_by_who_is_at_work(worker: Worker, receiver: Receiver) -> None:
    """A command does no jobs: the notice waits for a worker."""
    client = await client_at(worker, receiver, "/shop")
    opened = await enter(worker, client)
    outside = Outside(worker.clock, SystemEntropy(), draw_key)
    metrics = Metrics(CollectorRegistry())
    async with open_flows(worker.settings, metrics, outside, keeps_fresh=False, with_jobs=False) as flows:
        await flows.users.disable(opened.session.sub)
    await told(receiver, "/shop")


async def test_where_nobody_tells_them_it_is_seen_how_long_clients_have_waited(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve --no-jobs`, and no `work`."""
    monkeypatch.setattr(wiring, "LOGOUT_NOTICES_LOOK_SECONDS", 0.01)
    clock, metrics = FakeClock(), Metrics(CollectorRegistry())
    async with open_flows(settings, metrics, Outside(clock, SystemEntropy(), draw_key), with_jobs=False) as flows:
        worker = Worker(flows, clock, settings)
        await worker.register()
        await log_out(worker, await enter(worker, await client_at(worker, receiver, "/shop")))
        clock.advance(700)

        async def is_seen() -> bool:
            waiting, oldest = metrics.logout_notices_waiting, metrics.logout_notices_oldest
            return (waiting._value.get(), oldest._value.get()) == (1, 700)

        await until(is_seen)
    assert receiver.told == []


# --- At least once


async def test_one_that_takes_its_time_is_told_once(worker: Worker, receiver: Receiver) -> None:
    receiver.behaviours["/shop"] = LATE
    await log_out(worker, await enter(worker, await client_at(worker, receiver, "/shop")))
    await until_all_are_told(worker)
    assert len(receiver.at("/shop")) == 1
    assert [counted(worker, each) for each in ("delivered", "fault", "away")] == [1, 0, 0]


@pytest.mark.parametrize("behaviour", [500, 503, 302, 429, DROP, HANG], ids=str)
async def test_one_that_fails_is_told_again(
    worker: Worker, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    """One that hangs may have understood, and is told twice."""
    monkeypatch.setattr(logout_notices, "SEND_SECONDS", 0.3)
    receiver.behaviours["/shop"] = behaviour
    opened = await enter(worker, await client_at(worker, receiver, "/shop"))
    await log_out(worker, opened)
    await told(receiver, "/shop")
    await until_postponed(worker, 1)
    worker.clock.advance(1)
    await told(receiver, "/shop", 2)
    await until_postponed(worker, 2)
    del receiver.behaviours["/shop"]
    worker.clock.advance(2)
    again = await told(receiver, "/shop", 3)
    await until_all_are_told(worker)
    assert counted(worker, "away" if behaviour == DROP else "fault") == 2
    assert len({claims_of(each.token)["jti"] for each in again}) == 3, "nobody takes it for a replay"
    assert {sid_of(each) for each in again} == {opened.session.sid}
    assert counted(worker, "given_up") == 0


async def test_one_that_refuses_is_not_told_again_and_again_and_hears_what_comes_after(
    worker: Worker, receiver: Receiver
) -> None:
    receiver.behaviours["/shop"] = 400
    client = await client_at(worker, receiver, "/shop")
    first, second = [await enter(worker, client) for _ in range(2)]
    await log_out(worker, first)
    for many, pause in ((1, 1), (2, 2)):
        await told(receiver, "/shop", many)
        await until_postponed(worker, pause)
        worker.clock.advance(pause)
    await told(receiver, "/shop", 3)
    await until_all_are_told(worker)
    assert (counted(worker, "refused"), counted(worker, "given_up")) == (3, 1)
    kept = "SELECT sid FROM auth.logout_notices WHERE given_up_at IS NOT NULL"
    assert await sql(worker.settings.database_url, kept) == first.session.sid
    del receiver.behaviours["/shop"]
    await log_out(worker, second)
    assert sid_of((await told(receiver, "/shop", 4))[-1]) == second.session.sid


async def test_one_that_was_away_for_long_may_come_back_with_an_error(worker: Worker, receiver: Receiver) -> None:
    """Its proxy is there before it is."""
    receiver.behaviours["/shop"] = DROP
    await log_out(worker, await enter(worker, await client_at(worker, receiver, "/shop")))
    await until_postponed(worker, 1)
    await sql(worker.settings.database_url, f"UPDATE auth.logout_notices SET attempts = {MOST_FAULTS * 2}")
    receiver.behaviours["/shop"] = 503
    for pause in (1, 2):
        worker.clock.advance(1)
        await until_postponed(worker, pause)
    del receiver.behaviours["/shop"]
    worker.clock.advance(2)
    await until_all_are_told(worker)
    assert [counted(worker, each) for each in ("away", "fault", "delivered", "given_up")] == [1, 2, 1, 0]


async def test_one_that_was_away_hears_everything_in_its_order(worker: Worker, certificate: Certificate) -> None:
    with receiving(certificate) as gone:
        client = await client_at(worker, gone, "/shop")
    opened = [await enter(worker, client) for _ in range(3)]
    for each in opened:
        await log_out(worker, each)
    await until_postponed(worker, 1)
    sids = [each.session.sid for each in opened]
    assert await waiting(worker) == sids
    await worker.flows.logout_notices.look()
    assert worker.flows.logout_notices._metrics.logout_notices_waiting._value.get() == 3
    with receiving(certificate, gone.port) as back:
        worker.clock.advance(1)
        assert [sid_of(each) for each in await told(back, "/shop", 3)] == sids
        await until_all_are_told(worker)


async def test_who_dies_in_the_middle_of_it_leaves_it_to_others(settings: Settings, receiver: Receiver) -> None:
    clock = FakeClock()
    receiver.behaviours["/shop"] = HANG
    async with worker_on(settings, clock) as dying:
        await dying.register()
        opened = await enter(dying, await client_at(dying, receiver, "/shop"))
        await log_out(dying, opened)
        await told(receiver, "/shop")
    del receiver.behaviours["/shop"]
    async with worker_on(settings, clock) as heir:
        assert await waiting(heir) == [opened.session.sid]
        clock.advance(logout_notices.LEASE.total_seconds())
        assert sid_of((await told(receiver, "/shop", 2))[-1]) == opened.session.sid
        await until_all_are_told(heir)


async def test_of_many_workers_one_tells(settings: Settings, receiver: Receiver) -> None:
    async with workers_on(settings, 3) as workers:
        await workers[0].register()
        clients = [await client_at(workers[0], receiver, f"/{number}") for number in range(4)]
        opened = [await enter(workers[0], *clients) for _ in range(3)]
        await asyncio.gather(*(log_out(worker, each) for worker, each in zip(workers, opened, strict=True)))
        await until_all_are_told(workers[0])
        for number in range(4):
            sids = [sid_of(each) for each in receiver.at(f"/{number}")]
            assert sorted(sids) == sorted(each.session.sid for each in opened)


# --- Nowhere else


async def test_who_wants_it_no_more_is_told_nothing(worker: Worker, receiver: Receiver) -> None:
    receiver.behaviours["/shop"] = 503
    client = await client_at(worker, receiver, "/shop")
    await log_out(worker, await enter(worker, client))
    await until_postponed(worker, 1)
    await worker.flows.clients.update(client.client_id, {"backchannel_logout_uri": None})
    worker.clock.advance(1)
    await until_all_are_told(worker)
    assert len(receiver.at("/shop")) == 1


async def test_who_is_gone_since_its_notice_was_claimed_is_told_nothing(worker: Worker, receiver: Receiver) -> None:
    client = await client_at(worker, receiver, "/shop")
    notice = LogoutNotice(
        notice_id=1, client_id=client.client_id, sub="usr_1", sid="sid", created_at=worker.clock.now(), attempts=1,
        answered=0, uri=receiver.uri("/shop"), algorithm="RS256", generation=0,
    )  # fmt: skip
    await worker.flows.logout_notices._settle(notice)
    await worker.flows.clients.delete(client.client_id)
    worker.clock.advance(1)
    await worker.flows.logout_notices._settle(notice)
    assert len(receiver.at("/shop")) == 1


async def test_nobody_on_this_machine_is_told_unless_it_is_allowed(
    database_url: str, receiver: Receiver, certificate: Certificate
) -> None:
    """BCL-08: nor is anybody else inside."""
    async with worker_on(cheap(database_url, outbound_ca_file=str(certificate[0]))) as worker:
        await worker.register()
        await log_out(worker, await enter(worker, await client_at(worker, receiver, "/shop")))
        await until_postponed(worker, 1)
        assert counted(worker, "away") == 1
    assert receiver.told == []
