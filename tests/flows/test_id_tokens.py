"""ID tokens beside access tokens: when there is one, what it says, and what signs it (spec: IDT-*)."""

import json
from typing import Any

import pytest

from authsvc.errors import InvalidToken
from authsvc.flows.issuance import Authorization, Issuance
from authsvc.models import ClaimAsk, ClaimsRequest, GrantType
from authsvc.protocol.claims import build_document
from authsvc.protocol.id_token import ACR_PASSWORD
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.rotation import SETTLING
from authsvc.protocol.token_request import TokenRequest, TokenResponse
from tests.flows.workers import Caller, Worker, cheap, kid_of, segment, sql, worker_on
from tests.house_of import ISSUER
from tests.verifying import verified

pytestmark = pytest.mark.usefixtures("no_refresh")

SCOPE = "openid profile email"


async def relying_party(worker: Worker, **changes: Any) -> Caller:
    """A client that logs users in."""
    asked = {"scope": SCOPE, "public": True, "first_party": True, "grant_types": (GrantType.REFRESH_TOKEN,)}
    return await worker.client(**(asked | {"introspection": "own"} | changes))


async def refreshed(worker: Worker, who: Caller, token: str, scope: tuple[str, ...] | None = None) -> TokenResponse:
    request = TokenRequest(GrantType.REFRESH_TOKEN, scope=scope, resources=(), refresh_token=token)
    return await worker.flows.exchange.exchange(await worker.authenticate(who), request)


def issuance_of(worker: Worker) -> Issuance:
    return worker.flows.login._tokens._issuance


def claims_of(token: object) -> dict[str, Any]:
    assert isinstance(token, str)
    return segment(token, 1)


def read_by(worker: Worker, token: object, algorithm: str) -> dict[str, Any]:
    """Who has nothing but the JWKS."""
    assert isinstance(token, str)
    return verified(token, json.loads(worker.flows.keys.ring.jwks), algorithm)


async def test_a_login_that_is_granted_openid_gets_an_id_token(
    worker: Worker,
) -> None:  # IDT-01, IDT-04, IDT-06, IDT-07
    sub = await worker.register()
    who = await relying_party(worker)
    login = await worker.open_session(client_id=who.client_id)
    assert isinstance(login.id_token, str)
    assert segment(login.id_token, 0) == {"alg": "RS256", "typ": "JWT", "kid": kid_of(login.id_token)}
    access = claims_of(login.access_token)
    told = read_by(worker, login.id_token, "RS256")
    assert told == {
        "iss": ISSUER,
        "sub": sub,
        "aud": who.client_id,
        "exp": access["exp"],
        "iat": access["iat"],
        "auth_time": access["auth_time"],
        "acr": ACR_PASSWORD,
        "amr": ["pwd"],
        "sid": access["sid"],
        "at_hash": told["at_hash"],
    }, "and nothing of the profile"
    assert access["aud"] == [f"{ISSUER}/resources", f"{ISSUER}/api/v1", f"{ISSUER}/oauth2/userinfo"]


async def test_without_openid_there_is_none(worker: Worker) -> None:
    await worker.register()
    who = await relying_party(worker)
    login = await worker.open_session(client_id=who.client_id, scope="profile email")
    assert not isinstance(login.id_token, str)
    assert f"{ISSUER}/oauth2/userinfo" not in claims_of(login.access_token)["aud"]
    own = await worker.client(scope="openid")
    answer = await worker.flows.exchange.exchange(
        await worker.authenticate(own), TokenRequest(GrantType.CLIENT_CREDENTIALS, scope=None, resources=())
    )
    assert (answer.scope, answer.id_token) == (("openid",), None), "a client is no user"


