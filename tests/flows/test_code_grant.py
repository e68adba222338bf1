"""The redemption of codes: one winner (COD-03), and what becomes of a copy (COD-04)."""

import asyncio
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from authsvc.entropy import SystemEntropy, mint_secret
from authsvc.errors import InvalidGrant, InvalidRequest, InvalidTarget, OAuthError
from authsvc.flows.browser_sessions import OpenedSession
from authsvc.models import GrantType
from authsvc.protocol.scopes import OFFLINE_ACCESS
from authsvc.protocol.token_request import TokenRequest, TokenResponse
from authsvc.tables import authorization_codes, users
from tests.flows.workers import EMAIL, Caller, Worker, active_everywhere, claims_of, count, sql
from tests.house_of import PASSWORD
from tests.tables.rows import database_on

CALLBACK = "https://client.example/cb"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SCOPE = ("openid", "read", "write", OFFLINE_ACCESS)
RESOURCES = ("https://a.example", "https://b.example")


async def a_client(worker: Worker, **changes: Any) -> Caller:
    asked: dict[str, Any] = {
        "grant_types": (GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN),
        "scope": " ".join(SCOPE),
        "redirect_uris": (CALLBACK,),
        "audiences": RESOURCES,
    }
    return await worker.client(**(asked | changes))


async def log_in(worker: Worker, email: str = EMAIL) -> OpenedSession:
    return await worker.flows.hosted_login.log_in(email, PASSWORD, None, cookie=None)


async def issue(worker: Worker, who: Caller, opened: OpenedSession, **changes: Any) -> str:
    """A code, as the authorization endpoint writes it down."""
    code = mint_secret(SystemEntropy(), "asc_")
    now = worker.clock.now()
    values: dict[str, Any] = {
        "digest": sha256(code.encode()).digest(),
        "client_id": who.client_id,
        "sid": opened.session.sid,
        "redirect_uri": CALLBACK,
        "scope": SCOPE,
        "resources": (),
        "code_challenge": CHALLENGE,
        "nonce": "the nonce",
        "claims": None,
        "by_consent": False,
        "now": now,
        "expires_at": now + (opened.session.expires_at - now) / 100_000,
    }
    async with database_on(worker.settings.database_url) as db:
        assert await authorization_codes.insert_code(db, **(values | changes))
    return code


async def redeem(worker: Worker, who: Caller, code: str, **changes: Any) -> TokenResponse:
    request = TokenRequest(
        GrantType.AUTHORIZATION_CODE, scope=None, resources=(), code=code, code_verifier=VERIFIER, redirect_uri=CALLBACK
    )
    client = await worker.authenticate(who)
    return await worker.flows.exchange.exchange(client, replace(request, **changes))


async def refused(worker: Worker, who: Caller, code: str, error: type[OAuthError] = InvalidGrant, **more: Any) -> str:
    with pytest.raises(error) as refusal:
        await redeem(worker, who, code, **more)
    return str(refusal.value)


@pytest.fixture
async def opened(worker: Worker) -> OpenedSession:
    await worker.register()
    return await log_in(worker)


async def test_a_code_is_redeemed_for_what_it_stands_for(worker: Worker, opened: OpenedSession) -> None:
    who = await a_client(worker)
    tokens = await redeem(worker, who, await issue(worker, who, opened))
    claims = claims_of(tokens.access_token)
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (opened.session.sub, who.client_id, " ".join(SCOPE))
    assert tokens.id_token is not None
    told = claims_of(tokens.id_token)
    assert (told["nonce"], told["auth_time"]) == ("the nonce", int(opened.session.authenticated_at.timestamp()))


@pytest.mark.parametrize("is_offline", [True, False])
async def test_a_refresh_token_comes_with_offline_access_alone(
    worker: Worker, opened: OpenedSession, is_offline: bool
) -> None:  # OID-09
    who = await a_client(worker)
    scope = SCOPE if is_offline else SCOPE[:-1]
    tokens = await redeem(worker, who, await issue(worker, who, opened, scope=scope))
    assert (tokens.refresh_token is not None) == is_offline
    assert ("sid" in claims_of(tokens.access_token)) == (not is_offline)
    await worker.flows.browser_sessions.end(opened.session)
    observer = await worker.client()
    assert await worker.is_active(observer, tokens.access_token) == is_offline
    if tokens.refresh_token is not None:
        access_token, _ = await worker.refresh(who, tokens.refresh_token)
        assert await worker.is_active(observer, access_token)


