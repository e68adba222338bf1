"""Client authentication: one method, read strictly, and one answer to every failure."""

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidClient, InvalidRequest
from authsvc.models import AuthMethod, Client, IntrospectionRight
from authsvc.protocol.client_auth import ClientCredentials, check_authentication, parse_credentials
from authsvc.protocol.forms import Form, parse_form


def form(**parameters: str) -> Form:
    return parse_form(urlencode(parameters).encode(), "application/x-www-form-urlencoded")


def basic(text: str | bytes) -> str:
    return "Basic " + b64encode(text if isinstance(text, bytes) else text.encode()).decode()


# --- Finding the credentials

FOUND = [
    ("Basic", basic("id:secret"), {}, ("id", "secret", AuthMethod.BASIC)),
    ("Basic, client_id beside it", basic("id:secret"), {"client_id": "id"}, ("id", "secret", AuthMethod.BASIC)),
    ("GEN-03 an empty secret beside it", basic("id:secret"), {"client_secret": ""}, ("id", "secret", AuthMethod.BASIC)),
    ("BEA-01 scheme in another case", "bAsIc " + basic("id:secret")[6:], {}, ("id", "secret", AuthMethod.BASIC)),
    ("two blanks", "Basic  " + basic("id:secret")[6:], {}, ("id", "secret", AuthMethod.BASIC)),
    ("CLA-02 the first colon splits", basic("id:sec:ret"), {}, ("id", "sec:ret", AuthMethod.BASIC)),
    (
        "CLA-02 the vector",
        "Basic bXkrY2xpZW50JTNBMTpwJTJCc3MlMkZ3b3JkKyUyNSUzQQ==",
        {},
        ("my client:1", "p+ss/word %:", AuthMethod.BASIC),
    ),
    ("CLA-03 a client that does not encode", basic("id:A-Z_a-z"), {}, ("id", "A-Z_a-z", AuthMethod.BASIC)),
    ("an empty secret is a secret", basic("id:"), {}, ("id", "", AuthMethod.BASIC)),
    ("post", None, {"client_id": "id", "client_secret": "secret"}, ("id", "secret", AuthMethod.POST)),
    ("CLA-08 a public client", None, {"client_id": "id"}, ("id", None, AuthMethod.NONE)),
    ("GEN-03 an empty secret is absent", None, {"client_id": "id", "client_secret": ""}, ("id", None, AuthMethod.NONE)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("authorization", "parameters", "expected"), [pytest.param(*row, id=name) for name, *row in FOUND]
)
def test_credentials_are_found(
    authorization: str | None, parameters: dict[str, str], expected: tuple[str, str | None, AuthMethod]
) -> None:
    assert parse_credentials(authorization, form(**parameters)) == ClientCredentials(*expected)


TWO_METHODS = [
    ("Basic and post", basic("id:secret"), {"client_id": "id", "client_secret": "secret"}),
    ("Basic and a secret alone", basic("id:secret"), {"client_secret": "secret"}),
    ("Basic and an assertion", basic("id:secret"), {"client_assertion": "x"}),
    ("post and an assertion", None, {"client_id": "id", "client_secret": "secret", "client_assertion": "x"}),
    ("a bearer and post", "Bearer x", {"client_id": "id", "client_secret": "secret"}),
    ("malformed Basic and post", "Basic !", {"client_id": "id", "client_secret": "secret"}),
    ("Basic and another client_id", basic("id:secret"), {"client_id": "other"}),
    ("Basic and client_id in another case", basic("id:secret"), {"client_id": "ID"}),
]


@pytest.mark.parametrize(("authorization", "parameters"), [pytest.param(*row, id=name) for name, *row in TWO_METHODS])
def test_two_methods_at_once_are_refused(authorization: str | None, parameters: dict[str, str]) -> None:
    """CLA-01."""
    with pytest.raises(InvalidRequest):
        parse_credentials(authorization, form(**parameters))


MALFORMED = [
    ("nothing", None, {}),
    ("a secret without client_id", None, {"client_secret": "secret"}),
    ("an assertion, which nobody reads yet", None, {"client_id": "id", "client_assertion": "x"}),
    ("an empty header", "", {}),
    ("a header beside client_id", "", {"client_id": "id"}),
    ("ATK-23 a bearer", "Bearer eyJ", {}),
    ("ATK-23 a bearer beside client_id", "Bearer eyJ", {"client_id": "id"}),
    ("scheme alone", "Basic", {}),
    ("scheme and blank", "Basic ", {}),
    ("no blank", "Basic" + basic("id:secret")[6:], {}),
    ("CLA-06 no colon", basic("id"), {}),
    ("CLA-06 an encoded colon is none", basic("id%3Asecret"), {}),
    ("CLA-06 no base64", "Basic !!!!", {}),
    ("CLA-06 no padding", "Basic aWQ6c2VjcmV0Cg", {}),
    ("CLA-06 blank inside", "Basic aWQ6 c2Vj", {}),
    ("CLA-06 base64url", "Basic aWQ6_-__", {}),
    ("CLA-06 two credentials", basic("id:secret") + ", " + basic("id:secret"), {}),
    ("no client_id", basic(":secret"), {}),
    ("not UTF-8", basic(b"id:\xff"), {}),
    ("not UTF-8 once decoded", basic("id:%FF"), {}),
    ("not VSCHAR", basic("id:%C3%BC"), {}),
    ("NUL in client_id", basic("i%00d:secret"), {}),
    ("line end in client_id", basic("id%0A:secret"), {}),
    ("letters outside of Latin-1", "Basic \u0100", {}),
    ("not VSCHAR in the body", None, {"client_id": "ü"}),
    ("ATK-48 line end in the body", None, {"client_id": "id\r\n", "client_secret": "secret"}),
    ("ATK-81 client_id of 257", None, {"client_id": "x" * 257}),
    ("ATK-81 a secret of 1 025", None, {"client_id": "id", "client_secret": "x" * 1025}),
    ("ATK-81 a secret of 1 MB", basic("id:" + "x" * 1_000_000), {}),
    ("ATK-81 a header of 5 000", "Basic " + "A" * 5000, {}),
]


@pytest.mark.parametrize(("authorization", "parameters"), [pytest.param(*row, id=name) for name, *row in MALFORMED])
def test_malformed_credentials_fail_like_wrong_ones(authorization: str | None, parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidClient) as raised:
        parse_credentials(authorization, form(**parameters))

    assert raised.value.description == InvalidClient().description


def test_the_longest_credentials_find_room_however_they_are_encoded() -> None:
    client_id, secret = "i" * 256, "s" * 1024
    header = basic("%69" * 256 + ":" + "%73" * 1024)

    assert parse_credentials(header, form()) == ClientCredentials(client_id, secret, AuthMethod.BASIC)


VSCHAR = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30)


