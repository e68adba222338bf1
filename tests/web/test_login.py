"""POST /api/v1/login (spec: LOG-*, ATK-40 to ATK-50)."""

import asyncio
import threading
import unicodedata
from typing import Any

import httpx2
import pytest

from tests.house_of import ISSUER, PASSWORD, House, bearer, house_on, settings_for
from tests.web.answers import check_equal, check_not_stored, check_problem
from tests.web.forging import claims_of

LOGIN = "/api/v1/login"
EMAIL = "ada@example.com"


async def log_in(house: House, email: Any = EMAIL, password: Any = PASSWORD, **more: Any) -> httpx2.Response:
    return await house.http.post(LOGIN, json={"email": email, "password": password} | more)


def hashes_computed(house: House) -> float:
    """How often Argon2 has run in this service."""
    (family,) = house.flows.login._password._metrics.password_hash_duration.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_count"))


@pytest.fixture(scope="module")
async def sub(shared: House) -> str:
    """Ada, who is there for all tests of this file."""
    return await shared.user(EMAIL)


# --- What is given


async def test_a_login_gives_a_token_and_says_whose(shared: House, sub: str) -> None:
    answer = await log_in(shared)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)  # GEN-08, HDR-04
    assert "set-cookie" not in answer.headers
    told = answer.json()
    user = told.pop("user")
    assert claims_of(told.pop("access_token"))["sub"] == sub
    assert told.pop("refresh_token").startswith("asr_")
    assert told == {
        "token_type": "Bearer",
        "expires_in": shared.settings.access_token_seconds,
        "scope": "profile email",
        "client_id": "first-party",
    }
    assert user == {
        "sub": sub,
        "email": EMAIL,
        "email_verified": False,
        "claims": {},
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }


async def test_the_token_is_the_sessions_and_holds_nothing_personal(shared: House, sub: str) -> None:  # AT-04, AT-09
    claims = claims_of((await log_in(shared)).json()["access_token"])
    now = int(shared.clock.unix())
    for name in ("jti", "sid", "grant_id"):
        assert len(claims.pop(name)) >= 22  # 128 bits
    assert claims == {
        "iss": ISSUER,
        "sub": sub,
        "aud": [f"{ISSUER}/resources", f"{ISSUER}/api/v1"],
        "exp": now + shared.settings.access_token_seconds,
        "iat": now,
        "client_id": "first-party",
        "gen": {"c": 0, "g": 0, "u": 0},
        "scope": "profile email",
        "auth_time": now,
        "amr": ["pwd"],
    }


async def test_each_login_is_a_session_of_its_own(shared: House, sub: str) -> None:  # SES-01
    first, second = [claims_of(await shared.log_in()) for _ in range(2)]
    for name in ("jti", "sid", "grant_id"):
        assert first[name] != second[name]


@pytest.mark.parametrize(
    ("scope", "granted"), [("email", "email"), ("email profile", "email profile"), ("email email", "email")]
)
async def test_less_scope_can_be_asked_for(shared: House, sub: str, scope: str, granted: str) -> None:  # SCO-01
    answer = await log_in(shared, scope=scope)
    assert answer.json()["scope"] == granted == claims_of(answer.json()["access_token"])["scope"]


async def test_a_first_party_client_can_be_named(shared: House, sub: str) -> None:
    client = await shared.client(public=True, first_party=True, scope="orders", audiences=("https://a.example",))
    told = (await log_in(shared, client_id=client.client_id)).json()
    assert (told["client_id"], told["scope"]) == (client.client_id, "orders")
    claims = claims_of(told["access_token"])
    assert claims["client_id"] == client.client_id
    assert claims["aud"] == [f"{ISSUER}/resources", f"{ISSUER}/api/v1"]


@pytest.mark.parametrize(
    "email",
    ["ADA@example.com", "Ada@Example.COM", "ａｄａ@example.com", "ada＠example.com", "ada@example。com"],
)
async def test_every_spelling_of_the_address_is_the_same_account(shared: House, sub: str, email: str) -> None:
    assert (await log_in(shared, email)).json()["user"]["sub"] == sub  # LOG-09, ATK-47


