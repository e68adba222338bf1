"""Signing keys on several workers: published, signing, verifying only, killed; and never a false word about a token
(JWK-06 to JWK-10, ATK-110 to ATK-112)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc.entropy import SystemEntropy
from authsvc.errors import ConfigurationError, NotFound, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.coalescer import Coalescer
from authsvc.flows.issuance import Issuance
from authsvc.flows.key_ring import LINGERING
from authsvc.flows.keys import SigningKeys
from authsvc.flows.lease import Lease
from authsvc.flows.publication import Publication
from authsvc.flows.revocations import Revocations
from authsvc.metrics import Metrics
from authsvc.models import SigningKey
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.keys import KeyState, format_master_key, parse_master_key
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.revocation import key_mark
from authsvc.protocol.rotation import RETIREMENT, SETTLING, Policy
from authsvc.settings import Settings
from authsvc.tables import revocations as revocations_table
from authsvc.tables.db import Database
from tests.drawn_keys import draw_key
from tests.flows.workers import (
    Worker,
    active_everywhere,
    cheap,
    contents,
    kid_of,
    segment,
    sql,
    worker_on,
    workers_on,
)
from tests.house_of import MASTER_KEY, FakeClock
from tests.tables.line import line_to
from tests.tables.rows import database_on

ANOTHER_MASTER_KEY = format_master_key(bytes(range(32)))
SETTLED = SETTLING.total_seconds()
POLICY = Policy(("ES256",), jwks_max_age=timedelta(seconds=30))
PUBLISHED = POLICY.publication.total_seconds()

pytestmark = pytest.mark.usefixtures("no_refresh")


def hurried(database_url: str, **changes: Any) -> Settings:
    """Settings under which a token outlives the time for which a key is published before it signs."""
    return cheap(database_url, **({"jwks_max_age": POLICY.jwks_max_age.seconds} | changes))


@pytest.fixture
async def workers(database_url: str) -> AsyncIterator[list[Worker]]:
    async with workers_on(hurried(database_url)) as workers:
        yield workers


async def states_of(worker: Worker, algorithm: str = "ES256") -> Counter[KeyState]:
    return Counter(state for key, state in await worker.flows.keys.list_all() if key.algorithm == algorithm)


async def kid_in(worker: Worker, state: KeyState, algorithm: str = "ES256") -> str:
    found = await worker.flows.keys.list_all()
    return next(key.kid for key, its in found if its is state and key.algorithm == algorithm)


async def refresh(workers: list[Worker]) -> None:
    for worker in workers:
        await worker.flows.keys.refresh()


def published_by(worker: Worker) -> set[str]:
    return {key["kid"] for key in json.loads(worker.flows.keys.ring.jwks)["keys"]}


# --- The first start


@asynccontextmanager
async def unstarted(url: str, **options: Any) -> AsyncIterator[SigningKeys]:
    """The signing keys of a worker that has not read any."""
    clock = FakeClock()
    metrics = Metrics(CollectorRegistry())
    async with database_on(url, size=1, timeout=20) as db:
        coalescer = Coalescer(
            lambda marks: revocations_table.find_generations(db, marks),
            in_flight=1,
            timeout=20,
            observe=lambda size: None,
        )
        audit = Audit(db, clock, metrics)
        asked: dict[str, Any] = {
            "generate": draw_key,
            "master_key": MasterKey.parse(MASTER_KEY),
            "policy": POLICY,
            "algorithm": "ES256",
        }
        publication = Publication(db, None, Lease(db, clock, metrics), clock, metrics)
        revocations = Revocations(db, clock, coalescer, publication, audit, metrics, asyncio.Event())
        yield SigningKeys(db, revocations, audit, clock, SystemEntropy(), metrics, **(asked | options))


async def test_of_twenty_first_starts_at_once_come_one_current_and_one_next_key(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(unstarted(database_url)) for _ in range(20)]
        await asyncio.gather(*(keys.refresh() for keys in workers))
        (listed,) = {tuple((key.kid, state) for key, state in await keys.list_all()) for keys in workers}
        assert sorted(state for _, state in listed) == [KeyState.ACTIVE, KeyState.NEXT]
        assert len({keys.ring.signer.kid for keys in workers}) == 1
        assert len({keys.ring.etag for keys in workers}) == 1
        assert {kid for kid, _ in listed} == set(workers[0].ring.verifiers)


async def test_workers_that_start_at_once_issue_tokens_for_one_another(database_url: str) -> None:
    async with workers_on(cheap(database_url)) as first, workers_on(cheap(database_url)) as second:
        workers = first + second
        owner = await workers[0].client()
        for token in await asyncio.gather(*(worker.mint(owner) for worker in workers)):
            assert await active_everywhere(workers, owner, token)


async def test_keys_that_were_never_read_know_nothing(database_url: str) -> None:
    async with unstarted(database_url) as keys:
        with pytest.raises(Unavailable):
            _ = keys.ring
        with pytest.raises(Unavailable):
            await keys.catch_up()


async def test_the_first_rotation_of_all_makes_the_first_keys(database_url: str) -> None:
    async with unstarted(database_url) as keys:
        assert (await keys.rotate()).kid == keys.ring.signer.kid


async def test_a_key_is_at_rest_in_no_readable_form(workers: list[Worker]) -> None:  # ATK-110
    for key, _ in await workers[0].flows.keys.list_all():
        assert b"PRIVATE" not in key.sealed_private
        assert "d" not in key.public_jwk
        assert not key.sealed_private.startswith(b"0")
    dump = await sql(workers[0].settings.database_url, "SELECT string_agg(k::text, ' ') FROM auth.signing_keys k")
    assert MASTER_KEY not in dump
    assert parse_master_key(MASTER_KEY).hex() not in dump


# --- Rotation


async def test_what_the_old_key_signed_stays_valid_and_the_next_key_signs_from_now_on(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    before = await here.mint(owner)
    following = await kid_in(here, KeyState.NEXT)
    assert (await here.flows.keys.rotate()).kid == following
    after = await here.mint(owner)
    assert kid_of(after) == following != kid_of(before)
    for token in (before, after):
        assert await active_everywhere(workers, owner, token), "and a worker that has not read the keys anew knows both"
    assert kid_of(await there.mint(owner)) == kid_of(before), "which goes on signing with the old one"
    await refresh(workers)
    for token in (before, after):
        assert await active_everywhere(workers, owner, token)
    assert await states_of(here) == {KeyState.RETIRED: 1, KeyState.ACTIVE: 1, KeyState.NEXT: 1}


async def test_a_key_that_was_just_published_begins_to_sign_when_every_copy_of_the_jwks_has_it(
    workers: list[Worker],
) -> None:
    """JWK-06, MET-09. The second of two rotations in a row; the third changes nothing."""
    here, there = workers
    owner = await here.client()
    await here.flows.keys.rotate()
    first = kid_of(await here.mint(owner))
    second = await here.flows.keys.rotate()
    assert second.signs_from == here.clock.now() + POLICY.publication
    assert await there.flows.keys.rotate() == second
    assert kid_of(await here.mint(owner)) == first
    here.clock.advance(PUBLISHED - 0.001)
    await refresh(workers)
    assert kid_of(await here.mint(owner)) == first
    here.clock.advance(0.001)
    await refresh(workers)
    token = await here.mint(owner)
    assert kid_of(token) == second.kid
    assert await active_everywhere([there, here], owner, token)


async def test_ten_rotations_in_a_row_end_with_one_active_and_one_next_key(workers: list[Worker]) -> None:
    here, _ = workers
    owner = await here.client()
    tokens = []
    for _ in range(10):
        tokens.append(await here.mint(owner))
        await here.flows.keys.rotate()
    here.clock.advance(PUBLISHED)
    await refresh(workers)
    assert await states_of(here) == {KeyState.RETIRED: 2, KeyState.ACTIVE: 1, KeyState.NEXT: 1}
    for token in [*tokens, await here.mint(owner)]:
        assert await active_everywhere(workers, owner, token)


async def test_rotations_at_once_on_two_workers_leave_one_active_and_one_next_key(workers: list[Worker]) -> None:
    here, there = workers
    await asyncio.gather(*(worker.flows.keys.rotate() for worker in workers for _ in range(4)))
    here.clock.advance(PUBLISHED)
    await refresh(workers)
    states = await states_of(here)
    assert (states[KeyState.ACTIVE], states[KeyState.NEXT]) == (1, 1)
    assert here.flows.keys.ring.signer.kid == there.flows.keys.ring.signer.kid


async def test_a_retired_key_verifies_until_its_last_token_has_expired_and_not_for_ever(database_url: str) -> None:
    async with workers_on(hurried(database_url, access_token_seconds=3600)) as workers:
        here, there = workers
        owner = await here.client()
        await here.flows.keys.rotate()
        await here.flows.keys.rotate()
        here.clock.advance(PUBLISHED - 0.5)
        await refresh(workers)
        last = await here.mint(owner)
        old = kid_of(last)
        here.clock.advance(3599)
        await refresh(workers)
        assert kid_of(await here.mint(owner)) != old
        assert await active_everywhere(workers, owner, last)
        here.clock.advance(RETIREMENT.total_seconds() - 3590)
        await refresh(workers)
        for worker in workers:
            assert old not in published_by(worker)
            assert old not in worker.flows.keys.ring.verifiers
        assert old not in {key.kid for key, _ in await there.flows.keys.list_all()}


async def test_the_next_key_is_published_before_it_signs(workers: list[Worker]) -> None:
    for worker in workers:
        assert await kid_in(worker, KeyState.NEXT) in published_by(worker)
        assert worker.flows.keys.ring.signer.kid in published_by(worker)


# --- The schedule

MONTH = 30 * 86_400.0


async def test_a_key_is_rotated_when_it_has_signed_for_long_enough_and_once(database_url: str) -> None:
    """However many workers are at it, at that moment or at the next."""
    async with workers_on(hurried(database_url, key_rotation_days=30), 4) as workers:
        here = workers[0]
        first, following = here.flows.keys.ring.signer.kid, await kid_in(here, KeyState.NEXT)
        # The first keys of all count as known from the beginning, so they are that much older.
        here.clock.advance(MONTH - PUBLISHED - 1)
        await asyncio.gather(*(worker.flows.keys.rotate_when_due() for worker in workers))
        await refresh(workers)
        assert {worker.flows.keys.ring.signer.kid for worker in workers} == {first}
        here.clock.advance(1)
        for _ in range(2):
            await asyncio.gather(*(worker.flows.keys.rotate_when_due() for worker in workers))
        await refresh(workers)
        assert {worker.flows.keys.ring.signer.kid for worker in workers} == {following}
        assert await states_of(here) == {KeyState.RETIRED: 1, KeyState.ACTIVE: 1, KeyState.NEXT: 1}


async def test_tokens_stay_valid_over_years_of_rotations(database_url: str) -> None:
    async with workers_on(hurried(database_url, key_rotation_days=30)) as workers:
        here, there = workers
        owner = await here.client()
        signers = set()
        for _ in range(24):
            before = await there.mint(owner)
            await here.flows.keys.rotate_when_due()
            await here.flows.keys.refresh()
            after = await here.mint(owner)
            signers |= {kid_of(after)}
            for token in (before, after):
                assert await active_everywhere([there, here], owner, token)
            here.clock.advance(MONTH)
            await refresh(workers)
        assert len(signers) == 24
        assert await states_of(here) == {KeyState.ACTIVE: 1, KeyState.NEXT: 1}


async def test_without_a_schedule_a_key_signs_until_somebody_says_so(database_url: str) -> None:
    async with worker_on(hurried(database_url, key_rotation_days=0)) as worker:
        signer = worker.flows.keys.ring.signer.kid
        worker.clock.advance(100 * MONTH)
        await worker.flows.keys.rotate_when_due()
        await worker.flows.keys.refresh()
        assert worker.flows.keys.ring.signer.kid == signer


# --- Kill


async def test_all_tokens_of_a_killed_key_are_dead_when_the_call_returns_and_no_others(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    spared = [await worker.mint(owner) for worker in workers]
    await here.flows.keys.rotate()
    await refresh(workers)
    dead = [await worker.mint(owner) for worker in workers]
    for token in (*spared, *dead):
        assert await active_everywhere(workers, owner, token)
    here.clock.advance(SETTLED)
    await here.flows.keys.kill(kid_of(dead[0]))
    for token in dead:
        assert not await active_everywhere(workers, owner, token)
    for token in spared:
        assert await active_everywhere(workers, owner, token)
    assert kid_of(dead[0]) not in published_by(here)
    assert kid_of(dead[0]) in published_by(there), "who has not read the keys anew has the key, and yet not its tokens"
    assert await active_everywhere(workers, owner, await here.mint(owner)), "new ones flow at once"


async def test_who_revokes_a_token_of_a_key_that_is_being_killed_is_heard(workers: list[Worker]) -> None:
    """Of two workers that know of the kill, or do not yet, neither may say "done" and leave the token to the other."""
    here, there = workers
    owner = await here.client()
    token = await there.mint(owner)
    await here.flows.keys.kill(kid_of(token))
    await there.flows.keys.refresh()
    await there.revoke(owner, token)
    known = await there.flows.revocation.revoke_as_operator(token)
    assert known is not None
    assert (
        await sql(there.settings.database_url, "SELECT count(*) FROM auth.token_blacklist WHERE mark LIKE 'j:%'") == 1
    )
    for worker in workers:
        assert not await worker.is_active(owner, token)
    there.clock.advance(LINGERING + 1)
    await there.flows.keys.refresh()
    assert kid_of(token) not in there.flows.keys.ring.verifiers, "by then everybody has been told"


async def test_a_worker_that_has_not_heard_of_a_kill_hands_out_no_dead_token(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    killed = kid_of(await there.mint(owner))
    await here.flows.keys.kill(killed)
    assert there.flows.keys.ring.signer.kid == killed, "it has not heard"
    for token in await asyncio.gather(*(there.mint(owner) for _ in range(20))):
        assert kid_of(token) != killed
        assert await active_everywhere(workers, owner, token)


async def test_logins_and_password_changes_hand_out_no_dead_token_after_a_kill(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    await here.register()
    await here.flows.keys.kill(kid_of(await there.log_in()))
    token = await there.log_in()
    assert await active_everywhere(workers, owner, token)
    here.clock.advance(SETTLED)
    await here.flows.keys.kill(kid_of(token))
    token = await there.log_in()
    assert await active_everywhere(workers, owner, await there.change_password(token, "another good password"))


async def test_the_key_whose_mark_was_asked_is_the_key_that_signs(database_url: str) -> None:
    """While the store is asked about the signer, the keys are read anew, by a question from before a kill: the ring
    gets a signer that nobody has asked about."""
    async with worker_on(cheap(database_url)) as worker:
        keys, revocations = worker.flows.keys, worker.flows.account._revocations
        old = keys.ring.signer.kid
        victim = await kid_in(worker, KeyState.NEXT)
        issuance = worker.flows.login._tokens._issuance

        class Meddled(Revocations):
            async def find(self, *marks: str) -> Any:
                assert marks == (key_mark(old),)
                found = await revocations.find(*marks)
                keys._ring = None
                keys._adopt([_signing(key) if key.kid == victim else key for key, _ in await keys.list_all()], 0.0)
                assert keys.ring.signer.kid == victim
                return found

        meddled = Meddled.__new__(Meddled)
        signer = (await _issuance_with(issuance, meddled)._living_signers(None))[0]
        assert signer.kid == old


def _signing(key: SigningKey) -> SigningKey:
    return SigningKey(
        kid=key.kid,
        algorithm=key.algorithm,
        public_jwk=key.public_jwk,
        sealed_private=key.sealed_private,
        master_key_id=key.master_key_id,
        created_at=key.created_at,
        signs_from=FakeClock().now(),
        verifies_until=None,
    )


def _issuance_with(issuance: Issuance, revocations: Revocations) -> Issuance:
    return Issuance(
        issuance._db,
        issuance._keys,
        revocations,
        issuance._subjects,
        issuance._clock,
        issuance._entropy,
        issuer="https://issuer.example",
        access_token_seconds=60,
    )


async def test_a_kill_right_after_a_rotation_leaves_the_old_key_to_sign_until_the_new_one_is_known(
    workers: list[Worker],
) -> None:
    """The heir of the killed key was published with the rotation, a moment ago: other workers do not know it."""
    here, there = workers
    owner = await here.client()
    old = kid_of(await here.mint(owner))
    killed = (await here.flows.keys.rotate()).kid
    await here.flows.keys.kill(killed)
    token = await here.mint(owner)
    assert kid_of(token) == old
    assert await active_everywhere([there, here], owner, token)
    here.clock.advance(PUBLISHED)
    await refresh(workers)
    token = await here.mint(owner)
    assert kid_of(token) not in {old, killed}
    assert await active_everywhere(workers, owner, token)


async def test_after_two_kills_in_a_row_nothing_is_said_falsely_and_tokens_flow_again_when_the_key_is_known(
    workers: list[Worker],
) -> None:
    """The heir of the second was published with the first: for a moment there is no key that every worker knows. Then
    nothing is minted; what must not be is a token that the worker next door calls inactive."""
    here, there = workers
    owner = await here.client()
    first = kid_of(await here.mint(owner))
    await here.flows.keys.kill(first)
    second = kid_of(await here.mint(owner))
    await here.flows.keys.kill(second)
    for worker in workers:
        with pytest.raises(Unavailable):
            await worker.mint(owner)
        assert {first, second}.isdisjoint(published_by(here)), "which does not keep them published"
    here.clock.advance(SETTLED)
    await refresh([here])
    token = await here.mint(owner)
    assert await active_everywhere([there, here], owner, token)


async def test_killing_the_old_signer_before_the_new_one_has_begun_leaves_nothing_signing_for_a_moment(
    workers: list[Worker],
) -> None:
    here, there = workers
    owner = await here.client()
    old = await here.mint(owner)
    await here.flows.keys.kill(await kid_in(here, KeyState.NEXT))
    await here.flows.keys.rotate()
    await here.flows.keys.kill(kid_of(old))
    assert not await active_everywhere(workers, owner, old)
    with pytest.raises(Unavailable):
        await here.mint(owner)
    here.clock.advance(SETTLED)
    await refresh(workers)
    assert await active_everywhere([there, here], owner, await here.mint(owner))
    assert (await states_of(here))[KeyState.NEXT] == 1


@pytest.mark.parametrize("state", [KeyState.NEXT, KeyState.RETIRED])
async def test_killing_a_key_that_does_not_sign_changes_nothing_for_the_one_that_does(
    workers: list[Worker], state: KeyState
) -> None:
    here, _ = workers
    owner = await here.client()
    old = await here.mint(owner)
    await here.flows.keys.rotate()
    token = await here.mint(owner)
    victim = await kid_in(here, state)
    await here.flows.keys.kill(victim)
    assert kid_of(await here.mint(owner)) == kid_of(token)
    assert await active_everywhere(workers, owner, token)
    assert await active_everywhere(workers, owner, old) == (state is not KeyState.RETIRED)
    states = await states_of(here)
    assert (states[KeyState.ACTIVE], states[KeyState.NEXT]) == (1, 1)


async def test_a_key_is_killed_once(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    kid = kid_of(await here.mint(owner))
    outcomes = await asyncio.gather(
        *(worker.flows.keys.kill(kid) for worker in workers for _ in range(4)), return_exceptions=True
    )
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"NoneType": 1, "NotFound": 7}
    assert await active_everywhere(workers, owner, await there.mint(owner))
    states = await states_of(here)
    assert (states[KeyState.ACTIVE], states[KeyState.NEXT]) == (1, 1)


async def test_an_unknown_key_cannot_be_killed_and_leaves_no_mark(workers: list[Worker]) -> None:
    before = await contents(workers[0].settings.database_url)
    for kid in ("", "nobody", "%", "../x", "' OR 1=1--"):
        with pytest.raises(NotFound):
            await workers[0].flows.keys.kill(kid)
    assert await contents(workers[0].settings.database_url) == before


async def test_a_kill_is_done_when_it_is_committed_even_if_the_keys_cannot_be_read_afterwards(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that it failed, the operator would try again and be told that there is no such key."""
    here, there = workers
    owner = await here.client()
    token = await here.mint(owner)

    async def fail() -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(here.flows.keys, "refresh", fail)
        await here.flows.keys.kill(kid_of(token))
    assert not await active_everywhere(workers, owner, token)
    assert await active_everywhere(workers, owner, await there.mint(owner))


