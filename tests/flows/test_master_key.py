"""The exchange of the master key, step by step, under a service that goes on (JWK-10)."""

import pytest

from authsvc.errors import ConfigurationError, InvalidGrant
from authsvc.flows.master_key import Resealed
from authsvc.protocol.keys import format_master_key, master_key_id, parse_master_key
from tests.flows.workers import Caller, active_everywhere, cheap, contents, count, kid_of, sql, worker_on
from tests.house_of import MASTER_KEY, FakeClock

NEW = format_master_key(bytes(range(32)))
STRANGE = format_master_key(bytes(range(100, 132)))
SEALED_UNDER = """
    SELECT array_agg(DISTINCT master_key_id) FROM (
        SELECT master_key_id FROM auth.signing_keys UNION ALL SELECT master_key_id FROM auth.sealed_secrets) each
"""

pytestmark = pytest.mark.usefixtures("no_refresh")


async def sealed_under(url: str) -> list[str]:
    return list(await sql(url, SEALED_UNDER))


def id_of(text: str) -> str:
    return master_key_id(parse_master_key(text))


async def test_the_drill(database_url: str) -> None:
    """The steps of docs/operations.md, on two workers that are restarted one by one."""
    clock = FakeClock()
    before = cheap(database_url)
    both = cheap(database_url, master_key=NEW, master_key_previous=MASTER_KEY)
    after = cheap(database_url, master_key=NEW)
    async with worker_on(before, clock) as old:
        owner = await old.client()
        await old.register()
        login = await old.open_session()
        refresh_token, user_interface = str(login.refresh_token), Caller(login.client_id, None)
        tokens = [await old.mint(owner)]
        async with worker_on(both, clock) as new:
            tokens.append(await new.mint(owner))
            assert kid_of(tokens[0]) == kid_of(tokens[1]), "it opens what was sealed before"
            secrets = await count(database_url, "sealed_secrets")
            assert await new.flows.master_key.reseal() == Resealed(signing_keys=6, secrets=secrets)
            assert await sealed_under(database_url) == [id_of(NEW)]
            assert await new.flows.master_key.reseal() == Resealed(0, 0)
            assert secrets >= 1
            # One that was not restarted in time goes on with what it has opened before.
            await old.flows.keys.refresh()
            tokens.append(await old.mint(owner))
            async with worker_on(after, clock) as newest:
                await newest.flows.keys.rotate()
                tokens.append(await newest.mint(owner))
                for token in tokens:
                    assert await active_everywhere([newest, new], owner, token)
                assert await newest.refresh(user_interface, refresh_token), "the secret inside has not changed"
    with pytest.raises(ConfigurationError, match=id_of(NEW)):
        async with worker_on(before, clock):
            pass


async def test_what_neither_key_opens_changes_nothing_at_all(database_url: str) -> None:
    async with worker_on(cheap(database_url)) as worker:
        await worker.register()
        await worker.log_in()
    await sql(database_url, "UPDATE auth.sealed_secrets SET master_key_id = $1", id_of(STRANGE))
    before = await contents(database_url)
    async with worker_on(cheap(database_url, master_key=NEW, master_key_previous=MASTER_KEY)) as worker:
        with pytest.raises(ConfigurationError, match=id_of(STRANGE)):
            await worker.flows.master_key.reseal()
    assert await contents(database_url) == before


async def test_a_next_key_that_cannot_be_opened_is_noticed_at_the_start(database_url: str) -> None:
    """And not when it is to sign, months later."""
    async with worker_on(cheap(database_url)):
        pass
    await sql(database_url, "UPDATE auth.signing_keys SET master_key_id = $1 WHERE signs_from IS NULL", id_of(STRANGE))
    with pytest.raises(ConfigurationError, match=id_of(STRANGE)):
        async with worker_on(cheap(database_url)):
            pass


async def test_a_secret_that_was_deleted_is_made_anew_and_what_came_of_it_is_void(database_url: str) -> None:
    async with worker_on(cheap(database_url)) as worker:
        await worker.register()
        login = await worker.open_session()
    await sql(database_url, "DELETE FROM auth.sealed_secrets WHERE name = 'refresh tokens'")
    async with worker_on(cheap(database_url)) as worker:
        user_interface = Caller(login.client_id, None)
        with pytest.raises(InvalidGrant):
            await worker.refresh(user_interface, str(login.refresh_token))
        assert await worker.refresh(user_interface, str((await worker.open_session()).refresh_token))
