"""POST /oauth2/token (spec: TOK-*, CCG-*, SCO-*, RSC-*, GEN-*, AT-*)."""

import asyncio
from typing import Any

import httpx2
import jwt
import pytest

from authsvc.models import Client, GrantType
from tests.house_of import ISSUER, House
from tests.web.answers import check_not_stored, check_oauth_error

TOKEN = "/oauth2/token"
GRANT = {"grant_type": "client_credentials"}
ORDERS = "https://orders.example/api"
BILLING = "https://billing.example/api"


async def ask(house: House, client: Client, body: str | dict[str, Any]) -> httpx2.Response:
    """A token request of this client, which may be malformed."""
    if isinstance(body, dict):
        return await house.http.post(TOKEN, data=body, auth=house.basic(client))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return await house.http.post(TOKEN, content=body.encode(), headers=headers, auth=house.basic(client))


async def verified(house: House, token: str, audience: str) -> dict[str, Any]:
    """The claims, when a resource server that knows nothing but the JWKS and the issuer lets the token in."""
    keys = (await house.http.get("/.well-known/jwks.json")).json()
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(jwt.PyJWK(each) for each in keys["keys"] if each["kid"] == kid)
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "exp", "aud", "sub", "iat", "jti"]}
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=[key.algorithm_name], audience=audience, issuer=ISSUER, options=options
    )
    return claims


@pytest.fixture(scope="module")
async def client(shared: House) -> Client:
    return await shared.client(scope="read write delete", audiences=(ORDERS, BILLING))


# --- What is given


async def test_the_answer_holds_the_token_its_type_its_life_and_its_scope(shared: House, client: Client) -> None:
    answer = await ask(shared, client, GRANT | {"scope": "read"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)  # GEN-08
    token = answer.json()
    assert token.keys() == {"access_token", "token_type", "expires_in", "scope"}  # CCG-02: no refresh, no ID token
    assert token["token_type"] == "Bearer"
    assert type(token["expires_in"]) is int
    assert token["expires_in"] == shared.settings.access_token_seconds
    assert token["scope"] == "read"


async def test_the_token_is_one_that_any_verifier_reads(shared: House, client: Client) -> None:  # AT-01, AT-02, AT-10
    token = await shared.token(client, scope="read", resource=ORDERS)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "kid": header["kid"], "typ": "at+jwt"}
    claims = await verified(shared, token, ORDERS)
    now = int(shared.clock.unix())
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": client.client_id,  # AT-03, CCG-02
        "client_id": client.client_id,
        "aud": ORDERS,  # AT-04
        "scope": "read",  # AT-06
        "iat": now,
        "exp": now + shared.settings.access_token_seconds,
        "gen": {"c": 0, "g": 0},
    }


async def test_a_client_and_a_user_can_never_have_the_same_sub(shared: House, client: Client) -> None:  # CCG-02
    sub = await shared.user("namespace@example.com")
    assert sub.startswith("usr_")
    assert client.client_id.startswith("cli_")


async def test_two_tokens_have_different_ids(shared: House, client: Client) -> None:
    tokens = await asyncio.gather(*(shared.token(client) for _ in range(20)))
    assert len({jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens}) == 20


async def test_unknown_parameters_change_nothing(shared: House, client: Client) -> None:  # GEN-02
    unknown = {"foo": "bar", "refresh_token": "x", "code_verifier": "y", "role": "admin"}
    answer = await ask(shared, client, GRANT | unknown)
    assert answer.json()["scope"] == "read write delete"
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "scope"}


async def test_empty_parameters_are_absent_ones(shared: House, client: Client) -> None:  # GEN-03
    answer = await ask(shared, client, GRANT | {"scope": "", "resource": ""})
    assert answer.json()["scope"] == "read write delete"
    check_oauth_error(await ask(shared, client, {"grant_type": ""}), 400, "invalid_request")


