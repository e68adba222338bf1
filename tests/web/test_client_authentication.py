"""Who is calling? One rule for all endpoints that clients call (spec: CLA-*, ATK-23, ATK-48, ATK-81)."""

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import httpx2
import pytest

from authsvc.models import AuthMethod, Client
from tests.house_of import House, bearer
from tests.web.answers import check_equal, check_not_stored, check_oauth_error

FORMS = {
    "/oauth2/token": {"grant_type": "client_credentials"},
    "/oauth2/introspect": {"token": "a.b.c"},
    "/oauth2/revoke": {"token": "a.b.c"},
}
DOORS = pytest.mark.parametrize("path", FORMS)

Form = dict[str, str]
Headers = list[tuple[str, str]]
Request = tuple[Headers, Form]


async def call(house: House, path: str, request: Request) -> httpx2.Response:
    headers, form = request
    return await house.http.post(path, headers=headers, data=FORMS[path] | form)


def basic(raw: str | bytes) -> Headers:
    """The header, of what stands in the base64."""
    return [("authorization", "Basic " + b64encode(raw.encode() if isinstance(raw, str) else raw).decode())]


def header(value: str) -> Headers:
    return [("authorization", value)]


def post(client_id: str, secret: str) -> Form:
    return {"client_id": client_id, "client_secret": secret}


ASSERTION = {
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "eyJhbGciOiJub25lIn0.e30.",
}

# What somebody brings who knows the client_id `i` and not its secret, which is `s`.
REFUSED: dict[str, Callable[[str, str], Request]] = {
    "nothing": lambda i, s: ([], {}),
    "a client_id alone: CLA-08": lambda i, s: ([], {"client_id": i}),
    "an empty secret in the header": lambda i, s: (basic(f"{i}:"), {}),
    "an empty secret in the body: GEN-03": lambda i, s: ([], post(i, "")),
    "a wrong secret in the header": lambda i, s: (basic(f"{i}:wrong"), {}),
    "a wrong secret in the body": lambda i, s: ([], post(i, "wrong")),
    "a prefix of the secret": lambda i, s: (basic(f"{i}:{s[:-1]}"), {}),
    "the secret and a letter more": lambda i, s: (basic(f"{i}:{s}x"), {}),
    "the secret in upper case": lambda i, s: (basic(f"{i}:{s.upper()}"), {}),
    "the secret behind a blank": lambda i, s: (basic(f"{i}: {s}"), {}),
    "the digest of the secret": lambda i, s: (basic(f"{i}:{sha256(s.encode()).hexdigest()}"), {}),
    "an unknown client in the header": lambda i, s: (basic(f"cli_unknown:{s}"), {}),
    "an unknown client in the body": lambda i, s: ([], post("cli_unknown", s)),
    "an unknown client alone": lambda i, s: ([], {"client_id": "cli_unknown"}),
    "another case of the client_id": lambda i, s: (basic(f"{i.upper()}:{s}"), {}),
    "a blank behind the client_id": lambda i, s: (basic(f"{i}+:{s}"), {}),
    "no client_id": lambda i, s: (basic(f":{s}"), {}),
    "a secret without a client_id": lambda i, s: ([], {"client_secret": s}),
    "a secret of 1 KB": lambda i, s: (basic(f"{i}:{'x' * 1024}"), {}),
    "a secret of 3 KB": lambda i, s: ([], post(i, "x" * 3000)),
    "a header of 5 KB": lambda i, s: (basic(f"{i}:{'x' * 5000}"), {}),
    "a client_id of 60 KB": lambda i, s: ([], post("x" * 60_000, s)),
    "SQL in the header: ATK-48": lambda i, s: (basic("%27+OR+1%3D1--:x"), {}),
    "SQL in the body": lambda i, s: ([], post("' OR 1=1--", "x")),
    "a percent sign": lambda i, s: ([], post("%", s)),
    "an underscore": lambda i, s: ([], post("cli_______________________", s)),
    "a backslash": lambda i, s: ([], post("\\", s)),
    "a path": lambda i, s: ([], post("../first-party", s)),
    "NUL in the header's client_id": lambda i, s: (basic(f"{i}\0:{s}"), {}),
    "NUL in the header's secret": lambda i, s: (basic(f"{i}:{s}\0"), {}),
    "an encoded NUL in the header": lambda i, s: (basic(f"{i}%00:{s}"), {}),
    "bytes that are no UTF-8 in the header": lambda i, s: (basic(b"\xff\xfe:\xff"), {}),
    "encoded bytes that are no UTF-8": lambda i, s: (basic(f"%FF:{s}"), {}),
    "letters outside of ASCII in the header": lambda i, s: (basic(f"ü:{s}"), {}),
    "letters outside of ASCII in the body": lambda i, s: ([], post("ü", s)),
    "a line feed in the client_id": lambda i, s: ([], post(f"{i}\n", s)),
    "no colon: CLA-06": lambda i, s: (basic("letters"), {}),
    "no base64: CLA-06": lambda i, s: (header("Basic !!!"), {}),
    "base64 in the URL's alphabet": lambda i, s: (header("Basic _-_-"), {}),
    "an empty Basic": lambda i, s: (header("Basic "), {}),
    "Basic and nothing else": lambda i, s: (header("Basic"), {}),
    "the header unencoded": lambda i, s: (header(f"Basic {i}:{s}"), {}),
    "an empty header": lambda i, s: (header(""), {}),
    "another scheme": lambda i, s: (header(f'Digest username="{i}"'), {}),
    "a Bearer": lambda i, s: (header(f"Bearer {s}"), {}),
    "an assertion: not built, ATK-80": lambda i, s: ([], ASSERTION),
    "an assertion and a client_id": lambda i, s: ([], ASSERTION | {"client_id": i}),
    "a public client with a secret": lambda i, s: ([], post("first-party", s)),
    "a public client with an empty secret in the header": lambda i, s: (basic("first-party:"), {}),
}

