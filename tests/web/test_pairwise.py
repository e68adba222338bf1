"""Clients with pairwise subjects: the one name by which each is told of a user, everywhere, and that nothing beside it
gives away who that is (IDT-10)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from authsvc.entropy import SystemEntropy
from authsvc.errors import InvalidValue
from authsvc.flows.subjects import SECRET_NAME
from authsvc.models import Client, ConsentPolicy, GrantType, SubjectType
from authsvc.web.introspect import AtOnce
from authsvc.web.middleware import Observer
from tests.adapters.listener import Behave, listening
from tests.certificates import write_certificate
from tests.house_of import CHEAP_HASHES, PASSWORD, House, bearer, house_on, settings_for
from tests.receiver import Receiver, receiving
from tests.web.asked import Asked, usual
from tests.web.browsing import CALLBACK, Browser, a_client, answer_of, asking
from tests.web.forging import Forge, claims_of
from tests.web.test_app_session import SESSION, logged_in
from tests.web.test_end_session import END, is_asked
from tests.web.test_forward_auth import GATE, said
from tests.web.test_introspect_signed import SIGNED

PAIRWISE: dict[str, Any] = {"subject_type": SubjectType.PAIRWISE, "consent": ConsentPolicy.NEVER}
ELSEWHERE: dict[str, Any] = {"redirect_uris": ("https://elsewhere.example/cb",)}
SCOPE = "openid offline_access read"
SAME_FOR_ALL = {"iss", "aud", "scope", "acr", "amr", "active", "token_type", "nonce", "c", "g"}
"""Claims that have the same value for users who have nothing to do with one another."""


@dataclass
class Told:
    """What a client has of a user."""

    client: Client
    tokens: dict[str, Any]

    @property
    def access_token(self) -> str:
        return str(self.tokens["access_token"])

    @property
    def id_token(self) -> str:
        return str(self.tokens["id_token"])

    @property
    def sub(self) -> str:
        return str(claims_of(self.id_token)["sub"])


async def tell(browser: Browser, client: Client, scope: str = "openid read", **changes: str) -> Told:
    answer = await browser.redeem(client, await browser.code(client, scope=scope, **changes))
    assert answer.status_code == 200, answer.text
    return Told(client, answer.json())


async def refresh(house: House, told: Told, token: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await house.http.post("/oauth2/token", data=form, auth=house.basic(told.client))


async def userinfo(house: House, token: str) -> httpx2.Response:
    return await house.http.get("/oauth2/userinfo", headers=bearer(token))


async def all_that_is_told(house: House, told: Told) -> dict[str, Any]:
    """Wherever something is told of whose token it is, by what it is told."""
    caller = told.client
    assert (await house.introspect(caller, told.access_token))["active"]
    everything = {
        "id token": claims_of(told.id_token),
        "access token": claims_of(told.access_token),
        "introspection": await house.introspect(caller, told.access_token),
        "userinfo": (await userinfo(house, told.access_token)).json(),
    }
    if refresh_token := told.tokens.get("refresh_token"):
        everything["refresh token"] = await house.introspect(caller, refresh_token)
        renewed = (await refresh(house, told, refresh_token)).json()
        everything["id token anew"] = claims_of(renewed["id_token"])
        everything["access token anew"] = claims_of(renewed["access_token"])
    return everything


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def receiver(certificate: tuple[Path, Path]) -> Iterator[Receiver]:
    with receiving(certificate) as receiver:
        yield receiver


@pytest.fixture(scope="module")
async def shared(shared_database_url: str, certificate: tuple[Path, Path]) -> AsyncIterator[House]:
    outward: dict[str, Any] = {"outbound_ca_file": str(certificate[0]), "outbound_loopback": True}
    async with house_on(settings_for(shared_database_url, **outward, **CHEAP_HASHES)) as house:
        yield house


@pytest.fixture(scope="module")
async def ada(shared: House) -> AsyncIterator[str]:
    sub = await shared.user()
    await shared.user("bob@example.com")
    yield sub


@pytest.fixture
def browser(shared: House, ada: str) -> Browser:
    return Browser(shared)


@pytest.fixture(scope="module")
async def client(shared: House) -> Client:
    return await a_client(shared, **PAIRWISE)


@pytest.mark.parametrize("scope", ["openid read", SCOPE])
async def test_one_sector_calls_a_user_by_one_name_everywhere(browser: Browser, ada: str, scope: str) -> None:
    house = browser.house
    sectors = [PAIRWISE, PAIRWISE | {"redirect_uris": (CALLBACK, CALLBACK + "/2")}, PAIRWISE | ELSEWHERE]
    subs = []
    for registration in sectors:
        told = await tell(browser, await a_client(house, **registration), scope)
        everything = await all_that_is_told(house, told)
        assert {each["sub"] for each in everything.values()} == {told.sub}, everything
        assert len(everything) == (4 if scope == "openid read" else 7)
        subs.append(told.sub)
    assert subs[0] == subs[1] != subs[2]
    assert ada not in subs
    public = await tell(browser, await a_client(house, consent=ConsentPolicy.NEVER), scope)
    assert {each["sub"] for each in (await all_that_is_told(house, public)).values()} == {ada}


async def test_clients_of_two_sectors_find_nothing_that_tells_them_that_they_talk_of_one_user(
    browser: Browser, ada: str
) -> None:
    """In one session, after the user has ended everything once: their number is like nobody else's then."""
    house = browser.house
    await house.flows.users.revoke_tokens(ada)
    house.clock.advance(60)
    clients = [await a_client(house, **PAIRWISE, **more) for more in ({}, ELSEWHERE)]
    one, two = [
        _values([await all_that_is_told(house, await tell(browser, each, scope)) for scope in ("openid read", SCOPE)])
        for each in clients
    ]
    alike = {(name, value) for name, value in one & two if name not in SAME_FOR_ALL}
    assert {name for name, _ in alike} <= {"exp", "iat", "auth_time"}, alike
    number = await house.sql("SELECT generation FROM auth.token_blacklist WHERE mark = $1", f"u:{ada}")
    session = await house.sql("SELECT sid FROM auth.sessions WHERE ended_at IS NULL AND sub = $1", ada)
    for value in (ada, number, session):
        assert value
        assert str(value) not in str(one)


