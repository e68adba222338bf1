"""AUD-04: what happened stands in the audit log; a change together with its event or not at all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from authsvc.clock import Clock
from authsvc.entropy import SystemEntropy
from authsvc.errors import AuthsvcError, InvalidClient, InvalidCredentials, InvalidGrant, InvalidToken, MissingToken
from authsvc.flows import audit as audit_flow
from authsvc.flows.audit import BATCH, QUEUE, Audit
from authsvc.metrics import Metrics
from authsvc.models import AuditEvent, AuditFilter
from authsvc.origin import Origin, origin
from authsvc.protocol.audit import Event
from authsvc.tables.db import Database
from authsvc.wiring import Outside, open_flows
from tests.drawn_keys import draw_key
from tests.flows.workers import EMAIL, Caller, Worker, cheap, sql, worker_on
from tests.house_of import PASSWORD, FakeClock, database_away

ALL = AuditFilter()


async def told(worker: Worker, *events: Event, many: int = 1) -> list[AuditEvent]:
    """What stands in the log of these events, in order, as soon as it is so many."""
    wanted = replace(ALL, events=tuple(events))
    async with asyncio.timeout(30):
        while len(found := await worker.flows.audit_trail.last(wanted, limit=100)) < many:
            await asyncio.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_flow, "PAUSE_SECONDS", 0.02)


async def sealed(worker: Worker) -> None:
    """Everything is: by this call, or by the job, which may be holding the chain at this moment."""
    unsealed = "SELECT count(*) FROM audit.security_events WHERE seal IS NULL"
    async with asyncio.timeout(30):
        while await sql(worker.settings.database_url, unsealed):
            await worker.flows.audit_trail.seal()


# --- What is written


async def test_a_life_is_told_in_order(worker: Worker) -> None:
    sub = await worker.register()
    first = await worker.open_session()
    changed = await worker.change_password(first.access_token, "another long password")
    await worker.log_out(changed)
    await worker.flows.users.disable(sub)
    await worker.flows.users.enable(sub)
    await worker.flows.users.delete(sub)
    events = await told(worker, *Event, many=12)
    assert [(each.event, each.sub) for each in events if not each.event.startswith(("key_", "sys_"))] == [
        ("user_created", sub),
        ("authn_login_success", sub),
        ("session_created", sub),
        ("authn_password_change", sub),
        ("authn_token_revoked", sub),
        ("session_logout", sub),
        ("authn_token_revoked", sub),
        ("user_updated", sub),
        ("user_updated", sub),
        ("authn_token_revoked", sub),
        ("user_updated", sub),
        ("user_deleted", sub),
    ]
    assert len({each.sid for each in events if each.sid}) == 1


@pytest.mark.parametrize(
    ("email", "password", "reason", "is_known"),
    [
        (EMAIL, "not the password", "password", True),
        ("nobody@example.com", PASSWORD, "unknown", False),
        ("no address at all", PASSWORD, "unknown", False),
    ],
)
async def test_a_failed_login_tells_why_to_nobody_but_the_log(
    worker: Worker, email: str, password: str, reason: str, is_known: bool
) -> None:
    sub = await worker.register()
    with pytest.raises(InvalidCredentials):
        await worker.open_session(email, password)
    (event,) = await told(worker, Event.AUTHN_LOGIN_FAIL)
    assert (event.details["reason"], event.sub) == (reason, sub if is_known else None)
    assert email not in str(event) and password not in str(event)


async def test_a_disabled_user_with_the_right_password_fails_as_disabled(worker: Worker) -> None:
    sub = await worker.register()
    await worker.flows.users.disable(sub)
    with pytest.raises(InvalidCredentials):
        await worker.open_session()
    (event,) = await told(worker, Event.AUTHN_LOGIN_FAIL)
    assert event.details["reason"] == "disabled"


async def test_a_wrong_current_password_is_told(worker: Worker) -> None:
    sub = await worker.register()
    token = await worker.log_in()
    with pytest.raises(AuthsvcError):
        await worker.change_password(token, "another long password", current="not the password at all")
    (event,) = await told(worker, Event.AUTHN_PASSWORD_CHANGE_FAIL)
    assert (event.sub, event.level) == (sub, "critical")


@pytest.mark.parametrize(
    ("token", "error", "reason"),
    [
        (None, MissingToken, "missing_token"),
        ("", InvalidToken, "invalid_token"),
        ("x.y.z", InvalidToken, "invalid_token"),
    ],
)
async def test_who_comes_to_a_protected_door_without_a_live_token_is_told(
    worker: Worker, token: str | None, error: type[AuthsvcError], reason: str
) -> None:
    with pytest.raises(error):
        await worker.flows.access.authorize_user(token)
    (event,) = await told(worker, Event.AUTHZ_FAIL)
    assert event.details == {"reason": reason}


async def test_a_clients_own_token_at_a_users_door_is_told(worker: Worker) -> None:
    owner = await worker.client(audiences=(worker.settings.api_audience,))
    with pytest.raises(AuthsvcError):
        await worker.flows.access.authorize_user(await worker.mint(owner))
    assert len(await told(worker, Event.AUTHZ_FAIL)) == 1


async def test_a_client_that_fails_to_authenticate_is_told_by_its_own_name_only(worker: Worker) -> None:
    owner = await worker.client()
    for who in (replace(owner, secret="wrong"), Caller("somebody's text", "wrong")):
        with pytest.raises(InvalidClient):
            await worker.authenticate(who)
    known, unknown = await told(worker, Event.AUTHN_LOGIN_FAIL, many=2)
    assert (known.client_id, unknown.client_id) == (owner.client_id, None)
    assert "somebody" not in str(unknown)


async def test_reuse_is_told_with_the_end_of_the_family(worker: Worker) -> None:
    sub = await worker.register()
    session = await worker.open_session()
    who = Caller(session.client_id, None)
    assert isinstance(session.refresh_token, str)
    _, second = await worker.refresh(who, session.refresh_token)
    await worker.refresh(who, second)
    with pytest.raises(InvalidGrant):
        await worker.refresh(who, session.refresh_token)
    revoked, reused = await told(worker, Event.AUTHN_TOKEN_REVOKED, Event.AUTHN_TOKEN_REUSE, many=2)
    assert (reused.event, reused.level, reused.sub) == ("authn_token_reuse", "critical", sub)
    assert reused.client_id == session.client_id
    assert revoked.details == {"kind": "grant", "grant_id": reused.details["grant_id"]}


async def test_every_kind_of_revocation_is_told(worker: Worker) -> None:
    owner = await worker.client()
    await worker.revoke(owner, await worker.mint(owner))
    await worker.flows.clients.revoke_tokens(owner.client_id)
    await worker.flows.revocation.revoke_everything()
    token, client = await told(worker, Event.AUTHN_TOKEN_REVOKED, many=2)
    assert (token.details["kind"], token.client_id) == ("token", owner.client_id)
    assert (client.details["kind"], client.client_id) == ("client", owner.client_id)
    assert len(await told(worker, Event.GLOBAL_REVOCATION)) == 1


async def test_where_it_came_from_stands_beside_it(worker: Worker) -> None:
    origin.set(Origin("cli", operator="root"))
    sub = await worker.register()
    (event,) = await told(worker, Event.USER_CREATED)
    assert (event.via, event.details, event.sub) == ("cli", {"operator": "root"}, sub)


# --- Together or not at all


async def test_no_change_without_its_event(worker: Worker, database_url: str) -> None:
    sub = await worker.register()
    token = await worker.log_in()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("ALTER TABLE audit.security_events ADD CONSTRAINT never CHECK (false) NOT VALID")
        try:
            with pytest.raises(asyncpg.CheckViolationError):
                await worker.flows.users.disable(sub)
        finally:
            await connection.execute("ALTER TABLE audit.security_events DROP CONSTRAINT never")
    finally:
        await connection.close()
    assert (await worker.flows.access.authorize_user(token)).sub == sub
    assert await told(worker, Event.USER_UPDATED, many=0) == []


# --- Observations


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, size=2, timeout=5.0, name="test")
    await database.open()
    yield database
    await database.close()


def counts(metrics: Metrics) -> dict[str, float]:
    return {way: child._value.get() for way, child in metrics.audit_events.items()}


def an_audit(db: Database, clock: Clock | None = None) -> tuple[Audit, Metrics]:
    metrics = Metrics(CollectorRegistry())
    return Audit(db, clock or FakeClock(), metrics), metrics


async def rows(db: Database) -> list[Any]:
    return await db.fetch("SELECT event, details FROM audit.security_events ORDER BY id")


async def test_what_waits_is_written_at_the_end(db: Database) -> None:
    audit, metrics = an_audit(db)
    audit.open()
    for _ in range(BATCH + 5):
        audit.observe(audit.build(Event.AUTHZ_FAIL))
    await audit.close()
    assert len(await rows(db)) == BATCH + 5
    assert counts(metrics) == {"recorded": 0, "observed": BATCH + 5, "dropped": 0}


async def test_what_the_queue_does_not_hold_is_counted_and_the_log_tells_of_it(db: Database) -> None:
    audit, metrics = an_audit(db)
    for _ in range(QUEUE + 7):
        audit.observe(audit.build(Event.AUTHZ_FAIL))
    audit.open()
    await audit.close()
    found = await rows(db)
    assert [each["details"] for each in found if each["event"] == "sys_monitor_disabled"] == [{"dropped": 7}]
    assert len(found) == QUEUE + 1
    assert counts(metrics) == {"recorded": 0, "observed": QUEUE, "dropped": 7}


async def test_observations_outlive_an_outage(db: Database, database_url: str) -> None:
    audit, _ = an_audit(db)
    audit.open()
    async with database_away(database_url):
        for _ in range(3):
            audit.observe(audit.build(Event.AUTHZ_FAIL))
        await asyncio.sleep(0.1)
    await audit.close()
    assert len(await rows(db)) == 3


async def test_the_end_does_not_wait_for_an_outage_to_end(
    db: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_flow, "LAST_SECONDS", 0.2)
    audit, metrics = an_audit(db)
    audit.open()
    async with database_away(database_url):
        audit.observe(audit.build(Event.AUTHZ_FAIL))
        await audit.close()
    assert counts(metrics)["dropped"] == 1


async def test_what_will_never_be_taken_holds_up_nothing_behind_it(db: Database) -> None:
    audit, metrics = an_audit(db)
    await db.execute("ALTER TABLE audit.security_events ADD CONSTRAINT never CHECK (event <> 'authz_fail') NOT VALID")
    try:
        audit.observe(audit.build(Event.AUTHZ_FAIL))
        assert await audit._write()
        audit.observe(audit.build(Event.AUTHN_LOGIN_FAIL))
        assert await audit._write()
    finally:
        await db.execute("ALTER TABLE audit.security_events DROP CONSTRAINT never")
    found = await rows(db)
    assert [each["event"] for each in found] == ["authn_login_fail", "sys_monitor_disabled"]
    assert counts(metrics) == {"recorded": 0, "observed": 1, "dropped": 1}


# --- The trail


async def test_what_was_sealed_is_verified_and_what_was_changed_is_found(worker: Worker, database_url: str) -> None:
    for number in range(3):
        await worker.register(f"user{number}@example.com")
        await sealed(worker)
    report = await worker.flows.audit_trail.verify()
    assert report.faults == [] and report.seals >= 3
    assert report.last is not None and report.last.number == report.seals
    connection = await asyncpg.connect(database_url)
    try:
        # What an owner can do who means it.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE audit.security_events SET sub = 'somebody else' WHERE seal = 2")
    finally:
        await connection.close()
    assert (await worker.flows.audit_trail.verify()).faults == ["seal 2: an event was altered"]


async def test_any_number_of_workers_seal_into_one_chain(workers: list[Worker]) -> None:
    async def work(worker: Worker, name: str) -> None:
        for number in range(5):
            await worker.register(f"{name}{number}@example.com")
            await asyncio.gather(*(each.flows.audit_trail.seal() for each in workers))

    await asyncio.gather(*(work(each, f"w{at}u") for at, each in enumerate(workers)))
    await sealed(workers[0])
    report = await workers[1].flows.audit_trail.verify()
    assert report.faults == []
    assert report.events >= 10


async def test_events_that_nobody_seals_are_noticed(database_url: str) -> None:
    clock, settings = FakeClock(), cheap(database_url)
    outside = Outside(clock, SystemEntropy(), draw_key)
    async with open_flows(settings, Metrics(CollectorRegistry()), outside, with_jobs=False) as flows:
        await Worker(flows, clock, settings).register()
        assert (await flows.audit_trail.verify()).faults == []
        clock.advance(601)
        (fault,) = (await flows.audit_trail.verify()).faults
        assert "not sealed" in fault


async def test_old_events_are_let_go_and_the_chain_holds(database_url: str) -> None:
    clock = FakeClock()
    async with worker_on(cheap(database_url, audit_retention_days=31), clock) as worker:
        await worker.register("old@example.com")
        await sealed(worker)
        clock.advance(32 * 86_400)
        sub = await worker.register("new@example.com")
        await sealed(worker)
        await worker.flows.audit_trail.forget()
        assert [each.sub for each in await told(worker, Event.USER_CREATED)] == [sub]
        report = await worker.flows.audit_trail.verify()
        assert report.faults == [] and 0 < report.forgotten < report.seals


async def test_kept_for_good_is_kept_for_good(database_url: str) -> None:
    clock = FakeClock()
    async with worker_on(cheap(database_url, audit_retention_days=0), clock) as worker:
        await worker.register()
        await sealed(worker)
        clock.advance(5_000 * 86_400)
        await worker.flows.audit_trail.forget()
        assert len(await told(worker, Event.USER_CREATED)) == 1


async def test_the_walk_goes_from_page_to_page(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsvc.flows.audit_trail.BATCH", 2)
    for number in range(5):
        await worker.register(f"user{number}@example.com")
    wanted = replace(ALL, events=(Event.USER_CREATED,))
    found = [each async for each in worker.flows.audit_trail.walk(wanted)]
    assert len(found) == 5
    assert found == sorted(found, key=lambda each: each.event_id)
