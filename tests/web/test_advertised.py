"""The metadata say what is so (MET-11, ALG-02): every value that is advertised works, and what is not is refused."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import jwt
import pytest

from authsvc.errors import InvalidValue
from authsvc.models import AuthMethod, Client, ConsentPolicy, GrantType, SubjectType
from authsvc.protocol.claims import SCOPES
from tests.house_of import ISSUER, PASSWORD, House, bearer
from tests.signing import ALGORITHMS as SIGNED
from tests.signing import Hand, proof
from tests.verifying import verified
from tests.web.answers import check_oauth_error
from tests.web.browsing import CALLBACK, EMAIL, VERIFIER, Browser, a_client, an_object, answer_of
from tests.web.forging import claims_of
from tests.web.markup import find

EVERYTHING = f"openid {' '.join(SCOPES)} offline_access read"
CLAIMS = {
    "name": "Ada King", "family_name": "King", "given_name": "Ada", "middle_name": "Augusta", "nickname": "Ada",
    "preferred_username": "ada", "profile": "https://ada.example/me", "picture": "https://ada.example/me.png",
    "website": "https://ada.example", "gender": "female", "birthdate": "1815-12-10", "zoneinfo": "Europe/London",
    "locale": "en-GB", "phone_number": "+44 20 7946 0000", "phone_number_verified": True,
    "address": {"locality": "London"},
}  # fmt: skip

HAND = Hand()
Metadata = dict[str, Any]
Attempt = Callable[[House, str], Awaitable[bool]]
"""Whether a value works. What is refused in another way than it should be is an error of its own."""


@pytest.fixture(scope="module")
async def house(shared: House) -> AsyncIterator[House]:
    sub = await shared.user()
    await shared.flows.users.change_claims(sub, CLAIMS)
    yield shared


@pytest.fixture(scope="module")
async def metadata(house: House) -> Metadata:
    document: Metadata = (await house.http.get("/.well-known/oauth-authorization-server")).json()
    return document


async def trusted(house: House, **registration: Any) -> Client:
    """A client that may have everything, and that nobody is asked about."""
    return await a_client(house, **({"scope": EVERYTHING, "consent": ConsentPolicy.NEVER} | registration))


def is_refused(answer: httpx2.Response, *errors: str) -> bool:
    """By an error that the client is told, and by no other than these."""
    if answer.status_code != 303:
        return False
    told = answer_of(answer)
    assert told.get("error") in {None, *errors}
    return "error" in told


async def through(house: House, client: Client, **changes: str | None) -> dict[str, Any] | None:
    """The tokens of a request with these changes, of somebody who has never been there; None where it is refused."""
    browser = Browser(house)
    page = await browser.authorize(client, **changes)
    if is_refused(page, "invalid_scope", "invalid_request", "unmet_authentication_requirements"):
        return None
    answer = await browser.redeem(client, answer_of(await browser.log_in(page))["code"])
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def all_that_is_told(house: House, client: Client, **changes: str) -> dict[str, Any]:
    tokens = await through(house, client, **changes)
    assert tokens is not None
    told = await house.http.get("/oauth2/userinfo", headers=bearer(tokens["access_token"]))
    return {**claims_of(tokens["id_token"]), **told.json()}


# --- Values of lists


async def use_scope(house: House, scope: str) -> bool:
    tokens = await through(house, await trusted(house), scope=" ".join({"openid": 1, scope: 1}))
    return tokens is not None and scope in tokens["scope"].split()


async def use_response_type(house: House, response_type: str) -> bool:
    page = await Browser(house).authorize(await trusted(house), response_type=response_type)
    return not is_refused(page, "unsupported_response_type")  # AUZ-04, AUZ-07


async def use_response_mode(house: House, mode: str) -> bool:
    browser = Browser(house)
    page = await browser.authorize(await trusted(house), response_mode=mode)
    if is_refused(page, "invalid_request"):
        return False
    answer = await browser.log_in(page)
    if mode == "query":
        return "code" in answer_of(answer)
    (form,) = find(answer.text, "form", action=CALLBACK)
    return form.attributes["method"] == "post"


async def use_challenge(house: House, method: str) -> bool:
    browser, client = Browser(house), await trusted(house)
    challenge = VERIFIER if method == "plain" else None
    changes = {} if challenge is None else {"code_challenge": challenge}
    page = await browser.authorize(client, code_challenge_method=method, **changes)
    if is_refused(page, "invalid_request"):  # PKC-03, ATK-78
        return False
    code = answer_of(await browser.log_in(page))["code"]
    return (await browser.redeem(client, code)).status_code == 200


async def use_prompt(house: House, prompt: str) -> bool:
    browser, client = Browser(house), await trusted(house)
    await browser.code(client)
    house.clock.advance(1)
    answer = await browser.authorize(client, prompt=prompt)
    if is_refused(answer, "invalid_request"):
        return False
    names = find(answer.text, "input", id="username")
    match prompt:
        case "none":
            return "code" in answer_of(answer)
        case "login":
            return [each.attributes["value"] for each in names] == [EMAIL]
        case "select_account":
            return [each.attributes["value"] for each in names] == [""]
    return bool(find(answer.text, "button", id="consent-allow"))


async def use_display(house: House, display: str) -> bool:
    page = await Browser(house).authorize(await trusted(house), display=display)
    return bool(find(page.text, "button", id="login-submit"))


async def use_locale(house: House, locale: str) -> bool:
    page = await Browser(house).authorize(await trusted(house), ui_locales=locale)
    return find(page.text, "html")[0].attributes["lang"] == page.headers["content-language"] == locale


async def use_acr(house: House, acr: str) -> bool:
    claims = json.dumps({"id_token": {"acr": {"essential": True, "value": acr}}})
    tokens = await through(house, await trusted(house), claims=claims)
    return tokens is not None and claims_of(tokens["id_token"])["acr"] == acr


async def use_claim(house: House, claim: str) -> bool:
    ask = {claim: {"essential": True}}
    asked = json.dumps({"id_token": ask, "userinfo": ask})
    return claim in await all_that_is_told(house, await trusted(house), claims=asked)


async def use_claim_type(house: House, kind: str) -> bool:
    told = await all_that_is_told(house, await trusted(house), scope="openid profile")
    return "name" in told if kind == "normal" else "_claim_names" in told


async def use_subject_type(house: House, kind: str) -> bool:  # IDT-10
    try:
        subject_type = SubjectType(kind)
    except ValueError:
        return False
    hosts = "one.example", "two.example"
    clients = [await trusted(house, subject_type=subject_type, redirect_uris=(f"https://{host}/cb",)) for host in hosts]
    first, second = [await all_that_is_told(house, client) for client in clients]
    return bool((first["sub"] == second["sub"]) == (kind == "public"))


def use_algorithm(setting: str) -> Attempt:
    """Of ID tokens or of UserInfo, for a client that is registered for it."""

    async def attempt(house: House, algorithm: str) -> bool:
        try:
            client = await trusted(house, **{setting: algorithm})
        except InvalidValue:
            return False
        tokens = await through(house, client)
        assert tokens is not None
        token = tokens["id_token"]
        if setting == "userinfo_algorithm":
            token = (await house.http.get("/oauth2/userinfo", headers=bearer(tokens["access_token"]))).text
        jwks = (await house.http.get("/.well-known/jwks.json")).json()
        return "sub" in verified(token, jwks, algorithm)

    return attempt


async def use_introspection_algorithm(house: House, algorithm: str) -> bool:
    try:
        client = await house.client(introspection_algorithm=algorithm)
    except InvalidValue:
        return False
    form, headers = {"token": await house.token(client)}, {"accept": "application/token-introspection+jwt"}
    answer = await house.http.post("/oauth2/introspect", data=form, auth=house.basic(client), headers=headers)
    jwks = (await house.http.get("/.well-known/jwks.json")).json()
    told = verified(answer.text, jwks, algorithm, typ="token-introspection+jwt")
    return bool(told["token_introspection"]["active"])


async def use_grant(house: House, grant: str) -> bool:
    client = await trusted(house, grant_types=tuple(GrantType), first_party=True)
    login = {"email": EMAIL, "password": PASSWORD, "client_id": client.client_id}
    refresh_token = (await house.http.post("/api/v1/login", json=login)).json()["refresh_token"]
    form = {
        "grant_type": grant, "code": await Browser(house).code(client), "code_verifier": VERIFIER,
        "refresh_token": refresh_token, "username": EMAIL, "password": PASSWORD, "assertion": "x", "device_code": "x",
    }  # fmt: skip
    answer = await house.http.post("/oauth2/token", data=form, auth=house.basic(client))
    if answer.status_code != 200:
        check_oauth_error(answer, 400, "unsupported_grant_type")
    return answer.status_code == 200


def use_proof(path: str) -> Attempt:
    """Authenticate at this endpoint in this way, as a client that has whatever the way needs."""

    async def attempt(house: House, method: str) -> bool:
        is_public = method == "none"
        keys: dict[str, Any] = {"auth_method": AuthMethod.PRIVATE_KEY_JWT, "jwks": HAND.key_set()}
        more = keys if method == "private_key_jwt" else {}
        client = await trusted(house, public=is_public, grant_types=(GrantType.AUTHORIZATION_CODE,), **more)
        client_id, secret = client.client_id, house.credentials.get(client.client_id, "")
        code = await Browser(house).code(client, scope="openid")
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "token": "x"}
        headers = {}
        match method:
            case "client_secret_basic":
                headers = {"authorization": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}
            case "client_secret_post":
                form |= {"client_id": client_id, "client_secret": secret}
            case "Bearer":
                headers = bearer(await house.log_in())
            case "private_key_jwt":
                form |= proof(HAND.assertion(client_id, ISSUER, house.clock.unix()))
            case "client_secret_jwt":
                now = house.clock.unix()
                claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "exp": now + 60, "jti": "x"}
                form |= {
                    "client_id": client_id,
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion": jwt.encode(claims, secret, algorithm="HS256"),
                }
            case _:
                form |= {"client_id": client_id}
        answer = await house.http.post(path, data=form, headers=headers)
        if answer.status_code != 200:
            check_oauth_error(answer, answer.status_code, answer.json()["error"])
            assert answer.json()["error"] in {"invalid_client", "invalid_request"}
        return answer.status_code == 200

    return attempt


def use_signed_proof(path: str) -> Attempt:
    """Authenticate at this endpoint by an assertion that is signed in this way."""

    async def attempt(house: House, algorithm: str) -> bool:
        hand = a_hand(algorithm)
        client = await house.client(auth_method=AuthMethod.PRIVATE_KEY_JWT, jwks=keys_of(hand), scope="read")
        form = {"grant_type": "client_credentials", "token": "x"}
        form |= proof(hand.assertion(client.client_id, ISSUER, house.clock.unix()))
        answer = await house.http.post(path, data=form)
        if answer.status_code != 200:
            check_oauth_error(answer, 401, "invalid_client")
        return answer.status_code == 200

    return attempt


def a_hand(algorithm: str) -> Hand:
    """That signs by this algorithm, or says so at least."""
    if algorithm in SIGNED:
        return Hand(algorithm, kid=algorithm)
    hand = Hand("RS256" if algorithm.startswith(("RS", "PS")) else "ES256", kid=algorithm)
    hand.claimed = algorithm
    return hand


def keys_of(hand: Hand) -> dict[str, Any]:
    """For whatever a key of this type is for."""
    return hand.key_set(alg=None)


async def use_signed_request(house: House, algorithm: str) -> bool:
    hand = a_hand(algorithm)
    client = await trusted(house, jwks=keys_of(hand))
    browser = Browser(house)
    sent = {"redirect_uri": CALLBACK, "request": an_object(house, client, hand)}
    return not is_refused(await browser.follow(await browser.ask(client, sent)), "invalid_request_object")


ALGORITHMS = {"none", "HS256", "PS256", "ES384", "RS512", "EdDSA", "Ed448"}
UNSIGNED = {"none", "HS256", "ES384", "ES512", "RS512", "PS512", "Ed448"}
PROOFS = {
    "client_secret_basic", "client_secret_post", "none", "Bearer", "client_secret_jwt", "private_key_jwt",
    "tls_client_auth", "self_signed_tls_client_auth",
}  # fmt: skip
GRANTS = {
    "implicit", "password", "urn:ietf:params:oauth:grant-type:device_code", "urn:openid:params:grant-type:ciba",
    "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange",
}  # fmt: skip
TRIALS: dict[str, tuple[Attempt, set[str]]] = {
    "scopes_supported": (use_scope, {"admin", "groups", "device_sso"}),
    "response_types_supported": (use_response_type, {"token", "id_token", "code token", "code id_token", "none"}),
    "response_modes_supported": (use_response_mode, {"fragment", "jwt", "query.jwt", "web_message"}),
    "code_challenge_methods_supported": (use_challenge, {"plain", "S512", "s256"}),
    "prompt_values_supported": (use_prompt, {"create", "login_consent"}),
    "display_values_supported": (use_display, set()),  # a wish that is not known is none (OID-06)
    "ui_locales_supported": (use_locale, {"se", "fr", "x"}),
    "acr_values_supported": (use_acr, {"0", "phr", "urn:authsvc:acr:mfa"}),
    "claims_supported": (use_claim, {"groups", "roles", "password", "password_digest", "generation", "created_at"}),
    "request_object_signing_alg_values_supported": (use_signed_request, UNSIGNED),
    "claim_types_supported": (use_claim_type, {"aggregated", "distributed"}),
    "subject_types_supported": (use_subject_type, {"ephemeral"}),
    "id_token_signing_alg_values_supported": (use_algorithm("id_token_algorithm"), ALGORITHMS),
    "userinfo_signing_alg_values_supported": (use_algorithm("userinfo_algorithm"), ALGORITHMS),
    "introspection_signing_alg_values_supported": (use_introspection_algorithm, ALGORITHMS),
    "grant_types_supported": (use_grant, GRANTS),
    "token_endpoint_auth_methods_supported": (use_proof("/oauth2/token"), PROOFS),
    "token_endpoint_auth_signing_alg_values_supported": (use_signed_proof("/oauth2/token"), UNSIGNED),
    "introspection_endpoint_auth_signing_alg_values_supported": (use_signed_proof("/oauth2/introspect"), UNSIGNED),
    "revocation_endpoint_auth_signing_alg_values_supported": (use_signed_proof("/oauth2/revoke"), UNSIGNED),
    "introspection_endpoint_auth_methods_supported": (use_proof("/oauth2/introspect"), PROOFS),
    "revocation_endpoint_auth_methods_supported": (use_proof("/oauth2/revoke"), PROOFS),
}
"""Every list: how its values are tried, and what else somebody might try, most of it not built here."""


@pytest.mark.parametrize("member", TRIALS)
async def test_what_is_advertised_works_and_what_is_not_is_refused(
    house: House, metadata: Metadata, member: str
) -> None:
    attempt, others = TRIALS[member]
    works = {value for value in {*metadata[member], *others} if await attempt(house, value)}
    assert works == set(metadata[member])


# --- Yes or no


async def reads_claims(house: House) -> bool:
    return await use_claim(house, "name")


async def tells_issuer(house: House) -> bool:
    browser, client = Browser(house), await trusted(house)
    refusal = answer_of(await browser.authorize(client, prompt="none"))
    success = answer_of(await browser.log_in(await browser.authorize(client)))
    assert "error" in refusal
    assert "code" in success
    return refusal.get("iss") == success.get("iss") == ISSUER  # ISS-01


async def reads_request_objects(house: House) -> bool:
    unsigned = jwt.encode({"scope": "openid"}, "", algorithm="none")
    client = await trusted(house)
    assert is_refused(await Browser(house).authorize(client, request=unsigned), NO_OBJECT), "it has no keys"
    return await use_signed_request(house, "ES256")


async def fetches_request_objects(house: House) -> bool:
    page = await Browser(house).authorize(await trusted(house), request_uri="https://client.example/r")
    return not is_refused(page, "request_uri_not_supported")


async def demands_more(house: House) -> bool:
    return is_refused(await Browser(house).authorize(await trusted(house)), "invalid_request")


async def notice_of(house: House) -> tuple[str | None, str]:
    """Of which session a client is told when its user logs out, and the name by which it knows that."""
    browser, client = Browser(house), await trusted(house, backchannel_logout_uri="https://client.invalid/told")
    id_token = (await browser.redeem(client, await browser.code(client))).json()["id_token"]
    await browser.http.get("/oauth2/logout", params={"id_token_hint": id_token})
    told = await house.sql("SELECT sid FROM auth.logout_notices WHERE client_id = $1", client.client_id)
    return told, claims_of(id_token)["sid"]


async def tells_of_logouts(house: House) -> bool:
    return (await notice_of(house))[0] is not None


async def tells_of_sessions(house: House) -> bool:
    told, known = await notice_of(house)
    return told == known


NO_OBJECT = "request_not_supported"
QUESTIONS: dict[str, Callable[[House], Awaitable[bool]]] = {
    "claims_parameter_supported": reads_claims,
    "authorization_response_iss_parameter_supported": tells_issuer,
    "backchannel_logout_supported": tells_of_logouts,
    "backchannel_logout_session_supported": tells_of_sessions,
    "request_parameter_supported": reads_request_objects,
    "request_uri_parameter_supported": fetches_request_objects,
    "require_pushed_authorization_requests": demands_more,
    "require_signed_request_object": demands_more,
}


@pytest.mark.parametrize("member", QUESTIONS)
async def test_yes_is_yes_and_no_is_no(house: House, metadata: Metadata, member: str) -> None:  # ODI-03
    assert await QUESTIONS[member](house) is metadata[member]


# --- Nothing else


async def test_there_is_a_trial_for_all_that_is_advertised(metadata: Metadata) -> None:
    addresses = {name for name, value in metadata.items() if isinstance(value, str)}
    assert metadata.keys() == addresses | TRIALS.keys() | QUESTIONS.keys()


async def test_every_endpoint_that_is_named_is_there(house: House, metadata: Metadata) -> None:
    for name, url in metadata.items():
        if name.endswith("_endpoint"):
            assert "POST" in (await house.http.delete(url)).headers["allow"].split(", ")
        if name.endswith("_uri"):
            assert (await house.http.get(url)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/webfinger",
        "/.well-known/oauth-protected-resource",
        "/.well-known/",
        "/oauth2/register",
    ],
)
async def test_what_is_not_built_is_not_there(house: House, path: str) -> None:  # WFG-01
    assert (await house.http.get(path)).status_code == 404