@pytest.mark.parametrize(
    ("body", "scope"),
    [
        ("grant_type=client_credentials&scope=read+write", "read write"),
        ("grant_type=client_credentials&scope=read%20write", "read write"),
        ("grant%5Ftype=client%5Fcredentials&sc%6fpe=r%65ad", "read"),
        ("scope=read&grant_type=client_credentials", "read"),
        ("grant_type=client_credentials&scope=read&name=%C3%BC", "read"),
        ("grant_type=client_credentials&scope=read&x=ü", "read"),
    ],
    ids=["plus", "percent 20", "encoded names", "another order", "encoded UTF-8", "raw UTF-8"],
)
async def test_the_body_is_read_as_a_form(shared: House, client: Client, body: str, scope: str) -> None:  # GEN-05
    assert (await ask(shared, client, body)).json()["scope"] == scope


# --- Scope


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (None, "read write delete"),
        ("read", "read"),
        ("delete read", "delete read"),
        ("read read write read", "read write"),
    ],
    ids=["omitted: SCO-02", "narrower", "another order: SCO-01", "repeated: SCO-01"],
)
async def test_a_scope_is_granted(shared: House, client: Client, asked: str | None, granted: str) -> None:
    answer = await ask(shared, client, GRANT if asked is None else GRANT | {"scope": asked})
    assert answer.json()["scope"] == granted
    told = await shared.introspect(client, answer.json()["access_token"])
    assert told["scope"] == granted


@pytest.mark.parametrize(
    "scope",
    [
        "admin",
        "read admin",
        "READ",
        "read  write",
        " read",
        "read ",
        "read,write",
        'read"',
        "read\\",
        "read\twrite",
        "read\nwrite",
        "read\x7f",
        "lésen",
        "𝐫𝐞𝐚𝐝",
        "*",
        "%",
        "x" * 2049,
        " ".join(f"s{n}" for n in range(5000)),
        "a " * 10_000,
    ],
    ids=lambda scope: repr(scope[:16]),
)
async def test_a_scope_is_refused_that_is_malformed_or_wider_than_the_clients(
    shared: House, client: Client, scope: str
) -> None:  # SCO-01, SCO-02, ATK-100
    check_oauth_error(await ask(shared, client, GRANT | {"scope": scope}), 400, "invalid_scope")


async def test_a_client_without_scopes_gets_a_token_without(shared: House) -> None:
    client = await shared.client()
    answer = await ask(shared, client, GRANT)
    assert answer.json()["scope"] == ""  # TOK-01: always named
    assert "scope" not in await shared.introspect(client, answer.json()["access_token"])
    check_oauth_error(await ask(shared, client, GRANT | {"scope": "read"}), 400, "invalid_scope")


# --- Resource


@pytest.mark.parametrize(("resource", "audience"), [(None, ORDERS), (ORDERS, ORDERS), (BILLING, BILLING)])
async def test_the_audience_is_the_resource(
    shared: House, client: Client, resource: str | None, audience: str
) -> None:  # RSC-02, AT-04
    token = await shared.token(client, **({} if resource is None else {"resource": resource}))
    assert (await verified(shared, token, audience))["aud"] == audience


async def test_a_client_without_audiences_asks_for_the_default_one(shared: House) -> None:  # AT-04
    client = await shared.client()
    default = f"{ISSUER}/resources"
    for parameters in ({}, {"resource": default}):
        assert (await verified(shared, await shared.token(client, **parameters), default))["aud"] == default
    check_oauth_error(await ask(shared, client, GRANT | {"resource": ORDERS}), 400, "invalid_target")


@pytest.mark.parametrize(
    "resource",
    [
        "orders",
        "/api",
        "//orders.example/api",
        f"{ORDERS}#fragment",
        f"{ORDERS}/",
        f"{ORDERS}?q=1",
        "https://ORDERS.example/api",
        "https://orders.example:443/api",
        "https://orders.example/API",
        "https://orders.example/%61pi",
        "https://orders.example.evil.example/api",
        "https://other.example/api",
        "https://",
        "https:",
        f"{ORDERS} ",
        f" {ORDERS}",
        f"{ORDERS}\n",
        "javascript:alert(1)",
        "https://orders.example/ä",
        "https://orders.example/" + "a" * 10_000,
        f"{ISSUER}/api/v1",
        f"{ISSUER}/resources",
        ISSUER,
    ],
    ids=lambda resource: repr(resource[:40]),
)
async def test_a_resource_is_refused_that_is_malformed_or_not_the_clients(
    shared: House, client: Client, resource: str
) -> None:  # RSC-01, RSC-02
    check_oauth_error(await ask(shared, client, GRANT | {"resource": resource}), 400, "invalid_target")


