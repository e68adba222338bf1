"""`auth.clients`, on a real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from authsvc.models import (
    ApplicationType,
    AuthMethod,
    Client,
    ConsentPolicy,
    GrantType,
    IntrospectionRight,
    SubjectType,
)
from authsvc.protocol.revocation import client_mark
from authsvc.tables import cache_mode, clients, revocations
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, a_client, insert_pair, open_session

SIGN_IN: dict[str, Any] = {
    "redirect_uris": ("https://z.example/cb", "com.example.app:/cb"),
    "post_logout_redirect_uris": ("https://z.example/out", "com.example.app:/out"),
    "backchannel_logout_uri": "https://z.example/told",
    "backchannel_logout_session_required": True,
    "application_type": ApplicationType.NATIVE,
    "require_pkce": False,
    "id_token_algorithm": "ES256",
    "userinfo_algorithm": "Ed25519",
    "introspection_algorithm": "ES256",
    "consent": ConsentPolicy.ALWAYS,
    "logo_uri": "https://z.example/logo",
    "client_uri": "https://z.example/client",
    "policy_uri": "https://z.example/policy",
    "tos_uri": "https://z.example/tos",
    "default_max_age": 0,
    "require_auth_time": True,
    "jwks": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "ü"}]},
    "jwks_uri": "https://z.example/jwks",
    "assertion_algorithm": "ES256",
    "request_object_algorithm": "PS256",
    "require_pushed_request": True,
    "require_signed_request": True,
    "subject_type": SubjectType.PAIRWISE,
    "sector_identifier_uri": "https://z.example/sector",
}
"""Of each the other value than that of a client which never heard of it."""


@pytest.mark.parametrize("method", [None, *AuthMethod])
@pytest.mark.parametrize("right", IntrospectionRight)
async def test_a_client_comes_back_as_it_went_in(
    db: Database, method: AuthMethod | None, right: IntrospectionRight
) -> None:
    client = a_client(
        auth_method=method,
        introspection=right,
        secret_digests=(b"\x00" * 32, b"\xff" * 32),
        scope=("z", "a", "m"),
        audiences=("https://z.example", "https://a.example"),
        serves=frozenset({"https://1.example", "https://2.example"}),
        disabled_at=NOW,
        secret_created_at=NOW,
        old_secret_expires_at=LATER,
        **SIGN_IN,
    )
    await clients.insert_client(db, client)
    assert await clients.find_client(db, client.client_id) == client


async def test_a_client_with_nothing_comes_back_with_nothing(db: Database) -> None:
    client = a_client(
        secret_digests=(), grant_types=frozenset(), scope=(), audiences=(), serves=frozenset(), first_party=False
    )
    await clients.insert_client(db, client)
    assert await clients.find_client(db, client.client_id) == client


async def test_every_grant_type_is_kept(db: Database) -> None:
    client = a_client(grant_types=frozenset(GrantType))
    await clients.insert_client(db, client)
    assert await clients.find_client(db, client.client_id) == client


async def test_the_built_in_client_is_public_and_first_party_and_has_no_secret(db: Database) -> None:
    client = await clients.find_client(db, "first-party")
    assert client is not None
    assert client.is_public
    assert client.first_party
    assert client.secret_digests == ()
    assert client.grant_types == {GrantType.REFRESH_TOKEN}
    assert client.introspection is IntrospectionRight.OWN


@pytest.mark.parametrize("policy", ConsentPolicy)
async def test_every_consent_policy_is_kept(db: Database, policy: ConsentPolicy) -> None:
    client = a_client(consent=policy)
    await clients.insert_client(db, client)
    assert await clients.find_client(db, client.client_id) == client


async def test_a_client_that_never_heard_of_redirects_is_what_a_new_one_is_by_default(db: Database) -> None:
    """Rows of before, and those that a worker of the version before writes."""
    await db.execute(
        "INSERT INTO auth.clients (client_id, name, secret_digests, grant_types, scope, audiences, serves, "
        "introspection, first_party, created_at) "
        "VALUES ('cli_old', 'old', '{}', '{}', '{}', '{}', '{}', 'own', false, $1)",
        NOW,
    )
    found = await clients.find_client(db, "cli_old")
    assert found == Client(
        client_id="cli_old",
        name="old",
        secret_digests=(),
        auth_method=None,
        grant_types=frozenset(),
        scope=(),
        audiences=(),
        serves=frozenset(),
        introspection=IntrospectionRight.OWN,
        first_party=False,
        created_at=NOW,
        disabled_at=None,
    )
    assert all(getattr(found, name) != value for name, value in SIGN_IN.items())


async def test_the_number_of_a_client_comes_with_it(db: Database) -> None:
    client, other = a_client(), a_client()
    mark = client_mark(client.client_id)
    await clients.insert_client(db, client)
    await clients.insert_client(db, other)
    _, version = await cache_mode.get_mode_and_clients_version(db)
    assert await clients.find_client_to_copy(db, client.client_id, mark) == (client, 0, version)
    number = await revocations.raise_generation(db, mark, now=NOW, expires_at=LATER)
    assert await clients.find_client_to_copy(db, client.client_id, mark) == (client, number, version)
    assert await clients.find_client_to_copy(db, other.client_id, client_mark(other.client_id)) == (other, 0, version)
    assert await clients.find_client_to_copy(db, "cli_nobody", mark) is None


async def test_row_and_number_are_of_one_instant(db: Database) -> None:
    """Read one after the other, an old row could come with a new number: a token minted of it would outlive the
    change."""
    client = a_client()
    mark = client_mark(client.client_id)
    await clients.insert_client(db, client)
    over = asyncio.Event()

    async def disable_and_enable() -> None:
        for turn in range(60):
            async with db.transaction() as tx:
                await clients.update_disabled(tx, client.client_id, NOW + timedelta(seconds=turn))
                await revocations.raise_generation(tx, mark, now=NOW, expires_at=LATER)
        over.set()

    async def read() -> set[tuple[int, int]]:
        seen = set()
        while not over.is_set():
            found = await clients.find_client_to_copy(db, client.client_id, mark)
            assert found is not None
            if found[0].disabled_at is not None:
                seen.add(((found[0].disabled_at - NOW).seconds, found[1]))
        return seen

    first, second, _ = await asyncio.gather(read(), read(), disable_and_enable())
    base = int(NOW.timestamp())
    assert len(first | second) > 10
    assert all(number == base + turn for turn, number in first | second)


async def test_nobody_is_found_where_nobody_is(db: Database) -> None:
    for text in ("cli_nobody", "", "%", "_", "first-part_", "' OR 1=1--"):
        assert await clients.find_client(db, text) is None


async def test_clients_are_listed_in_the_order_they_were_made(db: Database) -> None:
    late = a_client(created_at=NOW.replace(year=2098))
    early = a_client(created_at=NOW.replace(year=2097))
    for client in (late, early):
        await clients.insert_client(db, client)
    listed = await clients.list_clients(db)
    assert listed[-2:] == [early, late]
    assert [client.client_id for client in listed[:-2]] == ["first-party"]


async def test_a_client_is_disabled_and_enabled(db: Database) -> None:
    client, other = a_client(), a_client()
    await clients.insert_client(db, client)
    await clients.insert_client(db, other)
    assert await clients.update_disabled(db, client.client_id, NOW)
    assert await clients.find_client(db, client.client_id) == replace(client, disabled_at=NOW)
    assert await clients.update_disabled(db, client.client_id, None)
    assert await clients.find_client(db, client.client_id) == client
    assert await clients.find_client(db, other.client_id) == other
    assert not await clients.update_disabled(db, "cli_nobody", NOW)


async def test_a_new_secret_stands_before_the_one_that_goes_on_and_a_third_is_gone(db: Database) -> None:  # CLA-16
    client, other = a_client(), a_client()
    public, signer = (
        a_client(secret_digests=(), auth_method=method) for method in (AuthMethod.NONE, AuthMethod.PRIVATE_KEY_JWT)
    )
    for each in (client, other, public, signer):
        await clients.insert_client(db, each)
    first = client.secret_digests[0]

    async def rotate(client_id: str, digest: bytes, old_expires_at: datetime | None) -> bool:
        return await clients.rotate_secret(db, client_id, digest, now=NOW, old_expires_at=old_expires_at)

    for digest, old_expires_at, expected in [
        (b"second", LATER, (b"second", first)),
        (b"third", LATER, (b"third", b"second")),
        (b"fourth", None, (b"fourth",)),
        (b"fifth", LATER, (b"fifth", b"fourth")),
    ]:
        assert await rotate(client.client_id, digest, old_expires_at)
        assert await clients.find_client(db, client.client_id) == replace(
            client, secret_digests=expected, secret_created_at=NOW, old_secret_expires_at=old_expires_at
        )
    assert await clients.find_client(db, other.client_id) == other
    for stranger in ("cli_nobody", public.client_id, signer.client_id):
        assert not await rotate(stranger, b"new", LATER)
        assert not await clients.drop_old_secret(db, stranger)
    assert await clients.find_client(db, public.client_id) == public

    for _ in range(2):
        assert await clients.drop_old_secret(db, client.client_id)
        assert await clients.find_client(db, client.client_id) == replace(
            client, secret_digests=(b"fifth",), secret_created_at=NOW
        )


async def test_who_went_from_keys_to_secrets_is_given_a_first_one(db: Database) -> None:
    client = a_client(secret_digests=())
    await clients.insert_client(db, client)
    assert await clients.rotate_secret(db, client.client_id, b"first", now=NOW, old_expires_at=LATER)
    found = await clients.find_client(db, client.client_id)
    assert found is not None
    assert found.secret_digests == (b"first",)


async def test_of_secrets_made_at_once_the_last_two_are_left(db: Database) -> None:
    client = a_client()
    await clients.insert_client(db, client)
    made = [b"%d" % number for number in range(20)]
    await asyncio.gather(
        *(clients.rotate_secret(db, client.client_id, each, now=NOW, old_expires_at=LATER) for each in made)
    )
    found = await clients.find_client(db, client.client_id)
    assert found is not None
    assert len(set(found.secret_digests)) == 2
    assert set(found.secret_digests) <= set(made)


async def test_what_an_operator_may_change_is_replaced_and_the_rest_stays(db: Database) -> None:
    client, other = a_client(), a_client()
    await clients.insert_client(db, client)
    await clients.insert_client(db, other)
    changed = replace(
        client,
        name="another name",
        auth_method=AuthMethod.POST,
        grant_types=frozenset({GrantType.REFRESH_TOKEN}),
        scope=("admin",),
        audiences=(),
        serves=frozenset({"https://new.example"}),
        introspection=IntrospectionRight.ANY,
        first_party=False,
        **SIGN_IN,
    )
    await clients.update_client(db, replace(changed, secret_digests=(b"unasked",), disabled_at=NOW))
    assert await clients.find_client(db, client.client_id) == changed
    assert await clients.find_client(db, other.client_id) == other


async def test_a_deleted_client_takes_its_sessions_along(db: Database) -> None:
    user, client = await insert_pair(db)
    other = a_client()
    await clients.insert_client(db, other)
    assert await open_session(db, "gone", user, client)
    assert await open_session(db, "stays", user, other)
    assert not await clients.delete_client(db, client.client_id), "its tokens may live"
    assert await clients.update_disabled(db, client.client_id, NOW)
    assert await clients.delete_client(db, client.client_id)
    assert await clients.find_client(db, client.client_id) is None
    assert [row["sid"] for row in await db.fetch("SELECT sid FROM auth.sessions")] == ["stays"]
    assert not await clients.delete_client(db, client.client_id)


async def test_a_client_id_is_never_two_clients(db: Database) -> None:
    client = a_client()
    await clients.insert_client(db, client)
    with pytest.raises(asyncpg.UniqueViolationError):
        await clients.insert_client(db, replace(client, name="another"))


async def test_a_nul_is_a_fault_and_not_an_outage(db: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        await clients.find_client_to_copy(db, "a\0b", "c:a\0b")
    with pytest.raises(asyncpg.DataError):
        await clients.insert_client(db, a_client(name="a\0b"))
