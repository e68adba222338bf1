"""What operators do with users and clients (ATK-33)."""

import asyncio
from hashlib import sha256

import pytest

from authsvc.errors import Forbidden, InvalidGrant, InvalidToken, InvalidValue, NotFound
from authsvc.models import AuthMethod
from authsvc.protocol.clients import ClientRegistration
from tests.flows.workers import EMAIL, Caller, Worker, active_everywhere, contents, count, sql

PUBLIC = Caller("first-party", None)

# --- Users


async def test_a_user_is_found_by_sub_and_by_address(worker: Worker) -> None:
    sub = await worker.register()
    for name in (sub, EMAIL, "ADA@Example.com"):
        assert (await worker.flows.users.get(name)).sub == sub
    for name in ("", "usr_nobody", "nobody@example.com", "a@b@c", "@", "%", sub.upper()):
        with pytest.raises(NotFound):
            await worker.flows.users.get(name)


@pytest.mark.parametrize("act", ["disable", "delete", "revoke_tokens"])
async def test_whoever_is_disabled_deleted_or_revoked_is_out_everywhere(workers: list[Worker], act: str) -> None:
    """ATK-33: access tokens, refresh tokens and sessions, on every worker, when the call returns."""
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    await here.register("bob@example.com")
    bobs = await here.log_in("bob@example.com")
    opened = [await worker.open_session() for worker in workers * 2]
    await getattr(there.flows.users, act)(sub)
    for session in opened:
        assert not await active_everywhere(workers, asker, session.access_token)
        for worker in workers:
            assert not await worker.is_let_in(session.access_token)
            with pytest.raises(InvalidGrant):
                await worker.refresh(PUBLIC, str(session.refresh_token))
    assert await active_everywhere(workers, asker, bobs)
    url = here.settings.database_url
    live = "SELECT count(*) FROM auth.sessions WHERE sub = $1 AND ended_at IS NULL"
    assert await sql(url, live, sub) == 0


async def test_disabling_twice_enabling_twice_and_deleting_twice_is_told_the_truth(workers: list[Worker]) -> None:
    here, there = workers
    sub = await here.register()
    for _ in range(2):
        await here.flows.users.disable(sub)
    for _ in range(2):
        await there.flows.users.enable(sub)
    assert await here.log_in()
    await there.flows.users.delete(sub)
    with pytest.raises(NotFound):
        await here.flows.users.delete(sub)


async def test_acts_on_one_user_at_once_do_not_get_in_each_others_way(workers: list[Worker]) -> None:
    here, there = workers
    for turn in range(5):
        email = f"user{turn}@example.com"
        sub = await here.register(email)
        tokens = [await worker.log_in(email) for worker in workers]
        outcomes = await asyncio.gather(
            here.flows.users.disable(sub),
            there.flows.users.revoke_tokens(sub),
            here.flows.users.delete(sub),
            there.flows.users.disable(sub),
            there.flows.users.delete(sub),
            here.flows.users.revoke_tokens(sub),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} <= {type(None), NotFound}
        for token in tokens:
            assert not await here.is_let_in(token)
    assert await count(here.settings.database_url, "users") == 0


# --- Clients


async def test_the_secret_of_a_client_is_shown_once_and_kept_as_a_digest(worker: Worker) -> None:
    client, secret = await worker.flows.clients.create(ClientRegistration(name="a client"))
    assert secret is not None
    assert secret.startswith("as_")
    assert len(secret) >= 43
    assert client.secret_digests == (sha256(secret.encode()).digest(),)
    dump = await sql(worker.settings.database_url, "SELECT string_agg(c::text, ' ') FROM auth.clients c")
    assert secret not in dump
    assert secret not in repr(client)


async def test_a_public_client_has_no_secret(worker: Worker) -> None:
    client, secret = await worker.flows.clients.create(ClientRegistration(name="a client", public=True))
    assert (secret, client.secret_digests, client.auth_method) == (None, (), AuthMethod.NONE)


async def test_a_registration_that_contradicts_itself_makes_no_client(worker: Worker) -> None:
    before = await contents(worker.settings.database_url)
    for wrong in (
        ClientRegistration(name=""),
        ClientRegistration(name="a\0b"),
        ClientRegistration(name="a client", scope="a  b"),
        ClientRegistration(name="a client", audiences=("nothing",)),
        ClientRegistration(name="a client", public=True, auth_method=AuthMethod.BASIC),
    ):
        with pytest.raises(InvalidValue):
            await worker.flows.clients.create(wrong)
    assert await contents(worker.settings.database_url) == before


async def test_a_deleted_client_takes_its_sessions_and_tokens_along(workers: list[Worker]) -> None:
    here, there = workers
    asker = await here.client()
    client = await here.client(first_party=True, grant_types=())
    await here.register()
    token, other = await here.log_in(client_id=client.client_id), await here.log_in()
    await there.flows.clients.delete(client.client_id)
    assert not await active_everywhere(workers, asker, token)
    assert await active_everywhere(workers, asker, other)
    assert await count(here.settings.database_url, "sessions") == 1
    with pytest.raises(InvalidToken):
        await there.log_out(token)


async def test_clients_are_listed(worker: Worker) -> None:
    callers = [await worker.client() for _ in range(3)]
    listed = {client.client_id for client in await worker.flows.clients.list_all()}
    assert listed == {"first-party", *(caller.client_id for caller in callers)}


async def test_a_token_without_a_session_logs_nobody_out(worker: Worker) -> None:
    owner = await worker.client(audiences=(worker.settings.api_audience,))
    known = await worker.flows.access._recognition.recognise(await worker.mint(owner))
    assert known is not None
    with pytest.raises(Forbidden):
        await worker.flows.account.log_out(known.token)