# --- Under load


async def test_rotations_and_kills_under_load_make_nobody_say_a_false_word(workers: list[Worker]) -> None:
    """ATK-111, ATK-112. Every token is asked for, at the other worker, the moment it is minted and again at the end: a
    key that was not killed never has an inactive token, and a killed one never has a live one."""
    here, there = workers
    owner = await here.client()
    killing: set[str] = set()
    killed: set[str] = set()
    minted: list[str] = []
    refused = 0
    over = asyncio.Event()

    async def minter(worker: Worker, other: Worker) -> None:
        nonlocal refused
        while not over.is_set():
            try:
                token = await worker.mint(owner)
            except Unavailable:
                refused += 1
                await asyncio.sleep(0.001)
                continue
            dead = kid_of(token) in killed
            active = await other.is_active(owner, token)
            assert active or kid_of(token) in killing, "a false alarm"
            assert not (active and dead), "a token of a killed key"
            minted.append(token)

    async def kill(worker: Worker) -> None:
        victim = kid_of(minted[-1])
        killing.add(victim)
        await worker.flows.keys.kill(victim)
        killed.add(victim)
        told = [
            await other.is_active(owner, token)
            for token in minted[-20:]
            for other in workers
            if kid_of(token) == victim
        ]
        assert not any(told)

    async def operator() -> None:
        for worker in (here, there) * 3:
            await more_tokens()
            await worker.flows.keys.rotate()
            await worker.flows.keys.rotate()
            await more_tokens()
            await kill(worker)
            await more_tokens()
            here.clock.advance(1)
            await here.flows.keys.refresh()
            here.clock.advance(1)
            await there.flows.keys.refresh()
            here.clock.advance(PUBLISHED)
            await refresh(workers)
        over.set()

    async def more_tokens() -> None:
        goal = len(minted) + 30
        while len(minted) < goal:
            await asyncio.sleep(0.001)

    async with asyncio.timeout(60):
        await asyncio.gather(operator(), *(minter(*pair) for pair in [(here, there), (there, here)] * 4))
    assert len(killed) == 6
    assert refused == 0, "there was always a key to sign with"
    for token in minted:
        assert await active_everywhere(workers, owner, token) == (kid_of(token) not in killed)


