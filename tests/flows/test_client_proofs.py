"""A header that was right is not read again, and that it was is forgotten with the copy of the client that said so."""

import asyncio
from datetime import timedelta

import pytest

from authsvc.errors import InvalidClient, InvalidRequest
from authsvc.flows import client_auth
from authsvc.models import AuthMethod, Client, GrantType
from authsvc.protocol.client_auth import PresentedCredentials, check_authentication
from authsvc.protocol.forms import Form
from tests.flows.workers import Caller, Worker, active_everywhere, find_address, with_and_without_redis


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The clients whose secrets were looked at."""
    clients: list[str] = []
    check = check_authentication

    def watched(client: Client | None, *rest: object) -> Client:
        clients.append("" if client is None else client.client_id)
        return check(client, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(client_auth, "check_authentication", watched)
    return clients


def proofs(worker: Worker) -> dict[bytes, object]:
    return worker.flows.exchange._client_auth._proofs  # type: ignore[return-value]


async def test_a_header_is_read_once_for_each_copy_of_its_client(worker: Worker, checked: list[str]) -> None:
    one, other = await worker.client(), await worker.client()
    for _ in range(3):
        for who in (one, other):
            assert (await worker.authenticate(who)).client.client_id == who.client_id
    assert checked == [one.client_id, other.client_id]
    worker.clock.advance(1)
    await worker.authenticate(one)
    await worker.authenticate(one)
    assert checked == [one.client_id, other.client_id, one.client_id]


@with_and_without_redis
async def test_a_proof_lasts_no_longer_than_the_copy_also_under_a_lease(
    workers: list[Worker], checked: list[str]
) -> None:
    here, there = workers
    who = await here.client()
    token = await here.mint(who)
    for _ in range(2):
        assert await active_everywhere(workers, who, token)  # of whatever store: that is what the workers are about
    copies = here.flows.exchange._client_auth._copies
    for _ in range(3):
        here.clock.advance(1)
        copy = (await here.authenticate(who)).client
        assert copy is (await copies.find(who.client_id)).client  # type: ignore[union-attr]
    await there.flows.clients.rotate_secret(who.client_id, keep_old_for=timedelta(0))
    async with asyncio.timeout(30):
        while True:
            here.clock.advance(1)
            try:
                await here.authenticate(who)
            except InvalidClient:
                break
            await asyncio.sleep(0.01)  # until the lease is renewed, which tells that a client has changed


async def test_what_is_wrong_is_never_remembered(worker: Worker, checked: list[str]) -> None:
    who = await worker.client()
    await worker.authenticate(who)
    for wrong in (Caller(who.client_id, "wrong"), Caller("cli_nobody", who.secret)):
        before = len(checked)
        for _ in range(2):
            with pytest.raises(InvalidClient):
                await worker.authenticate(wrong)
        assert len(checked) == before + 4, "each time by the copy, and by a newer one"
    assert len(proofs(worker)) == 1


async def test_a_newer_copy_is_asked_at_once_whoever_read_it(workers: list[Worker]) -> None:
    here, there = workers
    who = await here.client()
    await here.authenticate(who)
    await there.flows.clients.disable(who.client_id)
    assert await here.authenticate(who), "the copy is not a second old"
    with pytest.raises(InvalidClient):
        await here.authenticate(Caller(who.client_id, "wrong"))  # which has the client read again
    with pytest.raises(InvalidClient):
        await here.authenticate(who)


async def test_a_client_that_changes_its_method_is_not_let_in_by_the_old_one(worker: Worker) -> None:
    who = await worker.client()
    await worker.authenticate(who)
    await worker.flows.clients.update(who.client_id, {"auth_method": AuthMethod.POST})
    worker.clock.advance(1)
    with pytest.raises(InvalidClient):
        await worker.authenticate(who)


async def test_while_two_secrets_are_right_nothing_is_remembered(worker: Worker, checked: list[str]) -> None:
    old = await worker.client()
    rotated = await worker.flows.clients.rotate_secret(old.client_id, keep_old_for=timedelta(seconds=2.5))
    new = Caller(old.client_id, rotated.secret)
    for seconds in (0, 2):
        worker.clock.advance(seconds)
        for who in (old, new, old):
            await worker.authenticate(who)
    assert not proofs(worker)
    worker.clock.advance(0.5)  # the copy is younger than a second
    with pytest.raises(InvalidClient):
        await worker.authenticate(old)
    await worker.authenticate(new)


async def test_who_says_more_than_the_header_is_read_each_time(worker: Worker) -> None:
    who = await worker.client()
    await worker.authenticate(who)
    header = who.credentials.authorization

    async def present(**more: str) -> None:
        form = Form({name: [value] for name, value in more.items()})
        await worker.flows.exchange.authenticate(PresentedCredentials(header, form), find_address)

    await present(client_id=who.client_id)
    for more in ({"client_id": "cli_other"}, {"client_secret": "x"}, {"client_assertion": "x"}):
        with pytest.raises(InvalidRequest):
            await present(**more)


async def test_proofs_hold_no_secret_and_are_so_many_at_most(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_auth, "MAX_PROOFS", 2)
    callers = [await worker.client() for _ in range(4)]
    for who in callers:
        await worker.authenticate(who)
    assert [len(digest) for digest in proofs(worker)] == [32, 32]
    secrets = [str(who.secret) for who in callers]
    assert not any(secret in repr((proofs(worker), who.credentials)) for secret in secrets for who in callers)


async def test_a_public_client_proves_nothing_that_could_be_remembered(worker: Worker) -> None:
    who = await worker.client(public=True, grant_types=(GrantType.REFRESH_TOKEN,))
    await worker.authenticate(who)
    assert not proofs(worker)
