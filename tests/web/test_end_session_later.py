"""/oauth2/logout when keys have come and gone, and when the store is away."""

import jwt
import pytest

from authsvc.protocol.rotation import RETIREMENT
from tests.house_of import House, database_away
from tests.web.browsing import Browser, a_client, answer_of
from tests.web.test_end_session import BYE, CONFIRM, END, is_asked, is_in, request, tokens_of


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_hint_outlives_its_key_unless_that_is_killed(house: House, is_killed: bool) -> None:  # RPL-02, OID-05
    """Sessions live for longer than keys verify."""
    await house.user()
    browser, keys = Browser(house), house.flows.keys
    client = await a_client(house, post_logout_redirect_uris=(BYE,))
    hint = (await tokens_of(browser, client))["id_token"]
    kid = jwt.get_unverified_header(hint)["kid"]
    house.clock.advance(1)
    await keys.rotate_all()
    house.clock.advance(2 * RETIREMENT.total_seconds())
    if is_killed:
        await keys.kill(kid)
    await keys.refresh()
    assert is_killed or kid not in keys.ring.verifiers
    asked = answer_of(await browser.authorize(client, prompt="none", id_token_hint=hint))
    assert asked.get("error") == ("login_required" if is_killed else None)
    page = await browser.http.get(END, params=request(hint, post_logout_redirect_uri=BYE))
    assert is_asked(page) is is_killed
    assert page.headers.get("location") == (None if is_killed else BYE)


@pytest.mark.parametrize("path", [END, CONFIRM])
async def test_without_the_store_nobody_is_told_that_they_are_out(house: House, path: str) -> None:  # C4
    await house.user()
    browser = Browser(house)
    client = await a_client(house, post_logout_redirect_uris=(BYE,))
    asked = request((await tokens_of(browser, client))["id_token"], post_logout_redirect_uri=BYE)
    async with database_away(house.settings.database_url):
        page = await browser.http.get(path, params=asked if path == END else {})
    assert page.status_code == 503
    assert int(page.headers["retry-after"]) > 0
    assert page.headers.keys().isdisjoint({"location", "set-cookie", "clear-site-data"})
    assert await is_in(browser)
