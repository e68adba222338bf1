"""docs/gateways.md, "Apps in browsers": nginx with those lines lets a page through by the cookie of its session."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.embedded import Stores
from tests.deploy.test_gateways import FORGED, ORDERS, Gateway, _nginx, seen
from tests.deploy.tools import ROOT
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, serving
from tests.stores import fresh_database

APP = "http://127.0.0.1:8091"
ADA = {"email": "ada@example.com", "password": PASSWORD}


@pytest.fixture
def service(stores: Stores, migrated_template: str, tmp_path: Path) -> Iterator[Service]:
    with (
        fresh_database(stores, migrated_template) as database_url,
        serving(database_url, tmp_path / "log", AUTHSVC_APP_ORIGINS=APP) as service,
    ):
        service.cli("user", "create", "--email", ADA["email"], "--password-stdin", stdin=PASSWORD)
        yield service


@pytest.fixture
def nginx(service: Service) -> Iterator[Gateway]:
    text = (ROOT / "docs" / "gateways.md").read_text().partition("## Apps in browsers\n")[2]
    (asked,) = re.findall("```\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    command = re.findall("`authsvc (client update first-party [^`]*)`", text)[0]
    service.cli(*(word.replace("+", " ") for word in re.sub('"(.*?)"', _one_word, command).split()))
    line = "proxy_set_header Authorization $http_authorization;"
    forgotten = 'proxy_set_header Authorization "";'
    changes = {line: asked, forgotten: f'{forgotten} proxy_set_header Cookie "";'}
    gateway = service.client("--serves", ORDERS)
    with _nginx(service, service.base.removeprefix("http://"), gateway, changes) as started:
        yield started


def _one_word(found: "re.Match[str]") -> str:
    return found[1].replace(" ", "+")


def test_a_page_is_let_through_by_its_cookie_and_nobody_else_is(service: Service, nginx: Gateway) -> None:
    # CSR-01, SES-04, ATK-61, ATK-62, ATK-66
    ours = {"origin": APP, "sec-fetch-site": "same-site"}
    session = f"{service.base}/api/v1/session"
    answer = fetch.post(session, json=ADA, headers=ours)
    told, cookie = answer.json(), answer.headers["set-cookie"].partition(";")[0]
    page = {**ours, "cookie": cookie, "x-csrf-token": told["csrf_token"]}

    got = seen(nginx.ask(None, **page, **FORGED))
    assert [got[f"auth-{name}"] for name in ("subject", "client")] == [told["user"]["sub"], "first-party"]
    assert set(got["auth-scope"].split()) == {"profile", "email", "orders"}
    assert got.keys().isdisjoint({"cookie", "authorization", "gateway-session", "gateway-authorization"})
    assert seen(nginx.ask(nginx.token(nginx.of_orders)))["auth-subject"] == nginx.of_orders[0]  # tokens as ever

    for change, status in (
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"x-csrf-token": "x"}, 403),
        ({"cookie": "sid=" + "A" * 43}, 401),
        ({"cookie": "none=1"}, 401),
        ({"authorization": f"Bearer {nginx.token(nginx.of_orders)}"}, 401),
    ):
        assert nginx.http.get("/orders/1", headers={**page, **change}).status_code == status, change
    assert fetch.get(session, headers=page).status_code == 200

    service.cli("user", "revoke-tokens", ADA["email"])
    assert nginx.ask(None, **page).status_code == 401