# --- Old rings


async def test_a_worker_that_could_not_read_the_keys_for_long_calls_no_token_inactive_that_it_cannot_know(
    database_url: str,
) -> None:
    """FLT-46. While one worker is cut off, the keys are rotated twice. When the line is back, and before its job has
    read them, it is asked about a token that was signed by a key it has never heard of."""
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(hurried(database_url), clock) as here,
        worker_on(hurried(line.url), clock) as there,
    ):
        owner = await here.client()
        await here.register()
        await line.cut()
        for _ in range(2):
            await here.flows.keys.rotate()
            clock.advance(PUBLISHED)
            await here.flows.keys.refresh()
        token, users = await here.mint(owner), await here.log_in()
        assert kid_of(token) not in there.flows.keys.ring.verifiers
        with pytest.raises(Unavailable):
            await there.is_active(owner, token)
        with pytest.raises(Unavailable):
            await there.is_let_in(users)
        await line.restore()
        assert await there.is_active(owner, token)
        assert await there.is_let_in(users)


async def test_a_worker_that_could_not_read_the_keys_for_long_revokes_what_it_is_told_to(database_url: str) -> None:
    """To take the token for garbage would be to answer 200 and leave it alive."""
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(hurried(database_url), clock) as here,
        worker_on(hurried(line.url), clock) as there,
    ):
        owner = await here.client()
        await line.cut()
        for _ in range(2):
            await here.flows.keys.rotate()
            clock.advance(PUBLISHED)
            await here.flows.keys.refresh()
        tokens = [await here.mint(owner) for _ in range(2)]
        with pytest.raises(Unavailable):
            await there.revoke(owner, tokens[0])
        await line.restore()
        await there.revoke(owner, tokens[0])
        await there.flows.revocation.revoke_as_operator(tokens[1])
        for token in tokens:
            assert not await here.is_active(owner, token)