@given(VSCHAR, VSCHAR)
def test_what_a_client_encodes_comes_back(client_id: str, secret: str) -> None:
    header = basic(f"{quote_plus(client_id)}:{quote_plus(secret)}")

    assert parse_credentials(header, form()) == ClientCredentials(client_id, secret, AuthMethod.BASIC)


@given(st.none() | st.text() | st.text().map("Basic {}".format) | st.binary().map(basic), st.text(), st.text())
def test_any_header_and_body_are_read_or_refused(authorization: str | None, client_id: str, secret: str) -> None:
    body = Form({"client_id": [client_id], "client_secret": [secret]})
    for parameters in (body, form()):
        try:
            parse_credentials(authorization, parameters)
        except (InvalidClient, InvalidRequest):
            continue


def test_credentials_do_not_print_their_secret() -> None:
    """ATK-102."""
    assert "hush" not in repr(ClientCredentials("id", "hush", AuthMethod.POST))


# --- Checking them

NOW = datetime(2026, 11, 2, tzinfo=UTC)
CLIENT = Client(
    client_id="id",
    name="",
    secret_digests=(sha256(b"new").digest(), sha256(b"old").digest()),
    auth_method=None,
    grant_types=frozenset(),
    scope=(),
    audiences=(),
    serves=frozenset(),
    introspection=IntrospectionRight.AUDIENCE,
    first_party=False,
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
    disabled_at=None,
    old_secret_expires_at=NOW + timedelta(seconds=1),
)
BASIC_CLIENT = replace(CLIENT, auth_method=AuthMethod.BASIC)
POST_CLIENT = replace(CLIENT, auth_method=AuthMethod.POST)
PUBLIC_CLIENT = replace(CLIENT, auth_method=AuthMethod.NONE, secret_digests=())

BY_BASIC = ClientCredentials("id", "new", AuthMethod.BASIC)
BY_OLD = ClientCredentials("id", "old", AuthMethod.BASIC)
BY_POST = ClientCredentials("id", "new", AuthMethod.POST)
BY_NAME = ClientCredentials("id", None, AuthMethod.NONE)