def _values(told: Any, name: str = "") -> set[tuple[str, str]]:
    """Every value in there, with its name."""
    if isinstance(told, dict):
        return {pair for key, value in told.items() for pair in _values(value, key)}
    if isinstance(told, list):
        return {pair for value in told for pair in _values(value, name)}
    if str(told).startswith("eyJ"):  # a JWT
        return {(name, str(told)), *_values(claims_of(told))}
    return {(name, str(told))}


# --- Every door


def heard(answer: httpx2.Response) -> Any:
    """All that an answer says."""
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return {**answer.headers, "body": answer.json() if is_json else answer.text}


@pytest.mark.parametrize("kind", SubjectType)
async def test_what_goes_out_by_any_door_names_users_and_sessions_as_the_client_does(
    shared: House, receiver: Receiver, ada: str, kind: SubjectType
) -> None:
    """The table says by which names; and of a client that has ours the same doors tell those."""
    house, browser, bye, path = shared, Browser(shared), "https://client.example/bye", f"/{kind}"
    client = await a_client(
        house, subject_type=kind, consent=ConsentPolicy.NEVER, userinfo_algorithm="ES256",
        post_logout_redirect_uris=(bye,), backchannel_logout_uri=receiver.uri(path),
    )  # fmt: skip
    gateway = await house.client(introspection="any")

    async def introspect(caller: Client, token: str, **headers: str) -> Any:
        data = {"token": token}
        return heard(await house.http.post("/oauth2/introspect", data=data, auth=house.basic(caller), headers=headers))

    async def pass_by(token: str) -> Any:
        headers = said(house, gateway, audience=next(iter(claims_of(token)["aud"]))) | bearer(token)
        answer = await house.http.get(GATE, headers=headers)
        assert answer.status_code == 204
        return heard(answer)

    told, offline = await tell(browser, client), await tell(browser, client, SCOPE)
    access, lasting = told.access_token, offline.tokens["refresh_token"]
    doors: dict[str, tuple[set[str], Any]] = {
        "a code": (set(), heard(await browser.http.get("/oauth2/authorize", params=asking(client)))),
        "tokens of a session": ({"sub", "sid"}, told.tokens),
        "tokens that outlive it": ({"sub", "sid"}, offline.tokens),
        "introspection": ({"sub"}, await introspect(client, access)),
        "introspection by others": ({"sub"}, await introspect(gateway, access)),
        "signed introspection": ({"sub"}, await introspect(client, access, **SIGNED)),
        "introspection of a refresh token": ({"sub"}, await introspect(client, lasting)),
        "a refresh": ({"sub", "sid"}, heard(await refresh(house, offline, lasting))),
        "UserInfo": ({"sub"}, heard(await userinfo(house, access))),
        "a gateway": ({"auth-subject"}, await pass_by(access)),
        "a gateway, at once": ({"auth-subject"}, await pass_by(access)),
    }
    session = await house.sql("SELECT sid FROM auth.authorization_codes WHERE client_id = $1 LIMIT 1", client.client_id)
    sent = {"id_token_hint": offline.id_token, "post_logout_redirect_uri": bye}
    out = await browser.http.get(END, params=sent)
    assert out.headers["location"] == bye, "it is known by these names, too"
    doors["logging out"] = (set(), heard(out))
    (notice,) = await asyncio.to_thread(receiver.wait_for, path)
    doors["a logout token"] = ({"sub", "sid"}, notice.form)

    names = {"sub": told.sub, "auth-subject": told.sub, "sid": claims_of(told.id_token)["sid"]}
    for door, (by, answer) in doors.items():
        values = _values(answer)
        assert {(name, value) for name, value in values if name in names} == {(name, names[name]) for name in by}, door
        if kind is SubjectType.PAIRWISE:
            assert ada not in str(values), door
            assert session not in str(values), door
    assert (names["sub"] == ada, names["sid"] == session) == (kind is SubjectType.PUBLIC,) * 2