async def test_of_fifty_redemptions_at_once_one_wins_and_nothing_of_it_lives(workers: list[Worker]) -> None:
    """COD-03, COD-04, ATK-77: forty-nine of them are copies."""
    worker = workers[0]
    await worker.register()
    who, observer = await a_client(worker), await worker.client()
    code = await issue(worker, who, await log_in(worker))
    answers = await asyncio.gather(
        *(redeem(workers[number % 2], who, code) for number in range(50)), return_exceptions=True
    )
    (won,) = [answer for answer in answers if isinstance(answer, TokenResponse)]
    assert all(isinstance(answer, InvalidGrant) for answer in answers if answer is not won)
    assert await count(worker.settings.database_url, "grants") == 1
    assert not await active_everywhere(workers, observer, won.access_token)
    assert won.refresh_token is not None
    with pytest.raises(InvalidGrant):
        await worker.refresh(who, won.refresh_token)


async def test_fifty_codes_at_once_are_fifty_grants(workers: list[Worker]) -> None:
    worker = workers[0]
    await worker.register()
    who, opened = await a_client(worker), await log_in(worker)
    codes = [await issue(worker, who, opened) for _ in range(10)]
    await asyncio.gather(*(redeem(workers[number % 2], who, code) for number, code in enumerate(codes)))
    assert await count(worker.settings.database_url, "grants") == 10


async def test_a_copy_ends_what_the_original_was_redeemed_for(worker: Worker, opened: OpenedSession) -> None:  # COD-04
    who, observer = await a_client(worker), await worker.client()
    code = await issue(worker, who, opened)
    tokens = await redeem(worker, who, code)
    assert await worker.is_active(observer, tokens.access_token)
    worker.clock.advance(5)
    again = await refused(worker, who, code)
    assert not await worker.is_active(observer, tokens.access_token)
    assert tokens.refresh_token is not None
    with pytest.raises(InvalidGrant):
        await worker.refresh(who, tokens.refresh_token)
    assert again == await refused(worker, who, "asc_unknown")  # COD-05
    assert again == await refused(worker, who, code), "and a third time"
    noted = "SELECT count(*) FROM audit.security_events WHERE event = 'authn_token_reuse'"
    assert await sql(worker.settings.database_url, noted) == 1


async def test_a_copy_is_one_when_its_time_is_over_too(worker: Worker, opened: OpenedSession) -> None:
    who, observer = await a_client(worker), await worker.client()
    code = await issue(worker, who, opened)
    tokens = await redeem(worker, who, code)
    worker.clock.advance(120)
    await refused(worker, who, code)
    assert not await worker.is_active(observer, tokens.access_token)


@pytest.mark.parametrize(
    "changes",
    [{"code_verifier": VERIFIER[:-1] + "X"}, {"code_verifier": None}, {"redirect_uri": CALLBACK + "/"}],
    ids=["another verifier", "no verifier", "another redirect URI"],
)
async def test_what_does_not_match_ends_nothing(
    worker: Worker, opened: OpenedSession, changes: dict[str, Any]
) -> None:  # COD-01, COD-02, COD-04, ATK-73, ATK-77
    who, other, observer = await a_client(worker), await a_client(worker), await worker.client()
    code = await issue(worker, who, opened)
    await refused(worker, who, code, **changes)
    await refused(worker, other, code)
    tokens = await redeem(worker, who, code)
    await refused(worker, who, code, **changes)
    await refused(worker, other, code)
    assert await worker.is_active(observer, tokens.access_token)


async def test_a_verifier_for_a_code_without_challenge_is_refused(worker: Worker, opened: OpenedSession) -> None:
    who = await a_client(worker)  # PKC-05
    code = await issue(worker, who, opened, code_challenge=None)
    await refused(worker, who, code, InvalidRequest)
    await redeem(worker, who, code, code_verifier=None)


async def test_a_code_that_nobody_redeemed_in_time_is_refused(worker: Worker, opened: OpenedSession) -> None:  # COD-05
    who = await a_client(worker)
    code = await issue(worker, who, opened)
    worker.clock.advance(3600)
    assert await refused(worker, who, code) == await refused(worker, who, "asc_unknown")


ENDS = {
    "the user logs out everywhere": lambda worker, opened: worker.flows.users.revoke_tokens(opened.session.sub),
    "the session ends": lambda worker, opened: worker.flows.browser_sessions.end(opened.session),
    "the user is disabled": lambda worker, opened: worker.flows.users.disable(opened.session.sub),
    "everything is revoked": lambda worker, opened: worker.flows.revocation.revoke_everything(),
}


@pytest.mark.parametrize("case", ENDS)
async def test_what_ends_the_session_ends_the_code(worker: Worker, opened: OpenedSession, case: str) -> None:
    who = await a_client(worker)
    code = await issue(worker, who, opened)
    await ENDS[case](worker, opened)
    await refused(worker, who, code)
    assert await count(worker.settings.database_url, "grants") == 0