async def test_two_resources_are_no_repeated_parameter_but_one_too_many(shared: House, client: Client) -> None:
    # GEN-04, RSC-03
    for resources in ([ORDERS, BILLING], [ORDERS, ORDERS]):
        answer = await ask(shared, client, GRANT | {"resource": resources})
        check_oauth_error(answer, 400, "invalid_target")


# --- What is refused


@pytest.mark.parametrize(
    ("grant_type", "code"),
    [
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("refresh_token", "unauthorized_client"),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type"),
        ("urn:ietf:params:oauth:grant-type:token-exchange", "unsupported_grant_type"),
        ("CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ("client_credentials ", "unsupported_grant_type"),
        ("client_credentials\n", "unsupported_grant_type"),
        ("GrantType.CLIENT_CREDENTIALS", "unsupported_grant_type"),
        ("ç", "unsupported_grant_type"),
        ("x" * 60_000, "unsupported_grant_type"),
    ],
    ids=lambda text: repr(text[:45]),
)
async def test_a_grant_type_is_refused(shared: House, client: Client, grant_type: str, code: str) -> None:
    # TOK-02, AUZ-07, ATK-82, ATK-83
    check_oauth_error(await ask(shared, client, {"grant_type": grant_type}), 400, code)
    with_password = {"grant_type": grant_type, "username": "a", "password": "b"}
    check_oauth_error(await ask(shared, client, with_password), 400, code)


async def test_a_client_is_refused_a_grant_that_it_was_not_given(shared: House) -> None:  # CCG-01, ATK-83
    confidential = await shared.client(grant_types=())
    check_oauth_error(await ask(shared, confidential, GRANT), 400, "unauthorized_client")
    public = await shared.client(public=True)
    answer = await shared.http.post(TOKEN, data=GRANT | {"client_id": public.client_id})
    check_oauth_error(answer, 400, "unauthorized_client")


async def test_a_public_client_is_refused_client_credentials_even_if_its_row_allows_them(shared: House) -> None:
    public = await shared.client(public=True)  # CCG-01
    await shared.sql(
        "UPDATE auth.clients SET grant_types = $2 WHERE client_id = $1",
        public.client_id,
        [GrantType.CLIENT_CREDENTIALS],
    )
    answer = await shared.http.post(TOKEN, data=GRANT | {"client_id": public.client_id})
    check_oauth_error(answer, 400, "unauthorized_client")


@pytest.mark.parametrize(
    "body",
    [
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&grant_type=password",
        "grant_type=password&grant_type=client_credentials",
        "grant_type=client_credentials&scope=read&scope=read",
        "grant_type=client_credentials&scope=read&scope=",
        "grant_type=client_credentials&scope=&scope=read",
        "grant_type=client_credentials&client_id=x&client_id=x",
        "grant_type=client_credentials&client_secret=x&client_secret=x",
        "grant_type=client_credentials&client_assertion=x&client_assertion=x",
        "grant_type=client_credentials&code=x&code=x",
        "grant_type=client_credentials&code_verifier=x&code_verifier=y",
        "grant_type=client_credentials&foo=1&foo=2",
        "grant_type=client_credentials&foo=1&f%6fo=2",
        "grant_type=client_credentials&foo&foo",
    ],
)
async def test_a_repeated_parameter_is_refused(shared: House, client: Client, body: str) -> None:  # GEN-04
    check_oauth_error(await ask(shared, client, body), 400, "invalid_request")


# TOK-03. What is wrong with the client, with the grant type, with its permission and with the parameters; the first
# of these decides what the answer says.
WRONG_SECRET, UNKNOWN_GRANT, NOT_ALLOWED, BAD_SCOPE, BAD_RESOURCE = range(5)


@pytest.mark.parametrize(
    ("wrongs", "status", "code"),
    [
        ({WRONG_SECRET, UNKNOWN_GRANT}, 401, "invalid_client"),
        ({WRONG_SECRET, NOT_ALLOWED}, 401, "invalid_client"),
        ({WRONG_SECRET, BAD_SCOPE}, 401, "invalid_client"),
        ({WRONG_SECRET, BAD_RESOURCE}, 401, "invalid_client"),
        ({UNKNOWN_GRANT, NOT_ALLOWED}, 400, "unsupported_grant_type"),
        ({UNKNOWN_GRANT, BAD_SCOPE}, 400, "unsupported_grant_type"),
        ({UNKNOWN_GRANT, BAD_RESOURCE}, 400, "unsupported_grant_type"),
        ({NOT_ALLOWED, BAD_SCOPE}, 400, "unauthorized_client"),
        ({NOT_ALLOWED, BAD_RESOURCE}, 400, "unauthorized_client"),
    ],
)
async def test_the_first_thing_wrong_is_the_one_told(shared: House, wrongs: set[int], status: int, code: str) -> None:
    client = await shared.client(grant_types=() if NOT_ALLOWED in wrongs else (GrantType.CLIENT_CREDENTIALS,))
    client_id, secret = shared.basic(client)
    form = {
        "grant_type": "bogus" if UNKNOWN_GRANT in wrongs else "client_credentials",
        "scope": '"' if BAD_SCOPE in wrongs else "",
        "resource": "#" if BAD_RESOURCE in wrongs else "",
    }
    answer = await shared.http.post(TOKEN, data=form, auth=(client_id, "wrong" if WRONG_SECRET in wrongs else secret))
    check_oauth_error(answer, status, code)


async def test_a_malformed_request_is_refused_before_anybody_asks_who_sent_it(shared: House) -> None:  # TOK-03
    answer = await shared.http.post(TOKEN, data={"foo": ["1", "2"]}, auth=("nobody", "x"))
    check_oauth_error(answer, 400, "invalid_request")


# --- What changes meanwhile


async def test_a_token_minted_after_a_revocation_lives_though_the_copy_of_the_client_is_older(house: House) -> None:
    client = await house.client()
    before = await house.token(client)
    await house.flows.clients.revoke_tokens(client.client_id)
    after = await house.token(client)
    assert await house.introspect(client, before) == {"active": False}
    assert (await house.introspect(client, after))["active"] is True


@pytest.mark.parametrize("change", ["disable", "delete"])
async def test_no_token_is_minted_for_a_client_that_is_gone_though_the_copy_of_it_is_older(
    house: House, change: str
) -> None:  # FLT-42
    client = await house.client()
    before = await house.token(client)
    await getattr(house.flows.clients, change)(client.client_id)
    check_oauth_error(await ask(house, client, GRANT), 401, "invalid_client")
    gateway = await house.client(introspection="any")
    assert await house.introspect(gateway, before) == {"active": False}


async def test_tokens_minted_during_a_revocation_are_dead_or_were_minted_after_it(house: House) -> None:  # C3, FLT-42
    client = await house.client()
    early = [await house.token(client) for _ in range(3)]
    late: list[str] = []

    async def mint() -> None:
        late.extend([await house.token(client) for _ in range(10)])

    await asyncio.gather(mint(), mint(), mint(), house.flows.clients.revoke_tokens(client.client_id))
    generation = await house.sql("SELECT generation FROM auth.token_blacklist WHERE mark = $1", f"c:{client.client_id}")
    assert [await house.introspect(client, token) for token in early] == [{"active": False}] * 3
    for token in late:
        minted_under = jwt.decode(token, options={"verify_signature": False})["gen"]["c"]
        assert (await house.introspect(client, token))["active"] is (minted_under == generation)
    assert (await house.introspect(client, await house.token(client)))["active"] is True