async def test_our_own_api_tells_no_more(shared: House, ada: str) -> None:
    client = await shared.client(
        first_party=True, public=True, grant_types=(GrantType.REFRESH_TOKEN,), redirect_uris=(CALLBACK,),
        scope="openid read", **PAIRWISE,
    )  # fmt: skip
    body = {"email": "ada@example.com", "password": PASSWORD, "client_id": client.client_id}
    answer = await shared.http.post("/api/v1/login", json=body)
    login = answer.json()
    headers = bearer(login["access_token"])
    answers = [
        answer,
        await shared.http.get("/api/v1/me", headers=headers),
        await shared.http.patch("/api/v1/me/claims", headers=headers, json={"nickname": "A"}),
        await shared.http.post(
            "/api/v1/me/password", headers=headers, json={"current_password": PASSWORD, "new_password": PASSWORD + "!"}
        ),
    ]
    assert [each.status_code for each in answers] == [200] * 4
    assert {each.json().get("user", each.json())["sub"] for each in answers} == {claims_of(login["id_token"])["sub"]}
    assert not any(ada in each.text for each in answers)
    anew = answers[-1].json()["access_token"]
    body = {"current_password": PASSWORD + "!", "new_password": PASSWORD}
    assert (await shared.http.post("/api/v1/me/password", headers=bearer(anew), json=body)).status_code == 200


async def test_an_app_is_told_no_more_for_its_cookie_and_neither_is_what_is_behind_its_gateway(house: House) -> None:
    sub = await house.user()
    changes: Any = {"subject_type": SubjectType.PAIRWISE, "redirect_uris": (CALLBACK,)}
    await house.flows.clients.update("first-party", changes, change_subjects=True)
    app, gateway = await logged_in(house), await house.client(introspection="any")
    at_gate = said(house, gateway, audience=house.settings.resolved_default_audience, session="allow")
    seen = await app.ask("GET", SESSION)
    refreshed = await app.refresh()
    passed = await app.ask("GET", GATE, **{"x-csrf-token": app.csrf}, **at_gate)
    login = await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    known_as = login.json()["user"]["sub"]
    assert [each.json()["user"]["sub"] for each in (seen, refreshed)] == [known_as] * 2
    assert (passed.status_code, passed.headers["auth-subject"]) == (204, known_as)
    assert not any(sub in str(heard(each)) for each in (seen, refreshed, passed, login))


async def test_a_session_that_is_sealed_in_a_token_ends_it_all_the_same(house: House) -> None:
    sub = await house.user()
    client = await a_client(house, **PAIRWISE)

    async def log_out(browser: Browser) -> None:
        await browser.send_logout(await browser.http.get("/account"))

    ends: dict[str, Callable[[Browser], Awaitable[object]]] = {
        "session": log_out,
        "user": lambda _: house.flows.users.revoke_tokens(sub),
        "client": lambda _: house.flows.clients.revoke_tokens(client.client_id),
        "disabled user": lambda _: house.flows.users.disable(sub),
    }

    asker = await house.client(introspection="any")
    for name, end in ends.items():
        browser = Browser(house)
        told = await tell(browser, client)
        assert (await house.introspect(asker, told.access_token))["sub"] == told.sub
        await end(browser)
        assert await house.introspect(asker, told.access_token) == {"active": False}, name
        assert (await userinfo(house, told.access_token)).status_code == 401


# --- Whom a client means


