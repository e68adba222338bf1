"""The revocation contract, raced: what was minted before is dead everywhere when the call returns, what is minted
afterwards lives, and in between the numbers decide (C1, C3, C4; FLT-40, FLT-42)."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from authsvc.errors import InvalidClient, InvalidCredentials, Unavailable
from tests.flows.workers import (
    EMAIL,
    Caller,
    Worker,
    active_everywhere,
    cheap,
    claims_of,
    with_and_without_redis,
    workers_on,
)


class History:
    """What began when and ended when, in ticks of one counter."""

    def __init__(self) -> None:
        self.ticks = 0

    def now(self) -> int:
        self.ticks += 1
        return self.ticks


# --- One token


@with_and_without_redis
async def test_two_thousand_tokens_are_dead_on_every_worker_the_moment_their_revocation_returns(
    workers: list[Worker],
) -> None:
    """FLT-40. Of each token: nobody says "active" who was asked after the revocation had returned, nobody "inactive"
    who answered before it began, and nobody "active" who was asked after somebody had said "inactive"."""
    owner = await workers[0].client()
    chance = random.Random(40)
    tokens = await asyncio.gather(*(workers[n % 2].mint(owner) for n in range(2000)))
    told = {True: 0, False: 0}

    async def race(token: str) -> None:
        history = History()
        asked: list[tuple[int, bool, int]] = []

        async def ask(worker: Worker) -> None:
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            began = history.now()
            active = await worker.is_active(owner, token)
            asked.append((began, active, history.now()))

        async def revoke() -> tuple[int, int]:
            began = history.now()
            await chance.choice(workers).revoke(owner, token)
            ended = history.now()
            await asyncio.gather(*(ask(worker) for worker in workers))
            return began, ended

        askers = asyncio.gather(*(ask(workers[n % 2]) for n in range(4)))
        began, ended = await revoke()
        await askers
        first_no = min((over for _, active, over in asked if not active), default=ended)
        for start, active, over in asked:
            told[active] += 1
            assert not (active and start > ended), "active after the revocation had returned"
            assert not (active and start > first_no), "active after somebody had said that it is not"
            assert active or over > began, "inactive before anybody revoked it"

    for start in range(0, len(tokens), 50):
        await asyncio.gather(*(race(token) for token in tokens[start : start + 50]))
    assert told[False] >= 4000
    assert told[True] > 100, "some were asked early enough to make it a race"


@with_and_without_redis
async def test_ten_thousand_introspections_around_one_revocation(workers: list[Worker]) -> None:  # FLT-40
    owner = await workers[0].client()
    token, other = await workers[0].mint(owner), await workers[0].mint(owner)
    history = History()
    asked: list[tuple[int, bool]] = []

    async def ask(number: int) -> None:
        for _ in range(250):
            began = history.now()
            asked.append((began, await workers[number % 2].is_active(owner, token)))
            assert await workers[number % 2].is_active(owner, other), "the token beside it is not touched"

    async def revoke() -> int:
        while len(asked) < 2000:
            await asyncio.sleep(0)
        await workers[0].revoke(owner, token)
        return history.now()

    askers = asyncio.gather(*(ask(number) for number in range(20)))
    ended = await revoke()
    await askers
    assert not any(active for began, active in asked if began > ended)
    assert {active for _, active in asked} == {True, False}


# --- All tokens of somebody, while tokens are minted


@dataclass
class Minted:
    began: int
    ended: int
    token: str


async def storm(
    workers: list[Worker],
    asker: Caller,
    mint: Callable[[Worker], Awaitable[str]],
    revoke: Callable[[Worker], Awaitable[None]],
    number_of: Callable[[str], int],
    *,
    rounds: int = 6,
) -> list[Minted]:
    """Mint on every worker without end, and revoke on each in turn. Every token that was there when a revocation began
    is dead on every worker when it returns; at the end, what is live is what has the last number."""
    history = History()
    minted: list[Minted] = []
    over = asyncio.Event()
    last_revoked = 0

    async def minter(worker: Worker) -> None:
        while not over.is_set():
            began = history.now()
            try:
                token = await mint(worker)
            except (InvalidClient, InvalidCredentials):
                await asyncio.sleep(0)
                continue
            minted.append(Minted(began, history.now(), token))

    async def more_tokens(many: int) -> None:
        goal = len(minted) + many
        while len(minted) < goal:
            await asyncio.sleep(0.001)

    async def revoker() -> None:
        nonlocal last_revoked
        for turn in range(rounds):
            await more_tokens(40)
            began = history.now()
            await revoke(workers[turn % len(workers)])
            last_revoked = history.now()
            before = [each.token for each in minted if each.ended < began]
            told = await asyncio.gather(
                *(worker.is_active(asker, token) for token in before[-60:] for worker in workers)
            )
            assert not any(told), "active after everything was revoked"
        await more_tokens(40)
        over.set()

    async with asyncio.timeout(60):
        try:
            await asyncio.gather(revoker(), *(minter(worker) for worker in workers for _ in range(4)))
        finally:
            over.set()  # who mints would go on when the revoker has failed
    newest = max(number_of(each.token) for each in minted)
    for each in minted:
        alive = await active_everywhere(workers, asker, each.token)
        assert alive == (number_of(each.token) == newest), "the number decides"
        assert alive or each.began < last_revoked, "what is minted afterwards lives"
    assert any(each.began > last_revoked for each in minted)
    return minted


@with_and_without_redis
async def test_tokens_minted_while_their_client_is_revoked_are_dead_or_of_the_new_number(workers: list[Worker]) -> None:
    asker, owner = await workers[0].client(), await workers[0].client()
    await storm(
        workers,
        asker,
        lambda worker: worker.mint(owner),
        lambda worker: worker.flows.clients.revoke_tokens(owner.client_id),
        lambda token: int(claims_of(token)["gen"]["c"]),
    )


@with_and_without_redis
async def test_tokens_minted_while_everything_is_revoked_are_dead_or_of_the_new_number(workers: list[Worker]) -> None:
    owner = await workers[0].client()
    await storm(
        workers,
        owner,
        lambda worker: worker.mint(owner),
        lambda worker: worker.flows.revocation.revoke_everything(),
        lambda token: int(claims_of(token)["gen"]["g"]),
    )


@with_and_without_redis
async def test_tokens_minted_while_their_client_is_disabled_and_enabled_are_dead_or_of_the_new_number(
    workers: list[Worker],
) -> None:
    """The clock stands still: without the numbers every copy of the client would be believed for the whole test."""
    asker, owner = await workers[0].client(), await workers[0].client()

    async def disable_and_enable(worker: Worker) -> None:
        await worker.flows.clients.disable(owner.client_id)
        for each in workers:
            with pytest.raises(InvalidClient):
                await each.mint(owner)
        await worker.flows.clients.enable(owner.client_id)

    await storm(
        workers,
        asker,
        lambda worker: worker.mint(owner),
        disable_and_enable,
        lambda token: int(claims_of(token)["gen"]["c"]),
    )


@with_and_without_redis
@pytest.mark.parametrize("by", ["the user", "an operator"])
async def test_logins_while_the_user_is_logged_out_everywhere_are_dead_or_of_the_new_number(
    workers: list[Worker], by: str
) -> None:
    asker = await workers[0].client()
    sub = await workers[0].register()

    async def revoke(worker: Worker) -> None:
        if by == "an operator":
            await worker.flows.users.revoke_tokens(sub)
        else:
            known = await worker.flows.access.authorize_user(await worker.log_in())
            await worker.flows.account.log_out_everywhere(known)

    await storm(
        workers,
        asker,
        lambda worker: worker.log_in(),
        revoke,
        lambda token: int(claims_of(token)["gen"]["u"]),
        rounds=3,
    )


@with_and_without_redis
async def test_the_tokens_of_one_revoked_user_are_dead_and_those_of_another_live(workers: list[Worker]) -> None:
    asker = await workers[0].client()
    sub = await workers[0].register()
    await workers[0].register("bob@example.com")
    mine, bobs = await workers[0].log_in(EMAIL), await workers[1].log_in("bob@example.com")
    await workers[1].flows.users.revoke_tokens(sub)
    assert not await active_everywhere(workers, asker, mine)
    assert await active_everywhere(workers, asker, bobs)


# --- A copy of the client, up to a second old


async def test_nothing_minted_from_an_old_copy_of_a_disabled_client_stays_live(workers: list[Worker]) -> None:
    here, there = workers
    asker, owner = await here.client(), await here.client()
    early = await there.mint(owner)
    there.clock.advance(0.999)
    await here.flows.clients.disable(owner.client_id)
    assert not await active_everywhere(workers, asker, early)
    for worker in workers:
        with pytest.raises(InvalidClient):
            await worker.mint(owner)


@with_and_without_redis
async def test_a_client_that_is_enabled_again_is_served_at_once_by_every_worker(workers: list[Worker]) -> None:
    here, there = workers
    asker, owner = await here.client(), await here.client()
    early = [await worker.mint(owner) for worker in workers]
    for _ in range(3):
        await here.flows.clients.disable(owner.client_id)
        for worker in workers:
            with pytest.raises(InvalidClient):
                await worker.mint(owner)
            with pytest.raises(InvalidClient):
                await worker.authenticate(owner)
        await here.flows.clients.enable(owner.client_id)
        for worker in (there, here):
            assert await active_everywhere(workers, asker, await worker.mint(owner))
    for token in early:
        assert not await active_everywhere(workers, asker, token), "what was revoked stays revoked"


@with_and_without_redis
async def test_a_client_disabled_and_enabled_between_two_looks_gives_no_dead_tokens(workers: list[Worker]) -> None:
    """The old copy and the new row are both enabled: only the number tells them apart."""
    here, there = workers
    asker, owner = await here.client(), await here.client()
    early = await there.mint(owner)
    await here.flows.clients.disable(owner.client_id)
    await here.flows.clients.enable(owner.client_id)
    assert await active_everywhere(workers, asker, await there.mint(owner))
    assert not await active_everywhere(workers, asker, early)


@with_and_without_redis
async def test_nothing_is_minted_from_an_old_copy_of_a_deleted_client(workers: list[Worker]) -> None:
    here, there = workers
    asker, owner = await here.client(), await here.client()
    early = await there.mint(owner)
    await here.flows.clients.delete(owner.client_id)
    with pytest.raises(InvalidClient):
        await there.mint(owner)
    assert not await active_everywhere(workers, asker, early)


async def test_a_disabled_client_is_no_longer_told_of_tokens_a_second_later(workers: list[Worker]) -> None:
    here, there = workers
    asker, owner = await here.client(), await here.client()
    token = await here.mint(owner)
    assert await there.is_active(asker, token)
    await here.flows.clients.disable(asker.client_id)
    there.clock.advance(1)
    for worker in workers:
        with pytest.raises(InvalidClient):
            await worker.is_active(asker, token)


# --- Three workers, all kinds at once


async def test_revocations_of_every_kind_at_once_leave_nothing_live_that_any_of_them_was_for(database_url: str) -> None:
    """FLT-42, FLT-43: they share rows and marks, and none makes another fail or forget."""
    async with workers_on(cheap(database_url), many=3) as workers:
        asker = await workers[0].client()
        for turn in range(4):
            email = f"user{turn}@example.com"
            sub = await workers[0].register(email)
            tokens = [await worker.log_in(email) for worker in workers for _ in range(2)]
            known = [await workers[0].flows.access.authorize_user(token) for token in tokens]
            await asyncio.gather(
                workers[0].flows.users.revoke_tokens(sub),
                workers[1].flows.users.revoke_tokens(sub),
                workers[2].flows.users.disable(sub),
                *(workers[n % 3].flows.account.log_out(each) for n, each in enumerate(known)),
                *(workers[n % 3].flows.account.log_out_everywhere(each) for n, each in enumerate(known)),
                *(workers[n % 3].flows.revocation.revoke_as_operator(token) for n, token in enumerate(tokens)),
            )
            for token in tokens:
                assert not await active_everywhere(workers, asker, token)


@with_and_without_redis
async def test_two_revocations_of_one_token_at_once_are_one(workers: list[Worker]) -> None:  # FLT-43
    owner = await workers[0].client()
    token = await workers[0].mint(owner)
    await asyncio.gather(*(workers[n % 2].revoke(owner, token) for n in range(20)))
    assert not await active_everywhere(workers, owner, token)


async def test_a_revocation_that_was_not_committed_did_not_happen_and_is_not_remembered(workers: list[Worker]) -> None:
    """ATK-31: an answer that says "dead" is remembered for good, so it must never come of a change that is rolled
    back."""
    owner = await workers[0].client()
    token = await workers[0].mint(owner)
    known = await workers[0].flows.revocation.revoke_as_operator("x.y.z")
    assert known is None
    recognised = await workers[0].flows.access._recognition.recognise(token)
    assert recognised is not None
    with pytest.raises(Unavailable):
        async with workers[0].flows.account._revocations.revoke() as revoking:
            await revoking.token(recognised.token.jti, workers[0].clock.now())
            assert await active_everywhere(workers, owner, token), "it is not committed"
            raise Unavailable
    assert await active_everywhere(workers, owner, token)