async def test_a_worker_that_reads_the_keys_every_second_asks_no_store_about_garbage(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:  # ATK-36
    owner = await worker.client()
    token = await worker.mint(owner)
    header, claims, signature = token.split(".")
    garbage = [" ", "a.b.c", "x" * 9000, f"{header}.{claims}.{signature[::-1]}", f"{claims}.{claims}.{signature}"]
    assert await worker.is_active(owner, token)

    def refuse(*_: object) -> None:
        raise AssertionError("a store was asked")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connection", refuse)
        for _ in range(20):
            for text in garbage:
                assert not await worker.is_active(owner, text)
                assert not await worker.is_let_in(text)
                await worker.revoke(owner, text)


async def test_keys_that_were_asked_for_earlier_do_not_replace_those_asked_for_later(database_url: str) -> None:
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(hurried(database_url), clock) as here,
        worker_on(hurried(line.url), clock) as there,
    ):
        line.hold()
        slow = asyncio.create_task(there.flows.keys.refresh())
        await asyncio.sleep(0.01)
        clock.advance(0.5)
        victim = here.flows.keys.ring.signer.kid
        await here.flows.keys.kill(victim)
        # What a question over another connection found in the meantime.
        there.flows.keys._adopt([key for key, _ in await here.flows.keys.list_all()], clock.monotonic())
        line.resume()
        await slow
        assert victim.encode() not in there.flows.keys.ring.jwks