async def test_a_client_names_a_user_by_what_it_calls_them(browser: Browser, client: Client, ada: str) -> None:
    told = await tell(browser, client)  # OID-05, OID-08
    elsewhere = await tell(browser, await a_client(browser.house, **PAIRWISE, **ELSEWHERE))
    other = Browser(browser.house)
    await other.code(client, email="bob@example.com")

    async def is_meant(who: Browser, **changes: str) -> bool:
        answer = answer_of(await who.authorize(client, prompt="none", **changes))
        assert ("code" in answer) == ("error" not in answer)
        return "code" in answer

    assert await is_meant(browser, id_token_hint=told.id_token)
    assert not await is_meant(other, id_token_hint=told.id_token)
    assert not await is_meant(browser, id_token_hint=elsewhere.id_token)
    for sub, is_theirs in ((told.sub, True), (ada, False), (elsewhere.sub, False)):
        claims = json.dumps({"id_token": {"sub": {"value": sub}}})
        assert await is_meant(browser, claims=claims) == is_theirs
        assert not await is_meant(other, claims=claims)


async def test_a_client_names_the_session_that_is_to_end_by_what_it_calls_it(
    browser: Browser, client: Client
) -> None:  # RPL-03
    house = browser.house
    told = [await tell(browser, await a_client(house, **PAIRWISE, **more)) for more in ({}, ELSEWHERE)]
    elsewhere = await tell(Browser(house), told[0].client)
    assert is_asked(await browser.http.get(END, params={"id_token_hint": elsewhere.id_token}))
    house.clock.advance(1)
    await browser.log_in(await browser.authorize(client, prompt="login"))  # which replaces the session
    page = await browser.http.get(END, params={"id_token_hint": told[1].id_token})
    assert "You are logged out" in page.text


# --- Tokens that were not made like this


async def test_what_is_sealed_is_whole_and_ours_or_the_token_is_none(browser: Browser, client: Client) -> None:
    house = browser.house
    told, another = await tell(browser, client), await tell(browser, client)
    signer = house.flows.keys.ring.signer
    forge = Forge(told.access_token, signer, {})
    sealed = forge.claims["sealed"]
    forged = {
        "altered": forge.with_claims(sealed=("B" if sealed[0] == "A" else "A") + sealed[1:]),
        "cut": forge.with_claims(sealed=sealed[:40]),
        "of another token": forge.with_claims(sealed=claims_of(another.access_token)["sealed"]),
        "left out": forge.with_claims(sealed=None),
        "beside a number": forge.with_claims(gen=forge.claims["gen"] | {"u": 0}),
        "empty": forge.with_claims(sealed=""),
        "a number": forge.with_claims(sealed=5),
    }
    assert (await house.introspect(client, forge.ours()))["active"], "the forge works"
    for case, token in forged.items():
        assert await house.introspect(client, token) == {"active": False}, case
        assert (await userinfo(house, token)).status_code == 401, case
        assert (await house.http.get("/api/v1/me", headers=bearer(token))).status_code == 401, case


def is_answered_at_once(house: House, caller: Client, token: str) -> bool:
    observer = Observer(house.metrics, SystemEntropy(), is_https=True)
    taker = AtOnce(house.flows, observer, "/oauth2/introspect")
    return taker(Asked(usual(house, caller), f"token={token}".encode()))


async def test_every_worker_opens_them_and_no_other_deployment(database_url: str) -> None:
    settings = settings_for(database_url)
    async with house_on(settings) as here:
        await here.user()
        client = await a_client(here, **PAIRWISE)
        told = await tell(Browser(here), client)
        asker = await here.client(introspection="any")
        async with house_on(settings) as there:  # which has not opened one before
            there.credentials |= here.credentials
            service = await there.token(asker)  # by which the caller is known, and may be answered at once
            assert is_answered_at_once(there, asker, service)
            assert not is_answered_at_once(there, asker, told.access_token), "what opens it is not at hand"
            assert (await there.introspect(asker, told.access_token))["sub"] == told.sub
            assert is_answered_at_once(there, asker, told.access_token)
        await here.sql("DELETE FROM auth.sealed_secrets WHERE name = $1", SECRET_NAME)
        async with house_on(settings) as strange:  # with the same keys, at that
            strange.credentials |= here.credentials
            assert await strange.introspect(asker, told.access_token) == {"active": False}
            assert (await userinfo(strange, told.access_token)).status_code == 401
            assert (await tell(Browser(strange), client)).sub != told.sub


async def test_who_has_no_such_client_keeps_no_such_secret(house: House) -> None:
    await house.user()
    told = await tell(Browser(house), await a_client(house, consent=ConsentPolicy.NEVER), SCOPE)
    await all_that_is_told(house, told)
    assert not await house.sql("SELECT count(*) FROM auth.sealed_secrets WHERE name = $1", SECRET_NAME)