async def test_a_password_is_normalised_and_nothing_else_is_done_to_it(shared: House) -> None:  # PWR-04
    composed = unicodedata.normalize("NFC", " Größe élan ﬁn ﬂut ")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    await shared.user("nfc@example.com", composed)
    await shared.user("nfd@example.com", decomposed)
    for email in ("nfc@example.com", "nfd@example.com"):
        for password in (composed, decomposed):
            assert (await log_in(shared, email, password)).status_code == 200
    # Trimmed, without the ligatures (NFKC would merge them), in another case.
    for wrong in (composed.strip(), unicodedata.normalize("NFKC", composed), composed.swapcase()):
        check_problem(await log_in(shared, "nfc@example.com", wrong), 401, "invalid-credentials")


# --- What is refused, and how


async def test_nobody_learns_from_a_refusal_whether_the_account_exists(house: House) -> None:
    # LOG-01, LOG-02, ATK-40, ATK-44, ATK-48
    gone = await house.user("gone@example.com")
    disabled = await house.user("disabled@example.com")
    sub = await house.user()
    await house.flows.users.delete(gone)
    await house.flows.users.disable(disabled)
    attempts = {
        "wrong password": (EMAIL, "wrong"),
        "empty password": (EMAIL, ""),
        "unknown": ("eve@example.com", PASSWORD),
        "unknown, empty password": ("eve@example.com", ""),
        "disabled, right password": ("disabled@example.com", PASSWORD),
        "disabled, wrong password": ("disabled@example.com", "wrong"),
        "deleted": ("gone@example.com", PASSWORD),
        "no address": ("", PASSWORD),
        "not an address": ("ada", PASSWORD),
        "the sub": (sub, PASSWORD),
        "two at signs": ("ada@example.com@example.com", PASSWORD),
        "SQL": ("' OR 1=1--", PASSWORD),
        "a pattern": ("a%@example.com", PASSWORD),
        "another pattern": ("_da@example.com", PASSWORD),
        "a star": ("*", PASSWORD),
        "a backslash": ("\\", PASSWORD),
        "NUL in the address": ("ada\0@example.com", PASSWORD),
        "NUL behind the password": (EMAIL, PASSWORD + "\0"),
        "a line feed behind the address": (EMAIL + "\n", PASSWORD),
        "a blank behind the address": (EMAIL + " ", PASSWORD),
        "a zero-width space": ("ada\u200b@example.com", PASSWORD),
        "a dot behind the address": (EMAIL + ".", PASSWORD),
        "a look-alike": ("аda@example.com", PASSWORD),  # the first letter is Cyrillic
        "an address of 60 KB": ("a" * 60_000 + "@example.com", PASSWORD),
    }
    answers = {}
    for name, (email, password) in attempts.items():
        before = hashes_computed(house)
        answers[name] = await log_in(house, email, password)
        assert hashes_computed(house) == before + 1, name  # always one, whoever it is
    problem = check_problem(answers["wrong password"], 401, "invalid-credentials")
    assert problem["detail"] == "the e-mail address or the password is wrong"

    # What stands in the row can be anything; it is never let in, and never costs more than one hash (ATK-44).
    stored_hashes = {
        "none": None,
        "empty": "",
        "plain text": PASSWORD,
        "bcrypt": "$2b$12$abcdefghijklmnopqrstuuOQ0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Qy",
        "another kind of Argon2": "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "4 GiB": "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "a billion passes": "$argon2id$v=19$m=19456,t=1000000000,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "a thousand lanes": "$argon2id$v=19$m=19456,t=2,p=1000$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "no hash of anything": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
        "cut off": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA",
    }
    for name, stored in stored_hashes.items():
        await house.sql("UPDATE auth.users SET password_hash = $2 WHERE sub = $1", sub, stored)
        before = hashes_computed(house)
        answers[f"stored: {name}"] = await log_in(house)
        assert hashes_computed(house) == before + 1, name
    check_equal(answers)
    assert await house.sql("SELECT count(*) FROM auth.sessions") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        PASSWORD + " ",
        " " + PASSWORD,
        PASSWORD.upper(),
        PASSWORD[:-1],
        PASSWORD + "x",
        PASSWORD.replace(" ", "\u00a0"),
        PASSWORD.replace("c", "ｃ"),
        PASSWORD + "\0",
        "\0" + PASSWORD,
        PASSWORD * 2,
    ],
    ids=repr,
)
async def test_almost_the_password_is_not_the_password(shared: House, sub: str, wrong: str) -> None:  # ATK-45
    check_problem(await log_in(shared, EMAIL, wrong), 401, "invalid-credentials")


LONG = "an old limit of some hashes is at 72 bytes, and this text is as long as 72 is."[:72]