@pytest.mark.parametrize(
    ("client", "credentials"),
    [
        pytest.param(CLIENT, BY_BASIC, id="CLA-04 basic, when both are allowed"),
        pytest.param(CLIENT, BY_POST, id="CLA-04 post, when both are allowed"),
        pytest.param(CLIENT, BY_OLD, id="CLA-16 the older of two secrets"),
        pytest.param(BASIC_CLIENT, BY_BASIC, id="CLA-04 basic"),
        pytest.param(POST_CLIENT, BY_POST, id="CLA-04 post"),
        pytest.param(PUBLIC_CLIENT, BY_NAME, id="CLA-08 a public client names itself"),
    ],
)
def test_a_client_is_who_it_proves_to_be(client: Client, credentials: ClientCredentials) -> None:
    assert check_authentication(client, credentials, NOW) is client


REFUSED = [
    ("CLA-07 unknown, by basic", None, BY_BASIC),
    ("CLA-07 unknown, by name", None, BY_NAME),
    ("CLA-07 wrong secret", CLIENT, replace(BY_BASIC, secret="wrong")),
    ("CLA-07 disabled", replace(CLIENT, disabled_at=CLIENT.created_at), BY_BASIC),
    ("CLA-07 disabled and public", replace(PUBLIC_CLIENT, disabled_at=CLIENT.created_at), BY_NAME),
    ("CLA-04 post, registered basic", BASIC_CLIENT, BY_POST),
    ("CLA-04 basic, registered post", POST_CLIENT, BY_BASIC),
    ("CLA-08 a confidential client by name", CLIENT, BY_NAME),
    ("CLA-08 a basic client by name", BASIC_CLIENT, BY_NAME),
    ("CLA-08 a public client by basic", PUBLIC_CLIENT, BY_BASIC),
    ("CLA-08 a public client by post", PUBLIC_CLIENT, BY_POST),
    ("CLA-08 a public client with an empty secret", PUBLIC_CLIENT, replace(BY_BASIC, secret="")),
    ("a public client that still has a secret", replace(PUBLIC_CLIENT, secret_digests=CLIENT.secret_digests), BY_POST),
    ("ATK-81 empty", CLIENT, replace(BY_BASIC, secret="")),
    ("ATK-81 no secret in the row", replace(CLIENT, secret_digests=()), BY_BASIC),
    ("ATK-81 no secret in the row, none sent", replace(CLIENT, secret_digests=()), replace(BY_BASIC, secret="")),
    ("ATK-81 digest of nothing in the row", replace(CLIENT, secret_digests=(sha256(b"").digest(),)), BY_NAME),
    ("ATK-81 the same, empty", replace(CLIENT, secret_digests=(sha256(b"").digest(),)), replace(BY_POST, secret="")),
    ("ATK-81 empty digest in the row", replace(CLIENT, secret_digests=(b"",)), BY_BASIC),
    ("ATK-81 rotated out", replace(CLIENT, secret_digests=CLIENT.secret_digests[1:]), BY_BASIC),
    ("CLA-16 the older one, its time over", replace(CLIENT, old_secret_expires_at=NOW), BY_OLD),
    ("CLA-16 the older one, without a time", replace(CLIENT, old_secret_expires_at=None), BY_OLD),
    (
        "CLA-16 a third one",
        replace(CLIENT, secret_digests=(sha256(b"1").digest(), sha256(b"2").digest(), sha256(b"old").digest())),
        BY_OLD,
    ),
    ("ATK-81 prefix", CLIENT, replace(BY_BASIC, secret="ne")),
    ("ATK-81 longer", CLIENT, replace(BY_BASIC, secret="new ")),
    ("ATK-81 the digest itself", CLIENT, replace(BY_BASIC, secret=sha256(b"new").hexdigest())),
]


@pytest.mark.parametrize(("client", "credentials"), [pytest.param(*row, id=name) for name, *row in REFUSED])
def test_every_failure_looks_the_same(client: Client | None, credentials: ClientCredentials) -> None:
    """CLA-07."""
    with pytest.raises(InvalidClient) as raised:
        check_authentication(client, credentials, NOW)

    assert raised.value.args == InvalidClient().args
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("client", "comparisons"),
    [(None, 1), (replace(CLIENT, secret_digests=()), 1), (PUBLIC_CLIENT, 1), (CLIENT, 2)],
)
def test_a_secret_is_compared_with_every_digest_and_at_least_once(
    client: Client | None, comparisons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLA-07: the first of two that matches ends nothing."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    try:
        check_authentication(client, replace(BY_BASIC, secret="old"), NOW)
    except InvalidClient:
        assert client is not CLIENT

    assert len(compared) == comparisons