# --- Changing what a client calls its users


async def test_a_client_changes_its_names_when_that_is_meant_and_starts_from_nothing(house: House) -> None:
    sub = await house.user()
    client, browser = await a_client(house, consent=ConsentPolicy.NEVER), Browser(house)
    before = await tell(browser, client, SCOPE)
    steps: list[tuple[Any, bool]] = [
        ({"subject_type": SubjectType.PAIRWISE}, True),
        ({"redirect_uris": (CALLBACK, CALLBACK + "/2")}, False),
        ({"redirect_uris": ELSEWHERE["redirect_uris"]}, True),
        ({"subject_type": SubjectType.PUBLIC}, True),
    ]
    subs = {before.sub: 0}
    for number, (changes, renames) in enumerate(steps):
        if renames:
            with pytest.raises(InvalidValue, match="change-subjects"):
                await house.flows.clients.update(client.client_id, changes)
            assert (await house.introspect(client, before.access_token))["active"]
        client = await house.flows.clients.update(client.client_id, changes, change_subjects=renames)
        assert (await house.introspect(client, before.access_token))["active"] is not renames
        assert (await refresh(house, before, before.tokens["refresh_token"])).status_code == (400 if renames else 200)
        house.clock.advance(1)  # the redirect URIs of before are known for so long
        before = await tell(browser, client, SCOPE)
        assert (before.sub in subs) == (not renames or before.sub == sub)
        subs[before.sub] = number
    assert before.sub == sub
    assert len(subs) == 3


async def test_a_worker_that_has_not_heard_of_the_change_tells_no_name_of_before(house: House) -> None:
    """No time passes: so its copy of a client is the one of before."""
    sub = await house.user()
    client = await a_client(house, consent=ConsentPolicy.NEVER, first_party=True)
    body = {"email": "ada@example.com", "password": PASSWORD, "client_id": client.client_id, "scope": "openid"}

    async def log_in() -> str:
        return (await house.http.post("/api/v1/login", json=body)).text

    async def come_with_a_code() -> str:
        return str(await all_that_is_told(house, await tell(Browser(house), client, SCOPE)))

    for come in (log_in, come_with_a_code):
        await house.flows.clients.update(client.client_id, {"subject_type": SubjectType.PUBLIC}, change_subjects=True)
        house.clock.advance(1)
        assert sub in await log_in(), "and the copy says public now"
        await house.flows.clients.update(client.client_id, {"subject_type": SubjectType.PAIRWISE}, change_subjects=True)
        assert sub not in await come()


# --- Sectors (DCR-09)


async def test_a_sector_has_to_list_the_redirect_uris_of_its_clients(database_url: str, tmp_path: Path) -> None:
    certificate, listed = write_certificate(tmp_path), [CALLBACK]
    uris = (CALLBACK, "https://elsewhere.example/cb")

    def behave() -> Behave:
        async def say(head: bytes, writer: Any) -> None:
            status, body = (200, json.dumps(listed).encode()) if b"/sector" in head else (404, b"")
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))

        return say

    outward: dict[str, Any] = {"outbound_ca_file": str(certificate[0]), "outbound_loopback": True}
    async with (
        listening(certificate, behave()) as listener,
        house_on(settings_for(database_url, **outward)) as house,
    ):
        at = f"https://127.0.0.1:{listener.port}"
        wanted: dict[str, Any] = {"redirect_uris": uris, "sector_identifier_uri": f"{at}/sector"} | PAIRWISE
        refused = [wanted, wanted | {"sector_identifier_uri": f"{at}/nothing"},
                   wanted | {"sector_identifier_uri": "https://10.0.0.1/sector"}]  # fmt: skip
        for registration in refused:
            with pytest.raises(InvalidValue, match="sector_identifier_uri"):
                await a_client(house, **registration)
        assert await house.sql("SELECT count(*) FROM auth.clients WHERE client_id <> 'first-party'") == 0

        listed.append(uris[1])
        client = await a_client(house, **wanted)
        visits = listener.connections
        await house.flows.clients.update(client.client_id, {"name": "another name"})
        assert listener.connections == visits, "it is asked when it matters"
        more: Any = {"redirect_uris": (*uris, "https://third.example/cb")}
        with pytest.raises(InvalidValue, match="third"):
            await house.flows.clients.update(client.client_id, more)
        listed.append("https://third.example/cb")
        await house.flows.clients.update(client.client_id, more)
        assert listener.connections == visits + 2
