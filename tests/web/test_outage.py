"""PostgreSQL is away, slow or foreign: a 503 and never a guess (spec: C4, REV-08, JWP-02, ATK-31, FLT-28 to 37)."""

import asyncio
import time
from typing import Any

import asyncpg
import httpx2
import pytest

from authsvc import wiring
from authsvc.web.errors import render_problem
from authsvc.web.routes import ROWS, Auth, Row
from tests.caches.filled import be_patient
from tests.house_of import PASSWORD, House, bearer, database_away, house_on, settings_for
from tests.web.answers import check_oauth_error, check_problem
from tests.web.browsing import PUSHED, PUSHES

NEEDS_IT = [row for row in ROWS if not (row.method == "GET" and row.auth is Auth.PUBLIC)]
DOCUMENTS = [row for row in ROWS if row.method == "GET" and row.auth is Auth.PUBLIC]
JSON_BODIES: dict[str, dict[str, str]] = {
    "/api/v1/login": {"email": "ada@example.com", "password": PASSWORD},
    "/api/v1/users": {"email": "eve@example.com", "password": PASSWORD},
    "/api/v1/me/claims": {"name": "Ada"},
    "/api/v1/me/password": {"current_password": PASSWORD, "new_password": PASSWORD},
}


async def call(house: House, row: Row, auth: tuple[str, str], client_token: str, user_token: str) -> httpx2.Response:
    """A good call of this route."""
    if row.auth is Auth.CLIENT:
        form = {"grant_type": "client_credentials", "token": client_token} | PUSHED
        return await house.http.post(row.path, data=form, auth=auth)
    headers = bearer(user_token) if row.auth is Auth.USER else {}
    body: dict[str, Any] = {"json": JSON_BODIES[row.path]} if row.path in JSON_BODIES else {}
    return await house.http.request(row.method, row.path, headers=headers, **body)


def check_unavailable(row: Row, answer: httpx2.Response) -> None:
    if row.errors is not render_problem:
        check_oauth_error(answer, 503, "temporarily_unavailable")
    else:
        check_problem(answer, 503, "temporarily-unavailable")
    assert b"active" not in answer.content


async def test_while_the_database_is_away_nothing_is_guessed_and_the_documents_are_served(house: House) -> None:
    # FLT-35
    # C4, GEN-13, REV-08, JWP-02, HLT-04, ATK-31
    client, first_party = await house.client(**PUSHES), await house.client(public=True)
    auth = house.basic(client)
    live, dead, revoked_in_vain = [await house.token(client) for _ in range(3)]
    await house.user()
    user_token = await house.log_in()
    await house.http.post("/oauth2/revoke", data={"token": dead}, auth=auth)
    assert await house.introspect(client, dead) == {"active": False}
    documents = {row.path: await house.http.get(row.path) for row in DOCUMENTS}

    async with database_away(house.settings.database_url):
        for row in NEEDS_IT:
            check_unavailable(row, await call(house, row, auth, live, user_token))
        # Nobody is told "wrong": not the client, not the user, whether they are or not.
        for email in ("ada@example.com", "nobody@example.com"):
            answer = await house.http.post("/api/v1/login", json={"email": email, "password": "wrong"})
            check_problem(answer, 503, "temporarily-unavailable")
        for unknown in (("cli_never_seen", "x"), (first_party.client_id, "x")):
            answer = await house.http.post("/oauth2/introspect", data={"token": live}, auth=unknown)
            check_oauth_error(answer, 503, "temporarily_unavailable")
        answer = await house.http.post("/oauth2/revoke", data={"token": revoked_in_vain}, auth=auth)
        check_oauth_error(answer, 503, "temporarily_unavailable")
        # What was seen dead stays dead: that is final, and no guess.
        assert await house.introspect(client, dead) == {"active": False}
        # What is refused for its own sake is refused as ever.
        check_problem(await house.http.get("/api/v1/me", headers=bearer("garbage")), 401, "invalid-token")
        check_oauth_error(await house.http.post("/oauth2/introspect", data={"token": live}), 401, "invalid_client")
        assert (await house.http.get("/nowhere")).status_code == 404
        for path, before in documents.items():
            now = await house.http.get(path)
            assert (now.status_code, now.content) == (200, before.content)
            assert now.headers["etag"] == before.headers["etag"]
        # When the copy of the caller is too old, it is not believed either.
        house.clock.advance(1)
        answer = await house.http.post("/oauth2/introspect", data={"token": live}, auth=auth)
        check_oauth_error(answer, 503, "temporarily_unavailable")

    # And back, without anybody doing anything (FLT-37); nothing was half done.
    assert (await house.introspect(client, live))["active"] is True
    assert (await house.introspect(client, revoked_in_vain))["active"] is True
    assert await house.introspect(client, dead) == {"active": False}
    assert (await house.http.get("/api/v1/me", headers=bearer(user_token))).status_code == 200
    assert await house.sql("SELECT count(*) FROM auth.users") == 1
    answer = await house.http.post("/oauth2/revoke", data={"token": revoked_in_vain}, auth=auth)
    assert answer.status_code == 200
    assert await house.introspect(client, revoked_in_vain) == {"active": False}


