"""No secret in any log line or error body, whatever is sent and whatever goes wrong (spec: AUD-02, AUD-03, ATK-102)."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from authsvc import logs
from tests.house_of import PASSWORD, House, bearer, database_away

NEW_PASSWORD = "xyzzy plugh plover fee fie foe"
WRONG = "wrong guess of a password"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that this process logs meanwhile, as it would be written."""
    root = logging.getLogger()
    level, stream = root.level, io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    logging.captureWarnings(False)
    root.setLevel(level)
    for handler in [each for each in root.handlers if isinstance(each, logs._Handler)]:
        root.removeHandler(handler)


async def test_nothing_that_opens_a_door_is_written_or_told(
    house: House, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await house.client()
    client_id, secret = house.basic(client)
    await house.user()
    user_token = await house.log_in()
    client_token = await house.token(client)
    secrets = [secret, PASSWORD, NEW_PASSWORD, WRONG, user_token, client_token]
    told: list[str] = []

    async def play() -> None:
        for auth in ((client_id, secret), (client_id, secret + "x")):
            for path in ("/oauth2/introspect", "/oauth2/revoke", "/oauth2/token"):
                form = {"token": client_token, "grant_type": "client_credentials"}
                told.append((await house.http.post(path, data=form | {"scope": '"'}, auth=auth)).text)
                told.append((await house.http.post(f"{path}?client_secret={secret}", data=form)).text)
                told.append((await house.http.post(path, json=form | {"client_secret": secret})).text)
                told.append((await house.http.get(f"{path}?token={user_token}")).text)
        for password in (WRONG, {"x": PASSWORD}, [PASSWORD], PASSWORD * 200):
            for body in ({"email": "ada@example.com"}, {"email": "ada\r\n{}"}, {"user": "ada@example.com"}):
                told.append((await house.http.post("/api/v1/login", json=body | {"password": password})).text)
                told.append((await house.http.post("/api/v1/users", json=body | {"password": password})).text)
        told.append((await house.http.get(f"/api/v1/me?access_token={user_token}")).text)
        told.append((await house.http.get(f"/api/v1/{user_token}", headers=bearer(user_token))).text)
        told.append((await house.http.get("/api/v1/me", headers=bearer(user_token + "x"))).text)
        change = {"current_password": WRONG, "new_password": NEW_PASSWORD}
        told.append((await house.http.post("/api/v1/me/password", json=change, headers=bearer(user_token))).text)
        good = {"email": "ada@example.com", "password": PASSWORD}
        told.append((await house.http.post("/api/v1/users", json=good)).text)
        told.append((await house.http.post("/api/v1/login", json=good | {"client_id": "cli_unknown"})).text)

    await play()
    async with database_away(house.settings.database_url):
        await play()

    async def broken(*arguments: object, **_: object) -> None:
        raise RuntimeError(f"{arguments!r} {secret} Bearer {user_token}")

    for flow, method in (
        ("introspection", "introspect"),
        ("revocation", "revoke"),
        ("exchange", "exchange"),
        ("login", "log_in"),
        ("registration", "register"),
        ("account", "change_password"),
    ):
        monkeypatch.setattr(getattr(house.flows, flow), method, broken)
    monkeypatch.setattr(house.flows.access, "authorize_user", broken)
    await play()
    monkeypatch.undo()
    monkeypatch.setattr(house.flows.account, "change_password", broken)
    await play()
    monkeypatch.undo()
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await house.http.post("/api/v1/me/password", json=change, headers=bearer(user_token))

    written = log.getvalue()
    assert "the request failed" in written
    lines = [json.loads(line) for line in written.splitlines()]  # AUD-03: one record, one line
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    foreign = {line["logger"] for line in lines if not line["logger"].startswith("authsvc")}
    for each in secrets:
        assert each not in "".join(told), "an answer holds a secret"
        own = [line for line in lines if line["logger"] not in foreign]
        assert each not in json.dumps(own), "a log line holds a secret"
    assert foreign <= {"httpx2", "asyncio"}  # the test's own client, and the loop in debug mode
