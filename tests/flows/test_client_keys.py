"""Keys that are fetched from a client's own address: when, how often, and what of a failure (CLA-14, JWK-09)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from authsvc.adapters.outbound import Answer, Outbound
from authsvc.errors import OutboundFailed, OutboundRefused, Unavailable
from authsvc.flows import client_keys
from authsvc.flows.client_keys import FLOOR_SECONDS, MAX_AGE_SECONDS, PAUSE_SECONDS, ClientKeys
from authsvc.protocol.client_keys import ALGORITHMS
from authsvc.protocol.jwt import Foreign, read_foreign
from tests.house_of import FakeClock
from tests.protocol.asking import CLIENT
from tests.signing import Hand

URI = "https://client.example/jwks"
CLIENT_WITH_URI = replace(CLIENT, jwks_uri=URI)
ONE, TWO = Hand(kid="one"), Hand(kid="two")


class Address:
    """What stands at the client's address, and how often somebody came to look."""

    def __init__(self) -> None:
        self.visits = 0
        self.answer: Callable[[], Answer] = lambda: document(ONE)

    async def get(self, uri: str, **_: Any) -> Answer:
        assert uri == URI
        self.visits += 1
        await asyncio.sleep(0)
        return self.answer()


def document(*hands: Hand) -> Answer:
    return Answer(200, json.dumps({"keys": [hand.jwk() for hand in hands]}).encode())


@pytest.fixture
def address() -> Address:
    return Address()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(address: Address, clock: FakeClock) -> ClientKeys:
    return ClientKeys(cast("Outbound", address), clock)


def by(hand: Hand, **header: Any) -> Foreign:
    jwt = read_foreign(hand.sign({}, **header))
    assert isinstance(jwt, Foreign)
    return jwt


async def has_signed(keys: ClientKeys, hand: Hand, **header: Any) -> bool:
    return await keys.has_signed(CLIENT_WITH_URI, by(hand, **header), ALGORITHMS)


async def test_keys_are_fetched_once_and_kept(keys: ClientKeys, address: Address, clock: FakeClock) -> None:
    assert await has_signed(keys, ONE)
    clock.advance(MAX_AGE_SECONDS - 1)
    assert await has_signed(keys, ONE)
    assert address.visits == 1
    clock.advance(1)
    assert await has_signed(keys, ONE)
    assert address.visits == 2


async def test_a_key_that_was_taken_away_ends_with_the_copy(
    keys: ClientKeys, address: Address, clock: FakeClock
) -> None:
    assert await has_signed(keys, ONE)
    address.answer = lambda: document(TWO)
    clock.advance(MAX_AGE_SECONDS)
    assert not await has_signed(keys, ONE)


async def test_a_new_kid_is_looked_for_once_a_minute(keys: ClientKeys, address: Address, clock: FakeClock) -> None:
    assert await has_signed(keys, ONE)
    address.answer = lambda: document(ONE, TWO)
    assert not await has_signed(keys, TWO), "too soon"
    clock.advance(FLOOR_SECONDS)
    assert await has_signed(keys, TWO)
    for number in range(50):
        assert not await has_signed(keys, ONE, kid=f"made up {number}")
    assert address.visits == 2


async def test_who_names_no_kid_has_nothing_looked_for(keys: ClientKeys, address: Address, clock: FakeClock) -> None:
    assert await has_signed(keys, ONE, kid=None)
    clock.advance(FLOOR_SECONDS)
    assert not await has_signed(keys, TWO, kid=None)
    assert address.visits == 1


async def test_those_who_wait_share_one_fetch_and_who_hangs_up_does_not_end_it(
    keys: ClientKeys, address: Address
) -> None:
    first, *others = [asyncio.create_task(has_signed(keys, ONE)) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == [True] * 9
    assert address.visits == 1


def refusing() -> Answer:
    raise OutboundRefused("inside")


def failing() -> Answer:
    raise OutboundFailed("no answer")


BAD: dict[str, Callable[[], Answer]] = {
    "no answer": failing,
    "a redirect": lambda: Answer(302, b""),
    "an error": lambda: Answer(500, b""),
    "no JSON": lambda: Answer(200, b"<html>"),
    "no UTF-8": lambda: Answer(200, b'{"keys": "\xff"}'),
    "no key set": lambda: Answer(200, b"[]"),
    "too many keys": lambda: Answer(200, json.dumps({"keys": [{}] * 21}).encode()),
}


@pytest.mark.parametrize("case", BAD)
async def test_an_address_that_gives_no_keys_is_no_verdict_and_is_left_alone_for_a_while(
    keys: ClientKeys, address: Address, clock: FakeClock, case: str
) -> None:
    address.answer = BAD[case]
    for _ in range(3):
        with pytest.raises(Unavailable):
            await has_signed(keys, ONE)
    assert address.visits == 1
    address.answer = lambda: document(ONE)
    clock.advance(PAUSE_SECONDS)
    assert await has_signed(keys, ONE)


async def test_keys_that_are_at_hand_outlast_a_failure_for_as_long_as_they_are_good(
    keys: ClientKeys, address: Address, clock: FakeClock
) -> None:
    assert await has_signed(keys, ONE)
    address.answer = failing
    clock.advance(FLOOR_SECONDS)
    with pytest.raises(Unavailable):
        await has_signed(keys, TWO)
    assert await has_signed(keys, ONE)
    assert not await has_signed(keys, TWO), "asked a moment ago"
    clock.advance(MAX_AGE_SECONDS)
    with pytest.raises(Unavailable):
        await has_signed(keys, ONE)


async def test_an_address_inside_is_nobodys_key(keys: ClientKeys, address: Address, clock: FakeClock) -> None:
    address.answer = refusing
    for _ in range(3):
        assert not await has_signed(keys, ONE)
    assert address.visits == 1
    address.answer = lambda: document(ONE)
    clock.advance(FLOOR_SECONDS)
    assert await has_signed(keys, ONE)


async def test_nothing_is_fetched_for_an_algorithm_that_is_none(keys: ClientKeys, address: Address) -> None:
    assert not await has_signed(keys, ONE, alg="none")
    assert address.visits == 0


async def test_a_client_without_keys_has_signed_nothing(keys: ClientKeys) -> None:
    assert not await keys.has_signed(CLIENT, by(ONE), ALGORITHMS)


async def test_registered_keys_are_read_once_for_each_copy_of_the_client(keys: ClientKeys) -> None:
    client = replace(CLIENT, jwks=ONE.key_set())
    assert await keys.has_signed(client, by(ONE), ALGORITHMS)
    assert await keys.has_signed(client, by(ONE), ALGORITHMS)
    changed = replace(CLIENT, jwks=TWO.key_set())
    assert not await keys.has_signed(changed, by(ONE), ALGORITHMS)
    assert await keys.has_signed(changed, by(TWO), ALGORITHMS)
    assert not await keys.has_signed(replace(CLIENT, jwks={"keys": 1}), by(ONE), ALGORITHMS)


async def test_strangers_do_not_make_it_remember_more_than_so_many(
    keys: ClientKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_keys, "MAX_SETS", 3)
    for number in range(10):
        client = replace(CLIENT, client_id=f"cli_{number}", jwks=ONE.key_set())
        assert await keys.has_signed(client, by(ONE), ALGORITHMS)
    assert len(keys._registered) == 3
