"""Too many attempts, as the caller sees it: 429 and Retry-After, the same for everybody (RTL-01, RTL-05, LOG-01)."""

from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx2
import pytest

from authsvc.models import GrantType
from tests.house_of import PASSWORD, House, bearer, house_on, settings_for
from tests.web.answers import check_equal, check_oauth_error, check_problem

PROXY = "127.0.0.1"
"""The peer of every request here, as the transport has it."""


@pytest.fixture
async def house(database_url: str, redis_url: str) -> AsyncIterator[House]:
    """One that allows two of everything."""
    settings = settings_for(
        database_url,
        redis_url=redis_url,
        trusted_proxies=(ip_network(PROXY),),
        login_attempts=2,
        registrations_per_address=2,
        client_failures=2,
        client_requests_per_minute=2,
        introspections_per_minute=2,
    )
    async with house_on(settings) as house:
        yield house


async def log_in(house: House, email: str, password: str = "wrong", **headers: str) -> httpx2.Response:
    body = {"email": email, "password": password}
    return await house.http.post("/api/v1/login", json=body, headers=headers)


def check_nothing_else_is_told(answer: httpx2.Response) -> None:
    """RTL-05, RTL-06."""
    assert not [name for name in answer.headers if "ratelimit" in name.lower()]


async def test_a_login_too_many_is_429_the_same_for_anybody(house: House) -> None:
    await house.user("ada@example.com")
    attempts = {"wrong": "wrong", "right": PASSWORD, "nobody": PASSWORD}
    refused = {}
    for who, password in attempts.items():
        email = "nobody@example.com" if who == "nobody" else "ada@example.com"
        for _ in range(2 if who in {"wrong", "nobody"} else 0):
            check_problem(await log_in(house, email), 401, "invalid-credentials")
        refused[who] = await log_in(house, email, password)
        check_problem(refused[who], 429, "too-many-attempts")
        check_nothing_else_is_told(refused[who])
        assert 1 <= int(refused[who].headers.pop("retry-after")) <= 450
    check_equal(refused)


async def test_a_client_behind_a_trusted_proxy_is_counted_by_its_own_address(house: House) -> None:
    def by(address: str) -> dict[str, str]:
        return {"X-Forwarded-For": f"203.0.113.9, {address}"}

    statuses = [(await log_in(house, "ada@example.com", **by("198.51.100.7"))).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert (await log_in(house, "ada@example.com", **by("198.51.100.8"))).status_code == 401
    assert (await log_in(house, "ada@example.com")).status_code == 401


async def test_who_connects_directly_is_not_believed(database_url: str, redis_url: str) -> None:
    async with house_on(settings_for(database_url, redis_url=redis_url, login_attempts=2)) as house:
        headers = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(3)]
        assert [(await log_in(house, "ada@example.com", **each)).status_code for each in headers] == [401, 401, 429]


async def test_a_registration_too_many_is_429(house: House) -> None:
    await house.user("ada@example.com")
    await house.user("bob@example.com")
    body = {"email": "eve@example.com", "password": PASSWORD}
    answer = await house.http.post("/api/v1/users", json=body)
    check_problem(answer, 429, "too-many-attempts")
    check_nothing_else_is_told(answer)


async def test_a_current_password_too_many_is_429(house: House) -> None:
    await house.user()
    token = bearer(await house.log_in())
    body = {"current_password": "wrong", "new_password": "another good password"}
    for _ in range(2):
        check_problem(await house.http.post("/api/v1/me/password", json=body, headers=token), 422, "invalid-value")
    body["current_password"] = PASSWORD
    check_problem(await house.http.post("/api/v1/me/password", json=body, headers=token), 429, "too-many-attempts")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/oauth2/token", {"grant_type": "client_credentials"}),
        ("/oauth2/introspect", {"token": "x"}),
        ("/oauth2/revoke", {"token": "x"}),
    ],
)
async def test_a_request_too_many_of_one_client_is_429(house: House, path: str, form: dict[str, str]) -> None:
    client, other = await house.client(), await house.client()
    for _ in range(2):
        assert (await house.http.post(path, data=form, auth=house.basic(client))).status_code == 200
    refused = await house.http.post(path, data=form, auth=house.basic(client))
    check_oauth_error(refused, 429, "temporarily_unavailable")
    check_nothing_else_is_told(refused)
    assert (await house.http.post(path, data=form, auth=house.basic(other))).status_code == 200


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"])
async def test_a_wrong_secret_too_many_is_429_known_or_not(house: House, path: str) -> None:  # GEN-10
    client, other = await house.client(), await house.client()
    form = {"token": "x", "grant_type": "client_credentials"}
    refused = {}
    for client_id in (client.client_id, "cli_nobody"):
        for _ in range(2):
            check_oauth_error(await house.http.post(path, data=form, auth=(client_id, "wrong")), 401, "invalid_client")
        refused[client_id] = await house.http.post(path, data=form, auth=(client_id, "wrong"))
        check_oauth_error(refused[client_id], 429, "temporarily_unavailable")
    check_equal(refused)
    for each in (client, other):
        assert (await house.http.post(path, data=form, auth=house.basic(each))).status_code == 200


async def test_what_is_refused_is_counted(house: House) -> None:
    client = await house.client(grant_types=(GrantType.CLIENT_CREDENTIALS,))
    for _ in range(4):
        await log_in(house, "ada@example.com")
        await house.http.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=house.basic(client))
    counted = house.flows.login._password._metrics
    assert counted.rate_limited["login"]._value.get() == 2
    assert counted.rate_limited["token"]._value.get() == 2
    assert counted.logins["password", "limited"]._value.get() == 2
    assert counted.logins["password", "failure"]._value.get() == 2