async def test_a_worker_that_has_not_read_the_keys_for_long_signs_with_none_that_is_gone(
    workers: list[Worker],
) -> None:
    """Its job hangs, say, while it could ask."""
    here, there = workers
    owner = await here.client()
    await here.flows.keys.rotate()
    here.clock.advance(PUBLISHED + RETIREMENT.total_seconds())
    await here.flows.keys.refresh()
    token = await there.mint(owner)
    assert kid_of(token) == here.flows.keys.ring.signer.kid
    assert await active_everywhere(workers, owner, token)


# --- Algorithms


OTHERS = sorted(set(ALGORITHMS) - {"ES256"})


async def test_every_algorithm_has_a_set_that_signs_from_the_first_start(workers: list[Worker]) -> None:
    here, there = workers
    for algorithm in ALGORITHMS:
        assert await states_of(here, algorithm) == {KeyState.ACTIVE: 1, KeyState.NEXT: 1}
        signers = [worker.flows.keys.ring.find_signer(algorithm) for worker in workers]
        assert [signer and (signer.algorithm, signer.kid) for signer in signers] == [
            (algorithm, await kid_in(there, KeyState.ACTIVE, algorithm))
        ] * 2
    assert here.flows.keys.ring.find_signer("none") is None


@pytest.mark.parametrize("algorithm", OTHERS)
async def test_a_newly_selected_algorithm_signs_at_once_for_every_verifier_knows_its_keys(
    database_url: str, algorithm: str
) -> None:
    clock = FakeClock()
    async with (
        worker_on(hurried(database_url), clock) as old,
        worker_on(hurried(database_url, access_token_algorithm=algorithm), clock) as new,
    ):
        owner = await old.client()
        tokens = [await new.mint(owner), await old.mint(owner)]
        assert [segment(token, 0)["alg"] for token in tokens] == [algorithm, "ES256"]
        for token in tokens:
            assert await active_everywhere([old, new], owner, token)