@pytest.mark.parametrize(("right", "wrong"), [(LONG + "x", LONG + "y"), (PASSWORD + "\0b", PASSWORD + "\0c")])
async def test_every_letter_of_a_password_counts(shared: House, right: str, wrong: str) -> None:  # ATK-45, PWS-06
    email = f"letters{right[-1]}@example.com"
    await shared.user(email, right)
    for each in (wrong, right[:-1], right[:20]):
        check_problem(await log_in(shared, email, each), 401, "invalid-credentials")
    assert (await log_in(shared, email, right)).status_code == 200


@pytest.mark.parametrize("email", [EMAIL, "eve@example.com"], ids=["known", "unknown"])
@pytest.mark.parametrize("password", ["x" * 257, "é" * 600, "\u0301" * 300, "x" * 50_000], ids=lambda text: text[:3])
async def test_a_password_longer_than_any_is_refused_unhashed(
    shared: House, sub: str, email: str, password: str
) -> None:  # ATK-42, PWS-06
    before = hashes_computed(shared)
    problem = check_problem(await log_in(shared, email, password), 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "#/password"
    assert hashes_computed(shared) == before


@pytest.mark.parametrize(
    "client_id", ["", "cli_unknown", " ", "first-party\n", "FIRST-PARTY", "a\0b", "ü", "x" * 50_000]
)
async def test_an_unknown_client_is_refused(shared: House, sub: str, client_id: str) -> None:  # ATK-48
    problem = check_problem(await log_in(shared, client_id=client_id), 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "#/client_id"


async def test_a_client_that_may_not_log_users_in_is_refused_like_an_unknown_one(shared: House, sub: str) -> None:
    foreign = await shared.client(public=True)
    disabled = await shared.client(public=True, first_party=True)
    await shared.flows.clients.disable(disabled.client_id)
    check_equal(
        {
            client_id: await log_in(shared, client_id=client_id)
            for client_id in ("cli_unknown", foreign.client_id, disabled.client_id)
        }
    )


@pytest.mark.parametrize(
    "scope", ["admin", "email admin", "EMAIL", "", " ", "email  profile", "émail", "\0", "x" * 3000]
)
async def test_a_scope_that_the_client_has_not_is_refused(shared: House, sub: str, scope: str) -> None:  # SCO-01
    problem = check_problem(await log_in(shared, scope=scope), 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "#/scope"


async def test_the_built_in_client_has_openid_when_the_operator_gives_it(house: House) -> None:
    await house.user(EMAIL)
    check_problem(await log_in(house, scope="openid email"), 422, "invalid-value")
    assert "id_token" not in (await log_in(house)).json()
    await house.flows.clients.update("first-party", {"scope": "openid profile email"})
    house.clock.advance(2)
    told = (await log_in(house, scope="openid email")).json()
    assert claims_of(told["id_token"])["aud"] == "first-party"
    userinfo = await house.http.get("/oauth2/userinfo", headers=bearer(told["access_token"]))
    assert userinfo.json()["email"] == EMAIL


async def test_what_is_wrong_with_the_request_says_nothing_of_the_account(shared: House, sub: str) -> None:  # LOG-01
    for wrong in ({"client_id": "cli_unknown"}, {"scope": "admin"}):
        answers = {}
        for email in (EMAIL, "eve@example.com"):
            for password in (PASSWORD, "wrong"):
                answers[email + password] = await log_in(shared, email, password, **wrong)
        check_equal(answers)


async def test_a_storm_of_logins_is_shed_and_hurts_nobody_else(database_url: str) -> None:  # ATK-43, PWS-05
    settings = settings_for(database_url, password_hash_threads=1, password_hash_queue=2)
    async with house_on(settings) as house:
        client = await house.client()
        token = await house.token(client)
        slow = threading.Event()
        house.flows.login._password._passwords._hasher._executor.submit(
            slow.wait
        )  # the one thread is held up by something
        try:
            storm = [asyncio.create_task(log_in(house, f"u{n}@example.com", "wrong")) for n in range(20)]
            while sum(task.done() for task in storm) < 17:
                await asyncio.sleep(0.001)
            assert (await house.introspect(client, token))["active"] is True
        finally:
            slow.set()
        answers = await asyncio.gather(*storm)
        assert sorted(answer.status_code for answer in answers) == [401] * 3 + [503] * 17
        for answer in answers:
            if answer.status_code == 503:
                check_problem(answer, 503, "temporarily-unavailable")
            else:
                check_problem(answer, 401, "invalid-credentials")
        check_problem(await log_in(house), 401, "invalid-credentials")  # and there is room again