# Two methods at once are no method, even where both are right (CLA-01).
AMBIGUOUS: dict[str, Callable[[str, str], Request]] = {
    "the header and the body": lambda i, s: (basic(f"{i}:{s}"), post(i, s)),
    "the header and another secret in the body": lambda i, s: (basic(f"{i}:{s}"), post(i, "wrong")),
    "the header and an assertion": lambda i, s: (basic(f"{i}:{s}"), ASSERTION),
    "the body and an assertion": lambda i, s: ([], post(i, s) | ASSERTION),
    "the header, and another client_id in the body": lambda i, s: (basic(f"{i}:{s}"), {"client_id": "first-party"}),
    "a Bearer and the body": lambda i, s: (header("Bearer x"), post(i, s)),
    "the header twice": lambda i, s: (basic(f"{i}:{s}") * 2, {}),
    "the header and a wrong one": lambda i, s: (basic(f"{i}:{s}") + basic(f"{i}:wrong"), {}),
    "the header and a Bearer": lambda i, s: (basic(f"{i}:{s}") + header("Bearer x"), {}),
}

ACCEPTED: dict[str, Callable[[str, str], Request]] = {
    "the header": lambda i, s: (basic(f"{i}:{s}"), {}),
    "the body": lambda i, s: ([], post(i, s)),
    "the header and the same client_id in the body: CLA-01": lambda i, s: (basic(f"{i}:{s}"), {"client_id": i}),
    "the header and empty parameters: GEN-03": lambda i, s: (basic(f"{i}:{s}"), post("", "")),
    "the scheme in another case": lambda i, s: (header(f"bAsIc {basic(f'{i}:{s}')[0][1][6:]}"), {}),
    "every letter encoded: CLA-02": lambda i, s: (basic("".join(f"%{ord(c):02x}" for c in i) + f":{s}"), {}),
    "the client_id between blanks of the header": lambda i, s: (header(f"Basic   {basic(f'{i}:{s}')[0][1][6:]} "), {}),
}