@asynccontextmanager
async def upgraded(url: str, clock: FakeClock, **changes: Any) -> AsyncIterator[Worker]:
    """A worker of a deployment that had a set for ES256 alone until now."""
    async with worker_on(hurried(url), clock):
        pass
    await sql(url, "DELETE FROM auth.signing_keys WHERE algorithm <> 'ES256'")
    async with worker_on(hurried(url, **changes), clock) as worker:
        yield worker


async def test_after_an_upgrade_the_new_sets_are_published_ahead_before_they_sign(database_url: str) -> None:
    """JWK-06. And nothing that happens to other keys meanwhile hurries them."""
    async with upgraded(database_url, FakeClock()) as worker:
        keys = worker.flows.keys
        owner = await worker.client()
        old = kid_of(await worker.mint(owner))
        new = {key.kid for key, _ in await keys.list_all() if key.algorithm != "ES256"}
        assert len(new) == 4
        assert new < published_by(worker)
        await keys.kill(await kid_in(worker, KeyState.NEXT))
        await keys.kill(old)
        for wait in (SETTLED, PUBLISHED - SETTLED - 0.001):
            worker.clock.advance(wait)
            await keys.refresh()
            assert [keys.ring.find_signer(each) for each in OTHERS] == [None, None]
        worker.clock.advance(0.001)
        await keys.refresh()
        assert [signer.algorithm for each in OTHERS if (signer := keys.ring.find_signer(each))] == OTHERS
        assert {key.kid for key, _ in await keys.list_all() if key.algorithm != "ES256"} == new


