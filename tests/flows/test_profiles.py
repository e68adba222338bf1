"""Claims about users, on a real PostgreSQL: changed by whoever may, written down, and none of two changes lost."""

import asyncio
from typing import Any

import pytest

from authsvc.errors import InvalidToken, InvalidValue, NotFound
from authsvc.models import AccessToken
from tests.flows.workers import EMAIL, Worker, sql
from tests.house_of import PASSWORD

EVENTS = """
    SELECT json_agg(json_build_array(via, sub, details) ORDER BY at)::text
      FROM audit.security_events WHERE event = 'user_updated'
"""


async def token_of(worker: Worker) -> AccessToken:
    return await worker.flows.access.authorize_user(await worker.log_in())


async def test_a_user_changes_what_is_theirs_to_change(worker: Worker) -> None:
    sub = await worker.register()
    token = await token_of(worker)
    account = worker.flows.account
    assert (await account.find(token)).updated_at is None
    worker.clock.advance(60)
    changed = await account.change_claims(token, {"name": "Ada", "phone_number": "+33 1 23 45"})
    assert changed == await worker.flows.users.get(sub)
    assert changed.claims == {"name": "Ada", "phone_number": "+33 1 23 45"}
    assert changed.updated_at == worker.clock.now()
    with pytest.raises(InvalidValue):
        await account.change_claims(token, {"name": "Eve", "phone_number_verified": True})
    assert await account.find(token) == changed, "all of it or nothing"


async def test_a_change_that_changes_nothing_leaves_no_trace(worker: Worker) -> None:
    sub = await worker.register()
    await worker.flows.users.change_claims(sub, {"name": "Ada"})
    first = await worker.flows.users.get(sub)
    worker.clock.advance(60)
    assert await worker.flows.users.change_claims(sub, {"name": "Ada", "nickname": None}) == first
    assert await sql(worker.settings.database_url, "SELECT count(*) FROM audit.security_events "
                     "WHERE event = 'user_updated'") == 1  # fmt: skip


async def test_which_claims_were_changed_is_written_down_and_nothing_of_what_they_say(worker: Worker) -> None:
    sub = await worker.register()
    await worker.flows.users.change_claims(sub, {"name": "Ada", "phone_number": "+33 1", "nickname": "A"})
    await worker.flows.account.change_claims(await token_of(worker), {"name": "Ada", "nickname": None, "gender": "f"})
    told: Any = await sql(worker.settings.database_url, EVENTS)
    assert "Ada" not in told
    assert "+33" not in told
    assert told.count(sub) == 2
    assert '"claims": ["name", "nickname", "phone_number"]' in told
    assert '"claims": ["gender", "nickname"]' in told


async def test_of_twenty_changes_at_once_none_is_lost(workers: list[Worker]) -> None:
    sub = await workers[0].register()
    names = ("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "gender")
    await asyncio.gather(*(worker.flows.users.change_claims(sub, {name: "x"}) for worker in workers for name in names))
    assert (await workers[0].flows.users.get(sub)).claims == dict.fromkeys(names, "x")


async def test_nobody_has_no_claims(worker: Worker) -> None:
    sub = await worker.register()
    token = await token_of(worker)
    with pytest.raises(NotFound):
        await worker.flows.users.change_claims("usr_nobody", {"name": "Ada"})
    await sql(worker.settings.database_url, "DELETE FROM auth.users WHERE sub = $1", sub)
    with pytest.raises(InvalidToken):
        await worker.flows.account.change_claims(token, {"name": "Ada"})


async def test_an_operator_is_held_to_the_same_types_when_a_user_is_made(worker: Worker) -> None:
    for claims in ({"name": 1}, {"n": [1]}, {"email_verified": True}):
        with pytest.raises(InvalidValue):
            await worker.flows.registration.create(EMAIL, PASSWORD, claims=claims)
    made = await worker.flows.registration.create(EMAIL, PASSWORD, claims={"name": "Ada", "nickname": None})
    assert made.claims == {"name": "Ada"}
