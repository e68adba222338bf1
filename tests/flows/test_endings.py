"""What ends with what, cell by cell: the table of `protocol/endings.py` against what happens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from authsvc.entropy import SystemEntropy
from authsvc.errors import InvalidGrant, OAuthError
from authsvc.flows.browser_sessions import OpenedSession
from authsvc.metrics import Metrics
from authsvc.models import ConsentPolicy, SubjectType
from authsvc.protocol.accounts import PasswordChangeRequest
from authsvc.protocol.endings import ENDS, Reach, Trigger
from authsvc.wiring import Outside, open_flows
from tests.drawn_keys import draw_key
from tests.flows.test_code_grant import a_client, issue, log_in, redeem
from tests.flows.workers import EMAIL, Caller, Worker, cheap, claims_of, kid_of, sql
from tests.house_of import PASSWORD, FakeClock

BOB = "bob@example.com"
NEW = PasswordChangeRequest(current_password=PASSWORD, new_password="another good password")
ONLINE = ("openid", "read")
DOCUMENT = Path(__file__).parents[2] / "docs" / "revocation.md"


@dataclass
class Thing:
    """What one client was given by one user."""

    user: str
    client: str
    session: str | None
    """None: it outlives its session."""
    opened_in: str
    access_token: str
    refresh_token: str | None


@dataclass
class Scene:
    worker: Worker
    gateway: Caller
    shop: Caller
    notes: Caller
    here: OpenedSession
    there: OpenedSession
    bobs: OpenedSession
    ui: str
    """The session that a login UI has opened."""
    code: str
    """Of `shop offline`, and redeemed."""
    things: dict[str, Thing] = field(default_factory=dict)

    @property
    def ada(self) -> str:
        return self.here.session.sub

    async def is_open(self, opened: OpenedSession) -> bool:
        return await self.worker.flows.browser_sessions.find(opened.cookie) is not None

    async def is_active(self, thing: Thing) -> bool:
        return await self.worker.is_active(self.gateway, thing.access_token)

    async def can_refresh(self, thing: Thing) -> bool:
        who = {each.client_id: each for each in (self.shop, self.notes)}.get(thing.client, Caller(thing.client, None))
        with suppress(OAuthError):
            await self.worker.refresh(who, str(thing.refresh_token))
            return True
        return False

    async def notices(self) -> set[tuple[str, str]]:
        """Which clients are to be told of which sessions."""
        query = "SELECT array_agg(client_id || ' ' || sid) FROM auth.logout_notices"
        found = await sql(self.worker.settings.database_url, query) or []
        assert len(set(found)) == len(found), "nobody is told twice"
        return {(client, sid) for client, sid in (each.split() for each in found)}


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    """Ada is logged in here, there, and at a login UI; Bob elsewhere. Nobody sends what is written down."""
    settings, clock = cheap(database_url), FakeClock()
    outside = Outside(clock, SystemEntropy(), draw_key)
    async with open_flows(settings, Metrics(CollectorRegistry()), outside, with_jobs=False) as flows:
        worker = Worker(flows, clock, settings)
        for email in (EMAIL, BOB):
            await worker.register(email)
        shop, notes = [
            await a_client(worker, consent=ConsentPolicy.NEVER, backchannel_logout_uri=f"https://{name}.example/told")
            for name in ("shop", "notes")
        ]
        here, there, bobs = await log_in(worker), await log_in(worker), await log_in(worker, BOB)
        ui = await worker.open_session()
        code = await issue(worker, shop, here)
        scene = Scene(
            worker, await worker.client(), shop, notes, here, there, bobs, claims_of(ui.access_token)["sid"], code
        )

        async def give(name: str, client: Caller, opened: OpenedSession, code: str, *, is_offline: bool) -> None:
            tokens, sid = await redeem(worker, client, code), opened.session.sid
            assert (tokens.refresh_token is not None) is is_offline
            scene.things[name] = Thing(
                opened.session.sub, client.client_id, None if is_offline else sid, sid, tokens.access_token,
                tokens.refresh_token,
            )  # fmt: skip

        await give("shop offline", shop, here, code, is_offline=True)
        await give("shop", shop, here, await issue(worker, shop, here, scope=ONLINE), is_offline=False)
        await give("notes", notes, here, await issue(worker, notes, here), is_offline=True)
        await give("shop there", shop, there, await issue(worker, shop, there, scope=ONLINE), is_offline=False)
        await give("shop there, offline", shop, there, await issue(worker, shop, there), is_offline=True)
        await give("bob's", shop, bobs, await issue(worker, shop, bobs), is_offline=True)
        scene.things["login UI"] = Thing(
            scene.ada, "first-party", scene.ui, scene.ui, ui.access_token, str(ui.refresh_token)
        )
        yield scene


@dataclass(frozen=True)
class Subject:
    """What an event is of: `this` is the session, `thing` the token and its grant."""

    this: str
    thing: str = "shop offline"


def covers(reach: Reach, scene: Scene, subject: Subject, name: str) -> bool:
    thing = scene.things[name]
    is_adas = thing.user == scene.ada
    match reach:
        case Reach.NOTHING:
            return False
        case Reach.TOKEN | Reach.FAMILY:
            return name == subject.thing
        case Reach.SESSION:
            return thing.session == subject.this
        case Reach.OTHER_SESSIONS:
            return is_adas and thing.session not in {None, subject.this}
        case Reach.USER_ELSEWHERE:
            return is_adas and thing.session != subject.this
        case Reach.USER:
            return is_adas
        case Reach.CONNECTION:
            return is_adas and thing.client == scene.shop.client_id
        case Reach.CLIENT:
            return thing.client == scene.shop.client_id
    return True  # one key has signed them all


def covers_session(reach: Reach, scene: Scene, subject: Subject, opened: OpenedSession) -> bool:
    sid, is_adas = opened.session.sid, opened.session.sub == scene.ada
    match reach:
        case Reach.SESSION:
            return sid == subject.this
        case Reach.OTHER_SESSIONS:
            return is_adas and sid != subject.this
        case Reach.USER:
            return is_adas
    return reach is Reach.EVERYTHING


# --- The acts


async def reuse_refresh_token(scene: Scene) -> Subject:
    thing = scene.things["shop offline"]
    spent = str(thing.refresh_token)
    for _ in range(2):
        _, thing.refresh_token = await scene.worker.refresh(scene.shop, str(thing.refresh_token))
    with pytest.raises(InvalidGrant):
        await scene.worker.refresh(scene.shop, spent)
    return Subject("")


async def reuse_code(scene: Scene) -> Subject:
    with pytest.raises(InvalidGrant):
        await redeem(scene.worker, scene.shop, scene.code)
    return Subject("")


async def revoke_access_token(scene: Scene) -> Subject:
    await scene.worker.revoke(scene.shop, scene.things["shop offline"].access_token)
    return Subject("")


async def revoke_refresh_token(scene: Scene) -> Subject:
    await scene.worker.revoke(scene.shop, str(scene.things["shop offline"].refresh_token))
    return Subject("")


async def log_out_of_browser(scene: Scene) -> Subject:
    await scene.worker.flows.browser_sessions.end(scene.here.session)
    return Subject(scene.here.session.sid)


async def log_out_of_login_ui(scene: Scene) -> Subject:
    await scene.worker.log_out(scene.things["login UI"].access_token)
    return Subject(scene.ui)


async def end_session(scene: Scene) -> Subject:
    assert await scene.worker.flows.sessions.end(scene.here.session, scene.there.session.sid)
    return Subject(scene.there.session.sid)


async def end_others(scene: Scene) -> Subject:
    await scene.worker.flows.sessions.end_others(scene.here.session)
    return Subject(scene.here.session.sid)


async def change_password_here(scene: Scene) -> Subject:
    cookie = await scene.worker.flows.browser_sessions.change_password(scene.here.session, NEW)
    scene.here = OpenedSession(scene.here.session, cookie)
    return Subject(scene.here.session.sid)


async def change_password_at_login_ui(scene: Scene) -> Subject:
    await scene.worker.change_password(scene.things["login UI"].access_token, NEW.new_password)
    return Subject(scene.ui)


async def log_out_everywhere(scene: Scene) -> Subject:
    await scene.worker.log_out_everywhere(scene.things["login UI"].access_token)
    return Subject("")


async def withdraw_consent(scene: Scene) -> Subject:
    await scene.worker.flows.connections.end(scene.here.session, scene.shop.client_id)
    return Subject("")


async def kill_key(scene: Scene) -> Subject:
    scene.worker.clock.advance(1)
    await scene.worker.flows.keys.kill(kid_of(scene.things["shop"].access_token))
    return Subject("")


def by_operator(act: Callable[[Scene], Awaitable[object]]) -> Callable[[Scene], Awaitable[Subject]]:
    async def acted(scene: Scene) -> Subject:
        await act(scene)
        return Subject("")

    return acted


ACTS: list[tuple[Trigger, Callable[[Scene], Awaitable[Subject]]]] = [
    (Trigger.ACCESS_TOKEN_REVOKED, revoke_access_token),
    (Trigger.REFRESH_TOKEN_REVOKED, revoke_refresh_token),
    (Trigger.REFRESH_TOKEN_REUSED, reuse_refresh_token),
    (Trigger.CODE_REUSED, reuse_code),
    (Trigger.LOGOUT, log_out_of_browser),
    (Trigger.LOGOUT, log_out_of_login_ui),
    (Trigger.SESSION_ENDED, end_session),
    (Trigger.OTHERS_ENDED, end_others),
    (Trigger.PASSWORD_CHANGED, change_password_here),
    (Trigger.PASSWORD_CHANGED, change_password_at_login_ui),
    (Trigger.LOGOUT_EVERYWHERE, log_out_everywhere),
    (Trigger.USER_REVOKED, by_operator(lambda scene: scene.worker.flows.users.revoke_tokens(scene.ada))),
    (Trigger.USER_DISABLED, by_operator(lambda scene: scene.worker.flows.users.disable(scene.ada))),
    (Trigger.USER_DELETED, by_operator(lambda scene: scene.worker.flows.users.delete(scene.ada))),
    (Trigger.CONSENT_WITHDRAWN, withdraw_consent),
    (Trigger.CLIENT_REVOKED, by_operator(
        lambda scene: scene.worker.flows.clients.revoke_tokens(scene.shop.client_id))),
    (Trigger.SUBJECTS_CHANGED, by_operator(
        lambda scene: scene.worker.flows.clients.update(
            scene.shop.client_id, {"subject_type": SubjectType.PAIRWISE}, change_subjects=True))),
    (Trigger.CLIENT_DISABLED, by_operator(lambda scene: scene.worker.flows.clients.disable(scene.shop.client_id))),
    (Trigger.CLIENT_DELETED, by_operator(lambda scene: scene.worker.flows.clients.delete(scene.shop.client_id))),
    (Trigger.KEY_KILLED, kill_key),
    (Trigger.EVERYTHING_REVOKED, by_operator(lambda scene: scene.worker.flows.revocation.revoke_everything())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "act"), ACTS, ids=[f"{number}-{trigger.name.lower()}" for number, (trigger, _) in enumerate(ACTS)]
)
async def test_what_ends_is_what_the_table_says_and_nothing_else(
    scene: Scene, trigger: Trigger, act: Callable[[Scene], Awaitable[Subject]]
) -> None:
    for name, thing in scene.things.items():
        assert await scene.is_active(thing), name
    subject, ends = await act(scene), ENDS[trigger]
    dead_tokens = {name for name, thing in scene.things.items() if not await scene.is_active(thing)}
    assert dead_tokens == {name for name in scene.things if covers(ends.access_tokens, scene, subject, name)}

    browsers = {"here": scene.here, "there": scene.there, "bob's": scene.bobs}
    ended = {name for name, opened in browsers.items() if not await scene.is_open(opened)}
    assert ended == {name for name, each in browsers.items() if covers_session(ends.sessions, scene, subject, each)}

    told = {
        (thing.client, thing.opened_in)
        for thing in scene.things.values()
        if thing.opened_in in {browsers[name].session.sid for name in ended} and thing.client != "first-party"
    }
    assert await scene.notices() == (told if ends.tells_clients else set())

    renewable = {name: thing for name, thing in scene.things.items() if thing.refresh_token is not None}
    dead_families = {name for name, thing in renewable.items() if not await scene.can_refresh(thing)}
    assert dead_families == {name for name in renewable if covers(ends.families, scene, subject, name)}


def test_every_event_has_its_row_and_is_tried() -> None:
    assert set(ENDS) == set(Trigger) == {trigger for trigger, _ in ACTS}


def test_the_documentation_shows_the_table() -> None:
    rows = [
        " | ".join((trigger, ends.families, ends.access_tokens, ends.sessions, "yes" if ends.tells_clients else "-"))
        for trigger, ends in ENDS.items()
    ]
    assert "\n".join(f"| {row} |" for row in rows) in DOCUMENT.read_text()