@pytest.mark.parametrize("algorithm", OTHERS)
async def test_an_algorithm_that_is_selected_with_the_upgrade_lets_the_old_one_sign_until_its_keys_are_known(
    database_url: str, algorithm: str
) -> None:
    async with upgraded(database_url, FakeClock(), access_token_algorithm=algorithm) as worker:
        owner = await worker.client()
        before = await worker.mint(owner)
        assert segment(before, 0)["alg"] == "ES256"
        worker.clock.advance(PUBLISHED)
        await worker.flows.keys.refresh()
        after = await worker.mint(owner)
        assert segment(after, 0)["alg"] == algorithm
        for token in (before, after):
            assert await worker.is_active(owner, token)


async def test_a_set_rotates_and_is_killed_by_itself(workers: list[Worker]) -> None:
    """The access tokens do not notice what happens to the keys of the ID tokens."""
    here, there = workers
    owner = await here.client()
    token = await here.mint(owner)
    first = await kid_in(here, KeyState.ACTIVE, "RS256")
    second = await here.flows.keys.rotate("RS256")
    assert second.algorithm == "RS256"
    assert await states_of(here, "RS256") == {KeyState.RETIRED: 1, KeyState.ACTIVE: 1, KeyState.NEXT: 1}
    await here.flows.keys.kill(second.kid)
    signer = here.flows.keys.ring.find_signer("RS256")
    assert signer is not None
    assert signer.kid == first, "it stands in until the next one is known"
    await here.flows.keys.kill(first)
    assert here.flows.keys.ring.find_signer("RS256") is None
    here.clock.advance(SETTLED)
    await refresh(workers)
    ring = there.flows.keys.ring
    assert ring.find_signer("RS256") is not None
    assert {first, second.kid}.isdisjoint(published_by(there))
    assert kid_of(await there.mint(owner)) == kid_of(token)
    assert await active_everywhere(workers, owner, token)
    assert await states_of(here) == {KeyState.ACTIVE: 1, KeyState.NEXT: 1}