async def test_a_refresh_tells_the_same_again_with_a_new_time(worker: Worker) -> None:  # IDT-08
    await worker.register()
    who = await relying_party(worker)
    login = await worker.open_session(client_id=who.client_id)
    worker.clock.advance(300)
    answer = await refreshed(worker, who, str(login.refresh_token))
    before, after = claims_of(login.id_token), read_by(worker, answer.id_token, "RS256")
    assert after["iat"] == before["iat"] + 300
    assert after["at_hash"] != before["at_hash"]
    same = before.keys() - {"iat", "exp", "at_hash"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert before.keys() == after.keys()
    narrowed = await refreshed(worker, who, str(answer.refresh_token), ("profile",))
    assert narrowed.id_token is None


async def test_a_password_change_answers_as_a_login_does(worker: Worker) -> None:
    await worker.register()
    who = await relying_party(worker)
    login = await worker.open_session(client_id=who.client_id)
    token = await worker.change_password(login.access_token, "another good password")
    assert claims_of(token)["sid"] == claims_of(login.id_token)["sid"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_client_has_its_tokens_signed_with_its_own_algorithm(worker: Worker, algorithm: str) -> None:  # IDT-06
    await worker.register()
    who = await relying_party(worker, id_token_algorithm=algorithm)
    issued = await issue(worker, who)
    assert segment(str(issued.id_token), 0)["alg"] == algorithm
    assert segment(issued.access_token, 0)["alg"] == "ES256"
    told = read_by(worker, issued.id_token, algorithm)
    assert len(told["at_hash"]) == (43 if algorithm == "Ed25519" else 22)


async def issue(
    worker: Worker,
    who: Caller,
    *,
    scope: str = SCOPE,
    asked: ClaimsRequest | None = None,
    nonce: str | None = None,
) -> TokenResponse:
    """Tokens of a login, as the grants build them."""
    login = await worker.open_session(client_id=who.client_id)
    token = await worker.flows.access.authorize_user(login.access_token)
    return await issuance_of(worker).issue(
        Authorization(
            sub=token.sub, client_id=token.client_id, scope=tuple(scope.split()), audience=token.audience,
            generations=token.generations, grant_id=token.grant_id, sid=token.sid, nonce=nonce,
            claims=None if asked is None else build_document(asked),
        )
    )  # fmt: skip


async def test_the_nonce_is_told_letter_by_letter(worker: Worker) -> None:  # IDT-02
    await worker.register()
    who = await relying_party(worker)
    for nonce in ("n", 'ü 😀\\"', "x" * 6000):
        assert claims_of((await issue(worker, who, nonce=nonce)).id_token)["nonce"] == nonce
    assert "nonce" not in claims_of((await issue(worker, who)).id_token)


async def test_what_is_asked_for_by_name_is_told_in_the_token_itself(worker: Worker) -> None:  # IDT-07, OID-08
    sub = await worker.register()
    await worker.flows.users.change_claims(sub, {"name": "Ada", "phone_number": "+33 1 23"})
    who = await relying_party(worker)
    ask = ClaimAsk(essential=True)
    asked = ClaimsRequest(userinfo={"nickname": ask}, id_token={"name": ask, "email": ask, "phone_number": ask})
    plain = claims_of((await issue(worker, who, scope="openid")).id_token)
    told = claims_of((await issue(worker, who, scope="openid", asked=asked)).id_token)
    assert {name: told[name] for name in told.keys() - plain.keys()} == {"name": "Ada", "email": "ada@example.com"}, (
        "the client is registered for no scope that would let it have the telephone number"
    )


async def test_an_id_token_opens_nothing(worker: Worker) -> None:  # IDT-09, JWT-12
    await worker.register()
    who, gateway = await relying_party(worker), await worker.client()
    login = await worker.open_session(client_id=who.client_id)
    token = str(login.id_token)
    assert not await worker.is_active(gateway, token)
    for open_door in (
        worker.flows.access.authorize_user,
        worker.flows.access.authorize_ending,
        worker.flows.userinfo.tell,
    ):
        with pytest.raises(InvalidToken):
            await open_door(token)
    await worker.revoke(gateway, token)
    assert await worker.is_let_in(login.access_token), "nor does it end anything"


# --- The keys


async def test_where_no_key_signs_with_it_there_is_no_id_token_and_no_other_algorithm_either(worker: Worker) -> None:
    """Between two kills and five seconds. The access token does not wait for it."""
    await worker.register()
    who = await relying_party(worker)
    keys = worker.flows.keys
    for _ in range(2):
        login = await worker.open_session(client_id=who.client_id)
        await keys.kill(kid_of(str(login.id_token)))
    login = await worker.open_session(client_id=who.client_id)
    assert not isinstance(login.id_token, str)
    assert await worker.is_let_in(login.access_token)
    worker.clock.advance(SETTLING.total_seconds())
    await keys.refresh()
    login = await worker.open_session(client_id=who.client_id)
    assert isinstance(login.id_token, str)


async def test_a_worker_that_has_not_heard_of_a_kill_hands_out_no_id_token_of_that_key(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    who = await relying_party(here)
    killed = kid_of(str((await there.open_session(client_id=who.client_id)).id_token))
    await here.flows.keys.kill(killed)
    signer = there.flows.keys.ring.find_signer("RS256")
    assert signer is not None
    assert signer.kid == killed, "it has not heard"
    token = str((await there.open_session(client_id=who.client_id)).id_token)
    assert kid_of(token) != killed
    assert kid_of(token).encode() in here.flows.keys.ring.jwks


async def test_both_tokens_share_the_key_where_they_share_the_algorithm(database_url: str) -> None:
    async with worker_on(cheap(database_url, access_token_algorithm="RS256")) as worker:
        await worker.register()
        who = await relying_party(worker)
        login = await worker.open_session(client_id=who.client_id)
        assert kid_of(login.access_token) == kid_of(str(login.id_token))
        gateway = await worker.client()
        assert await worker.is_active(gateway, login.access_token)
        assert not await worker.is_active(gateway, str(login.id_token))


async def test_what_was_asked_for_is_kept_with_the_grant(worker: Worker) -> None:
    sub = await worker.register()
    await worker.flows.users.change_claims(sub, {"name": "Ada"})
    who = await relying_party(worker)
    login = await worker.open_session(client_id=who.client_id)
    document = build_document(ClaimsRequest({}, {"name": ClaimAsk()}))
    await sql(
        worker.settings.database_url,
        "UPDATE auth.grants SET claims = $1::text::jsonb",
        json.dumps(document),
    )
    answer = await refreshed(worker, who, str(login.refresh_token))
    assert claims_of(answer.id_token)["name"] == "Ada"