async def test_questions_that_were_on_their_way_are_answered_with_the_truth_or_with_503(house: House) -> None:  # FLT-37
    client = await house.client()
    live, dead = await house.token(client), await house.token(client)
    await house.http.post("/oauth2/revoke", data={"token": dead}, auth=house.basic(client))

    async def ask(token: str) -> httpx2.Response:
        return await house.http.post("/oauth2/introspect", data={"token": token}, auth=house.basic(client))

    async def check_for_ever(token: str, active: bool) -> None:
        while not done:
            answer = await ask(token)
            if answer.status_code == 200:
                assert answer.json()["active"] is active
            else:
                check_oauth_error(answer, 503, "temporarily_unavailable")
            await asyncio.sleep(0)

    done = False
    asking = [asyncio.create_task(check_for_ever(token, token == live)) for token in (live, dead) * 4]
    for _ in range(3):
        async with database_away(house.settings.database_url):
            assert (await ask(live)).status_code == 503
        assert (await ask(live)).json()["active"] is True
    done = True
    await asyncio.gather(*asking)


async def test_with_redis_an_outage_that_is_shorter_than_the_lease_is_not_seen_by_who_introspects(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # FLT-34, FLT-35
    be_patient(monkeypatch)
    monkeypatch.setattr(wiring, "LEASE_SECONDS", 0.02)
    monkeypatch.setattr(wiring, "WARM_UP_SECONDS", 0.02)
    async with house_on(settings_for(database_url, redis_url=redis_url, token_cache=0)) as house:
        client = await house.client()
        auth, live, dead = house.basic(client), await house.token(client), await house.token(client)
        await house.http.post("/oauth2/revoke", data={"token": dead}, auth=auth)
        lease = house.flows.introspection._client_auth._copies._lease
        async with asyncio.timeout(20):
            while lease.current() is None:
                await asyncio.sleep(0.01)
        assert (await house.introspect(client, live))["active"] is True
        async with database_away(house.settings.database_url):
            for _ in range(4):
                house.clock.advance(1.2)
                assert (await house.introspect(client, live))["active"] is True
                assert await house.introspect(client, dead) == {"active": False}
            # Not without a word of the client's: its secret is as needed as ever.
            wrong = await house.http.post("/oauth2/introspect", data={"token": live}, auth=(auth[0], "wrong"))
            check_oauth_error(wrong, 503, "temporarily_unavailable")
            house.clock.advance(1.2)
            for token in (live, dead):
                answer = await house.http.post("/oauth2/introspect", data={"token": token}, auth=auth)
                check_oauth_error(answer, 503, "temporarily_unavailable")
                assert int(answer.headers["retry-after"]) > 0
        assert (await house.introspect(client, live))["active"] is True
        assert await house.introspect(client, dead) == {"active": False}


async def test_a_service_that_starts_while_the_database_is_away_serves_when_it_is_back(database_url: str) -> None:
    # FLT-28
    async with database_away(database_url), house_on(settings_for(database_url)) as house:
        for row in ROWS:
            answer = await call(house, row, ("cli_x", "y"), "a.b.c", "a.b.c")
            if row in DOCUMENTS and row.path != "/.well-known/jwks.json":
                assert answer.status_code == 200
            else:
                check_unavailable(row, answer)  # it has never read the keys: it knows no token from any other
    async with house_on(settings_for(database_url)) as house:
        client = await house.client()
        assert (await house.introspect(client, await house.token(client)))["active"] is True


async def test_a_database_without_the_schema_is_none(empty_database_url: str) -> None:  # FLT-28
    async with house_on(settings_for(empty_database_url)) as house:
        for row in ROWS:
            if row not in DOCUMENTS or row.path == "/.well-known/jwks.json":
                check_unavailable(row, await call(house, row, ("cli_x", "y"), "a.b.c", "a.b.c"))


async def test_a_database_that_refuses_sessions_is_none(house: House) -> None:
    client = await house.client()
    token = await house.token(client)
    database = house.settings.database_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(house.settings.database_url.replace(f"/{database}?", "/postgres?"))
    try:
        await connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)
        for _ in range(5):  # the first finds its session gone, and those after it open new ones
            answer = await house.http.post("/oauth2/introspect", data={"token": token}, auth=house.basic(client))
            check_oauth_error(answer, 503, "temporarily_unavailable")
    finally:
        await connection.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await connection.close()
    assert (await house.introspect(client, token))["active"] is True


async def test_a_database_that_hangs_is_given_up_in_time_and_leaks_nothing(database_url: str) -> None:  # FLT-36
    settings = settings_for(database_url, database_timeout_ms=200, database_pool=2)
    async with house_on(settings) as house:
        client = await house.client()
        auth, token = house.basic(client), await house.token(client)
        blocker = await asyncpg.connect(database_url)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE auth.token_blacklist IN ACCESS EXCLUSIVE MODE")
                started = time.perf_counter()
                answers = await asyncio.gather(
                    *(house.http.post("/oauth2/introspect", data={"token": token}, auth=auth) for _ in range(20)),
                    *(house.http.post("/oauth2/revoke", data={"token": token}, auth=auth) for _ in range(5)),
                    *(house.http.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth),),
                )
                assert time.perf_counter() - started < 20  # and not for as long as the lock is held
                for answer in answers:
                    check_oauth_error(answer, 503, "temporarily_unavailable")
        finally:
            await blocker.close()
        assert (await house.introspect(client, token))["active"] is True
        assert (await house.http.post("/oauth2/revoke", data={"token": token}, auth=auth)).status_code == 200
        assert await house.introspect(client, token) == {"active": False}


@pytest.mark.parametrize("path", ["/oauth2/introspect", "/oauth2/revoke"])
async def test_garbage_costs_the_database_nothing(house: House, path: str) -> None:  # ATK-35, ATK-36
    """With the caller known, a text that is no token is answered from memory."""
    client = await house.client()
    await house.introspect(client, "garbage")
    async with database_away(house.settings.database_url):
        for token in ("garbage", "a.b.c", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"):
            answer = await house.http.post(path, data={"token": token}, auth=house.basic(client))
            assert answer.status_code == 200
            assert answer.content in {b'{"active":false}', b""}