async def test_all_sets_rotate_when_they_are_told_to_or_when_it_is_time(database_url: str) -> None:
    async with worker_on(hurried(database_url, key_rotation_days=30)) as worker:
        keys = worker.flows.keys
        following = [await kid_in(worker, KeyState.NEXT, each) for each in ("ES256", "RS256", "Ed25519")]
        assert [key.kid for key in await keys.rotate_all()] == following, "that of the access tokens first"
        worker.clock.advance(MONTH - 1)
        await keys.rotate_when_due()
        await keys.refresh()
        assert [await kid_in(worker, KeyState.ACTIVE, each) for each in ("ES256", "RS256", "Ed25519")] == following
        worker.clock.advance(1)
        await keys.rotate("Ed25519")
        await keys.rotate_when_due()
        worker.clock.advance(PUBLISHED)
        await keys.refresh()
        for algorithm in ALGORITHMS:
            assert await states_of(worker, algorithm) == {KeyState.RETIRED: 1, KeyState.ACTIVE: 1, KeyState.NEXT: 1}


async def test_nobody_who_waits_for_an_answer_waits_for_a_key_to_be_made(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job reads the keys too late, and the sets lack their next keys: who asks gets a token, the job makes them."""
    owner = await worker.client()
    await sql(worker.settings.database_url, "DELETE FROM auth.signing_keys WHERE signs_from IS NULL")
    worker.clock.advance(10)

    def refuse(algorithm: str) -> Any:
        raise AssertionError("a key was made")

    with monkeypatch.context() as patch:
        patch.setattr(worker.flows.keys, "_generate", refuse)
        assert await worker.is_active(owner, await worker.mint(owner))
    await worker.flows.keys.refresh()
    for algorithm in ALGORITHMS:
        assert (await states_of(worker, algorithm))[KeyState.NEXT] == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_each_algorithm_signs_rotates_and_is_killed(database_url: str, algorithm: str) -> None:
    async with worker_on(cheap(database_url, access_token_algorithm=algorithm)) as worker:
        owner = await worker.client()
        first = await worker.mint(owner)
        assert segment(first, 0)["alg"] == algorithm
        await worker.flows.keys.rotate()
        second = await worker.mint(owner)
        assert kid_of(second) != kid_of(first)
        worker.clock.advance(SETTLED)
        await worker.flows.keys.kill(kid_of(second))
        told = [await worker.is_active(owner, token) for token in (first, second, await worker.mint(owner))]
        assert told == [True, False, True]


# --- The master key


async def test_a_wrong_master_key_is_refused_at_the_start(database_url: str) -> None:
    async with worker_on(cheap(database_url)):
        pass
    before = await contents(database_url)
    with pytest.raises(ConfigurationError) as caught:
        async with worker_on(cheap(database_url, master_key=ANOTHER_MASTER_KEY)):
            pass
    assert "master key does not open" in str(caught.value)
    for secret in (MASTER_KEY, ANOTHER_MASTER_KEY):
        assert secret not in str(caught.value)
    assert await contents(database_url) == before


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"ES256"}))
async def test_a_wrong_master_key_is_refused_before_anything_is_sealed_with_it(
    database_url: str, algorithm: str
) -> None:
    """Else the keys it sealed would be there to sign a moment later, and every worker with the right one refused."""
    async with worker_on(cheap(database_url)):
        pass
    before = await contents(database_url)
    with pytest.raises(ConfigurationError):
        async with worker_on(cheap(database_url, master_key=ANOTHER_MASTER_KEY, access_token_algorithm=algorithm)):
            pass
    assert await contents(database_url) == before


async def test_the_right_master_key_opens_them_again(database_url: str) -> None:
    async with worker_on(cheap(database_url)) as first:
        owner = await first.client()
        token = await first.mint(owner)
    async with worker_on(cheap(database_url)) as second:
        assert await second.is_active(owner, token)
        assert kid_of(await second.mint(owner)) == kid_of(token)


@pytest.mark.parametrize("tampering", ["sealed_private", "kid"])
async def test_a_sealed_key_that_was_altered_or_moved_is_refused(database_url: str, tampering: str) -> None:
    async with worker_on(cheap(database_url)):
        pass
    changes = {
        "sealed_private": "sealed_private = set_byte(sealed_private, 20, get_byte(sealed_private, 20) # 1)",
        "kid": "kid = 'x' || kid",
    }
    await sql(database_url, f"UPDATE auth.signing_keys SET {changes[tampering]}")
    with pytest.raises(ConfigurationError):
        async with worker_on(cheap(database_url)):
            pass