@pytest.fixture(scope="module")
async def client(shared: House) -> Client:
    return await shared.client()


@pytest.fixture(scope="module")
async def reference(shared: House) -> dict[str, httpx2.Response]:
    """What a client hears that nobody knows, at each door."""
    return {path: await call(shared, path, (basic("cli_nobody:secret"), {})) for path in FORMS}


@DOORS
@pytest.mark.parametrize("case", REFUSED)
async def test_who_does_not_prove_to_be_the_client_is_told_what_a_stranger_is_told(
    shared: House, client: Client, reference: dict[str, httpx2.Response], path: str, case: str
) -> None:  # CLA-06, CLA-07, ATK-23, ATK-81
    answer = await call(shared, path, REFUSED[case](*shared.basic(client)))
    check_oauth_error(answer, 401, "invalid_client")
    check_equal({"a stranger": reference[path], case: answer})


@DOORS
@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_two_methods_at_once_are_refused(shared: House, client: Client, path: str, case: str) -> None:  # CLA-01
    check_oauth_error(await call(shared, path, AMBIGUOUS[case](*shared.basic(client))), 400, "invalid_request")


@DOORS
@pytest.mark.parametrize("case", ACCEPTED)
async def test_the_client_gets_in_with(shared: House, client: Client, path: str, case: str) -> None:  # CLA-02, CLA-04
    answer = await call(shared, path, ACCEPTED[case](*shared.basic(client)))
    assert answer.status_code == 200, answer.text
    check_not_stored(answer)


@DOORS
async def test_unknown_disabled_deleted_and_wrong_look_the_same(
    shared: House, reference: dict[str, httpx2.Response], path: str
) -> None:  # CLA-07
    disabled, deleted, without_method = await shared.client(), await shared.client(), await shared.client()
    await shared.flows.clients.disable(disabled.client_id)
    await shared.flows.clients.delete(deleted.client_id)
    await shared.sql("UPDATE auth.clients SET secret_digests = '{}' WHERE client_id = $1", without_method.client_id)
    answers = {"unknown": reference[path]}
    for name, each in (("disabled", disabled), ("deleted", deleted), ("without a secret: ATK-81", without_method)):
        client_id, secret = shared.basic(each)
        answers[name] = await call(shared, path, (basic(f"{client_id}:{secret}"), {}))
        answers[f"{name}, wrong secret"] = await call(shared, path, (basic(f"{client_id}:wrong"), {}))
        answers[f"{name}, in the body"] = await call(shared, path, ([], post(client_id, secret)))
        answers[f"{name}, alone"] = await call(shared, path, ([], {"client_id": client_id}))
    check_equal(answers)


@DOORS
@pytest.mark.parametrize("registered", [AuthMethod.BASIC, AuthMethod.POST])
async def test_a_client_that_names_its_method_is_held_to_it(
    shared: House, reference: dict[str, httpx2.Response], path: str, registered: AuthMethod
) -> None:  # CLA-04
    client_id, secret = shared.basic(await shared.client(auth_method=registered))
    tried: dict[AuthMethod, Request] = {
        AuthMethod.BASIC: (basic(f"{client_id}:{secret}"), {}),
        AuthMethod.POST: ([], post(client_id, secret)),
        AuthMethod.NONE: ([], {"client_id": client_id}),
    }
    for method, request in tried.items():
        answer = await call(shared, path, request)
        if method is registered:
            assert answer.status_code == 200
        else:
            check_equal({"a stranger": reference[path], method: answer})


@DOORS
async def test_basic_is_split_at_the_first_colon_and_then_form_decoded(shared: House, path: str) -> None:  # CLA-02
    await _insert(shared, "my client:1", "p+ss/word %:")
    answer = await call(shared, path, (header("Basic bXkrY2xpZW50JTNBMTpwJTJCc3MlMkZ3b3JkKyUyNSUzQQ=="), {}))
    assert answer.status_code == 200, answer.text


