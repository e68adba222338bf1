"""Whatever kills a token kills it at once, everywhere, and alone (spec: INT-05, ATK-33, ATK-34, design: section 6)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count, product

import jwt
import pytest

from authsvc.models import Client
from tests.house_of import PASSWORD, House, bearer, house_on
from tests.web.answers import check_problem
from tests.web.forging import claims_of

numbers = count(1)


@dataclass
class Scene:
    """A user with tokens, and all that may happen to them."""

    house: House
    gateway: Client
    sub: str
    email: str

    async def token(self) -> str:
        return await self.house.log_in(self.email)

    async def is_active(self, token: str) -> bool:
        told = await self.house.introspect(self.gateway, token)
        if not told["active"]:
            assert told == {"active": False}
        let_in: bool = (await self.house.http.get("/api/v1/me", headers=bearer(token))).status_code == 200
        assert let_in == told["active"]  # the guard of our own API says the same as introspection
        return let_in


Kill = Callable[[Scene, str], Awaitable[None]]


async def revoke_token(scene: Scene, token: str) -> None:
    answer = await scene.house.http.post("/oauth2/revoke", data={"token": token, "client_id": "first-party"})
    assert answer.status_code == 200


async def log_out(scene: Scene, token: str) -> None:
    """The session, also where its token is dead already: as an operator could."""
    async with scene.house.flows.account._revocations.revoke() as revoking:
        await revoking.session(claims_of(token)["sid"])


async def revoke_user(scene: Scene, token: str) -> None:
    await scene.house.flows.users.revoke_tokens(scene.sub)


async def revoke_client(scene: Scene, token: str) -> None:
    await scene.house.flows.clients.revoke_tokens("first-party")


async def kill_key(scene: Scene, token: str) -> None:
    scene.house.clock.advance(5)  # the next key was published long enough ago to take over at once
    await scene.house.flows.keys.kill(jwt.get_unverified_header(token)["kid"])


async def revoke_everything(scene: Scene, token: str) -> None:
    await scene.house.flows.revocation.revoke_everything()


PRESENCES: dict[str, Kill] = {"token": revoke_token, "session": log_out, "key": kill_key}
NUMBERS: dict[str, Kill] = {"user": revoke_user, "client": revoke_client, "everything": revoke_everything}
KILLS = PRESENCES | NUMBERS


@pytest.fixture
async def scene(shared: House) -> Scene:
    """On one service for the whole file: whatever ends here, be it everything, ends for what was there before."""
    email = f"user{next(numbers)}@example.com"
    # The gateway has a token of no kind, so nothing that is done here takes its eyes.
    return Scene(shared, await shared.client(introspection="any"), await shared.user(email), email)


@pytest.fixture
async def own_scene(house: House) -> Scene:
    """On a service of its own, for who turns the clock."""
    return Scene(house, await house.client(introspection="any"), await house.user(), "ada@example.com")


@pytest.mark.parametrize("kind", KILLS)
async def test_this_kills_a_token_at_once_and_for_good_and_none_that_is_minted_after(scene: Scene, kind: str) -> None:
    before, neighbour = await scene.token(), await scene.token()
    assert await scene.is_active(before)
    await KILLS[kind](scene, before)
    assert not await scene.is_active(before)
    assert await scene.is_active(neighbour) is (kind in {"token", "session"})  # C3: as far as it says, no farther
    after = await scene.token()
    assert await scene.is_active(after)
    scene.house.clock.advance(5)
    assert not await scene.is_active(before)
    assert await scene.is_active(after)


@pytest.mark.parametrize("first", KILLS)
async def test_any_two_kill_as_surely_as_one(scene: Scene, first: str) -> None:  # ATK-34
    for second in KILLS:
        token = await scene.token()
        assert await scene.is_active(token)
        await KILLS[first](scene, token)
        assert not await scene.is_active(token)
        if {first, second} != {"key"}:  # a key can be killed but once
            await KILLS[second](scene, token)
        assert not await scene.is_active(token)


async def test_of_two_numbers_one_older_and_one_newer_the_newer_kills(scene: Scene) -> None:  # ATK-34
    for older, newer in product(NUMBERS.values(), repeat=2):
        await older(scene, "")
        token = await scene.token()
        assert await scene.is_active(token)
        await newer(scene, token)
        assert not await scene.is_active(token)


async def test_numbers_raised_many_times_before_the_minting_kill_nothing(scene: Scene) -> None:
    for raise_number in (*NUMBERS.values(), *NUMBERS.values()):
        await raise_number(scene, "")
    assert await scene.is_active(await scene.token())


async def test_a_number_raised_at_a_clock_that_stands_still_or_goes_back_still_kills(
    own_scene: Scene,
) -> None:  # FLT-44
    for step in (0, 0, -1, -3600, 3600, 3601):
        own_scene.house.clock.advance(step)
        token = await own_scene.token()
        assert await own_scene.is_active(token)
        await revoke_user(own_scene, token)
        assert not await own_scene.is_active(token)


async def test_one_users_and_one_clients_end_is_nobody_elses(shared: House) -> None:  # C3
    house = shared
    gateway, service, other = await house.client(introspection="any"), await house.client(), await house.client()
    ada, eve = await house.user("ada@example.com"), await house.user("eve@example.com")
    assert ada != eve
    tokens = {
        "ada": await house.log_in("ada@example.com"),
        "eve": await house.log_in("eve@example.com"),
        "service": await house.token(service),
        "other": await house.token(other),
    }

    async def alive() -> set[str]:
        return {name for name, token in tokens.items() if (await house.introspect(gateway, token))["active"]}

    assert await alive() == {"ada", "eve", "service", "other"}
    await house.flows.users.revoke_tokens(ada)
    assert await alive() == {"eve", "service", "other"}
    await house.flows.clients.revoke_tokens(service.client_id)
    assert await alive() == {"eve", "other"}
    await house.flows.clients.revoke_tokens("first-party")
    assert await alive() == {"other"}
    await house.flows.revocation.revoke_everything()
    assert await alive() == set()


@pytest.mark.parametrize("change", ["disable", "delete", "revoke_tokens"])
async def test_what_ends_a_user_ends_every_token_and_session_of_theirs(scene: Scene, change: str) -> None:  # ATK-33
    tokens = [await scene.token() for _ in range(3)]
    await getattr(scene.house.flows.users, change)(scene.sub)
    assert [await scene.is_active(token) for token in tokens] == [False] * 3
    still_open = "SELECT count(*) FROM auth.sessions WHERE sub = $1 AND ended_at IS NULL"
    open_sessions = await scene.house.sql(still_open, scene.sub)
    assert open_sessions == 0


async def test_enabling_a_user_again_revives_nothing(scene: Scene) -> None:
    token = await scene.token()
    await scene.house.flows.users.disable(scene.sub)
    await scene.house.flows.users.enable(scene.sub)
    assert not await scene.is_active(token)
    assert await scene.is_active(await scene.token())


async def test_a_user_made_anew_under_an_old_address_is_somebody_else(scene: Scene) -> None:  # ATK-21
    old = await scene.token()
    await scene.house.flows.users.delete(scene.sub)
    assert await scene.house.user(scene.email) != scene.sub
    assert not await scene.is_active(old)
    assert await scene.is_active(await scene.token())
    assert not await scene.is_active(old)


async def test_enabling_a_client_again_revives_nothing(shared: House) -> None:  # ATK-33
    house = shared
    gateway, client = await house.client(introspection="any"), await house.client()
    token = await house.token(client)
    await house.flows.clients.disable(client.client_id)
    await house.flows.clients.enable(client.client_id)
    house.clock.advance(1)
    assert await house.introspect(gateway, token) == {"active": False}
    assert (await house.introspect(gateway, await house.token(client)))["active"] is True


# --- Keys (JWK-06, JWK-07, ATK-87, ATK-111, ATK-112)


async def kids(house: House) -> set[str]:
    document = (await house.http.get("/.well-known/jwks.json")).json()
    return {key["kid"] for key in document["keys"]}


async def test_a_key_killed_a_moment_after_another_gives_no_token_until_its_successor_is_known(
    own_scene: Scene,
) -> None:
    # JWK-06, JWK-08: nobody signs with a key that other workers have not read; ATK-112: for five seconds at most
    for _ in range(2):
        signer = own_scene.house.flows.keys.ring.signer
        assert signer is not None
        await own_scene.house.flows.keys.kill(signer.kid)
    answer = await own_scene.house.http.post("/api/v1/login", json={"email": own_scene.email, "password": PASSWORD})
    check_problem(answer, 503, "temporarily-unavailable")
    own_scene.house.clock.advance(5)
    await own_scene.house.flows.keys.refresh()
    assert await own_scene.is_active(await own_scene.token())


async def test_rotation_changes_the_signer_and_keeps_every_old_token_alive(own_scene: Scene) -> None:  # JWK-06, JWP-03
    house = own_scene.house
    old = await own_scene.token()
    old_kid = jwt.get_unverified_header(old)["kid"]
    before = await kids(house)
    assert old_kid in before
    house.clock.advance(10)

    new_kid = (await house.flows.keys.rotate()).kid
    assert new_kid in before  # JWK-06: it was published before it signs
    new = await own_scene.token()
    assert jwt.get_unverified_header(new)["kid"] == new_kid != old_kid
    assert {old_kid, new_kid} < await kids(house)  # retired, active, and a next one
    assert await own_scene.is_active(old)
    assert await own_scene.is_active(new)

    house.clock.advance(house.settings.access_token_seconds - 11)  # the last second of the old token
    await house.flows.keys.refresh()
    assert await own_scene.is_active(old)
    house.clock.advance(2 * 3600)
    await house.flows.keys.refresh()
    assert old_kid not in await kids(house)  # removed, when nothing that it signed can be alive


async def test_rotating_again_and_again_kills_no_token(own_scene: Scene) -> None:  # ATK-111
    tokens = []
    own_scene.house.clock.advance(1)
    for _ in range(4):
        tokens.append(await own_scene.token())
        await own_scene.house.flows.keys.rotate()
        own_scene.house.clock.advance(6)
        await own_scene.house.flows.keys.refresh()
    # The second rotation waits until no verifier can be without the key, and those after it wait with it.
    assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 2
    assert [await own_scene.is_active(token) for token in tokens] == [True] * 4


async def test_a_key_that_was_rotated_out_can_still_be_killed(own_scene: Scene) -> None:  # JWK-07
    old = await own_scene.token()
    own_scene.house.clock.advance(10)
    await own_scene.house.flows.keys.rotate()
    new = await own_scene.token()
    await kill_key(own_scene, old)
    assert not await own_scene.is_active(old)
    assert await own_scene.is_active(new)
    assert jwt.get_unverified_header(old)["kid"] not in await kids(own_scene.house)


async def test_a_key_killed_here_is_dead_on_every_worker_which_signs_with_another_at_once(scene: Scene) -> None:
    # C3, ATK-112: the other worker has read the keys a moment ago and still holds the killed one
    house = scene.house
    async with house_on(house.settings, house.clock) as other:
        other.credentials = house.credentials
        there = Scene(other, scene.gateway, scene.sub, scene.email)
        token = await there.token()
        killed = jwt.get_unverified_header(token)["kid"]
        assert await there.is_active(token)
        await kill_key(scene, token)
        assert not await there.is_active(token)
        assert not await scene.is_active(token)
        after = await there.token()
        assert jwt.get_unverified_header(after)["kid"] != killed
        assert await there.is_active(after)
        assert await scene.is_active(after)


@pytest.mark.parametrize("kind", [*NUMBERS, "session"])
async def test_what_is_ended_here_is_dead_on_every_worker(scene: Scene, kind: str) -> None:  # C1, INT-13
    async with house_on(scene.house.settings, scene.house.clock) as other:
        other.credentials = scene.house.credentials
        there = Scene(other, scene.gateway, scene.sub, scene.email)
        token = await there.token()
        assert await there.is_active(token)
        await KILLS[kind](scene, token)
        assert not await there.is_active(token)
        assert await there.is_active(await there.token())


async def test_logins_during_an_end_of_everything_give_tokens_that_are_dead_or_minted_after_it(scene: Scene) -> None:
    # C3, FLT-42
    house = scene.house
    results = await asyncio.gather(
        *(scene.token() for _ in range(6)), revoke_user(scene, ""), *(scene.token() for _ in range(6))
    )
    generation = await house.sql("SELECT generation FROM auth.token_blacklist WHERE mark = $1", f"u:{scene.sub}")
    for token in results:
        if token is not None:
            assert await scene.is_active(token) is (claims_of(token)["gen"]["u"] == generation)
    assert await scene.is_active(await house.log_in(scene.email, PASSWORD))