async def test_a_client_gets_no_scope_that_it_has_lost_meanwhile(worker: Worker, opened: OpenedSession) -> None:
    who = await a_client(worker)
    code = await issue(worker, who, opened)
    await worker.flows.clients.update(who.client_id, {"scope": "openid read"})
    worker.clock.advance(2)
    tokens = await redeem(worker, who, code)
    assert tokens.scope == ("openid", "read")
    assert tokens.refresh_token is None


@pytest.mark.parametrize(
    ("asked", "named", "audience"),
    [
        ((), (), RESOURCES[0]),
        ((), (RESOURCES[1],), RESOURCES[1]),
        (RESOURCES, (RESOURCES[1],), RESOURCES[1]),
        ((RESOURCES[1],), (), RESOURCES[1]),
    ],
)
async def test_a_token_is_for_the_resource_that_was_asked_for(
    worker: Worker, opened: OpenedSession, asked: tuple[str, ...], named: tuple[str, ...], audience: str
) -> None:  # RSC-02
    who = await a_client(worker)
    code = await issue(worker, who, opened, resources=asked, scope=("read", OFFLINE_ACCESS))
    tokens = await redeem(worker, who, code, resources=named)
    assert claims_of(tokens.access_token)["aud"] == audience


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ((RESOURCES[0],), (RESOURCES[1],)),
        (RESOURCES, RESOURCES),
        ((), ("https://c.example",)),
        ((), RESOURCES),
    ],
)
async def test_no_other_resource_is_given(
    worker: Worker, opened: OpenedSession, asked: tuple[str, ...], named: tuple[str, ...]
) -> None:
    who = await a_client(worker)
    code = await issue(worker, who, opened, resources=asked)
    await refused(worker, who, code, InvalidTarget, resources=named)
    await redeem(worker, who, code)


async def test_of_several_resources_none_is_guessed(worker: Worker, opened: OpenedSession) -> None:
    """RSC-03: who names none is refused, and may come again; with `openid` the token is for UserInfo alone."""
    who = await a_client(worker)
    code = await issue(worker, who, opened, resources=RESOURCES, scope=("read", OFFLINE_ACCESS))
    await refused(worker, who, code, InvalidTarget)
    tokens = await redeem(worker, who, code, resources=RESOURCES[:1])
    assert tokens.refresh_token is not None
    with pytest.raises(InvalidTarget):
        await worker.refresh(who, tokens.refresh_token)
    code = await issue(worker, who, opened, resources=RESOURCES)
    tokens = await redeem(worker, who, code)
    assert claims_of(tokens.access_token)["aud"] == worker.settings.userinfo_audience
    assert tokens.refresh_token is not None
    access_token, _ = await worker.refresh(who, tokens.refresh_token)
    assert claims_of(access_token)["aud"] == worker.settings.userinfo_audience


async def test_a_login_ends_the_session_before_it(worker: Worker, opened: OpenedSession) -> None:  # SES-01, ATK-60
    again = await worker.flows.hosted_login.log_in(EMAIL, PASSWORD, None, cookie=opened.cookie)
    find = worker.flows.browser_sessions.find
    assert await find(opened.cookie) is None
    found = await find(again.cookie)
    assert found is not None
    assert found.sid == again.session.sid != opened.session.sid


@pytest.mark.parametrize("is_same", [True, False])
async def test_another_users_login_kills_what_the_session_gave(
    worker: Worker, opened: OpenedSession, is_same: bool
) -> None:
    who, observer = await a_client(worker), await worker.client()
    tokens = await redeem(worker, who, await issue(worker, who, opened, scope=("read",)))
    await worker.register("bob@example.com")
    email = EMAIL if is_same else "bob@example.com"
    await worker.flows.hosted_login.log_in(email, PASSWORD, None, cookie=opened.cookie)
    assert await worker.is_active(observer, tokens.access_token) == is_same


async def test_a_session_that_is_used_goes_on_and_one_that_is_not_ends(worker: Worker, opened: OpenedSession) -> None:
    find, idle = worker.flows.browser_sessions.find, worker.settings.session_idle_seconds
    for _ in range(3):
        worker.clock.advance(idle - 1)
        assert await find(opened.cookie) is not None
    worker.clock.advance(idle)
    assert await find(opened.cookie) is None
    assert await find(None) is None
    assert await find("x" * 1000) is None


async def test_no_cookie_stands_in_the_database(worker: Worker, opened: OpenedSession) -> None:
    stored = await sql(worker.settings.database_url, "SELECT string_agg(s::text, '') FROM auth.sessions s")
    assert opened.cookie not in stored
    async with database_on(worker.settings.database_url) as db:
        assert await users.find_user(db, opened.session.sub) is not None