async def _insert(house: House, client_id: str, secret: str) -> None:
    """A client that was not made here: it has letters that ours never have (CLA-03)."""
    columns = "secret_digests, grant_types, scope, audiences, serves, introspection, first_party, created_at"
    await house.sql(
        f"INSERT INTO auth.clients (client_id, name, {columns}) VALUES ($1, 'an import', $2, $3, '{{}}', '{{}}', "
        "'{}', 'own', false, now()) ON CONFLICT DO NOTHING",
        client_id,
        [sha256(secret.encode()).digest()],
        ["client_credentials"],
    )


@DOORS
@pytest.mark.parametrize(
    "query",
    [
        "client_id={i}&client_secret={s}",
        "client_secret={s}",
        "client_id={i}",
        "token=x",
        "grant_type=client_credentials",
        "foo=bar",
        "%00",
        "&",
    ],
)
async def test_nothing_may_stand_in_the_url(shared: House, client: Client, path: str, query: str) -> None:  # CLA-05
    client_id, secret = shared.basic(client)
    url = f"{path}?{query.format(i=client_id, s=secret)}"
    for headers in ([], basic(f"{client_id}:{secret}")):
        answer = await shared.http.post(url, headers=headers, data=FORMS[path])
        check_oauth_error(answer, 400, "invalid_request")
        assert secret not in answer.text


@DOORS
async def test_a_users_bearer_is_no_client_authentication(
    shared: House, reference: dict[str, httpx2.Response], path: str
) -> None:  # ATK-23
    await shared.user(f"{path.rpartition('/')[2]}@example.com")
    token = await shared.log_in(f"{path.rpartition('/')[2]}@example.com")
    answer = await shared.http.post(path, headers=bearer(token), data=FORMS[path])
    check_equal({"a stranger": reference[path], "a user": answer})


async def test_a_rotated_out_secret_opens_nothing_a_second_later(house: House) -> None:  # ATK-81
    client = await house.client()
    client_id, old = house.basic(client)
    for path in FORMS:
        assert (await call(house, path, (basic(f"{client_id}:{old}"), {}))).status_code == 200
    new = (await house.flows.clients.rotate_secret(client_id, keep_old_for=timedelta(0))).secret
    house.clock.advance(1)
    for path in FORMS:
        check_oauth_error(await call(house, path, (basic(f"{client_id}:{old}"), {})), 401, "invalid_client")
        assert (await call(house, path, (basic(f"{client_id}:{new}"), {}))).status_code == 200


async def test_a_disabled_client_is_out_a_second_later_and_back_when_enabled(house: House) -> None:  # CLA-07
    client = await house.client()
    credentials: Request = (basic(":".join(house.basic(client))), {})
    for path in FORMS:
        assert (await call(house, path, credentials)).status_code == 200
    await house.flows.clients.disable(client.client_id)
    house.clock.advance(1)
    for path in FORMS:
        check_oauth_error(await call(house, path, credentials), 401, "invalid_client")
    await house.flows.clients.enable(client.client_id)
    house.clock.advance(1)
    for path in FORMS:
        assert (await call(house, path, credentials)).status_code == 200


async def test_secrets_are_made_of_letters_that_need_no_encoding_and_kept_as_digests(shared: House) -> None:
    # CLA-03, CLA-16
    for _ in range(8):
        client_id, secret = shared.basic(await shared.client())
        assert set(client_id + secret) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
        stored = await shared.sql("SELECT secret_digests FROM auth.clients WHERE client_id = $1", client_id)
        assert stored == [sha256(secret.encode()).digest()]
        row = await shared.sql("SELECT clients::text FROM auth.clients WHERE client_id = $1", client_id)
        assert secret not in row
