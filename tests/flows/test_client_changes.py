"""Clients change while their tokens are out: what is narrowed counts within a second, for refresh tokens too."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from authsvc.errors import InvalidClient, InvalidScope, InvalidValue, NotFound, UnauthorizedClient
from authsvc.models import ApplicationType, AuthMethod, ConsentPolicy, GrantType, IntrospectionRight
from authsvc.protocol.clients import ClientChanges
from tests.flows.workers import Caller, Worker, claims_of, contents, sql


async def change(worker: Worker, who: Caller, changes: ClientChanges) -> None:
    """And a second passes."""
    await worker.flows.clients.update(who.client_id, changes)
    worker.clock.advance(1)


async def test_what_is_named_changes_and_the_rest_stays(worker: Worker) -> None:
    before = await worker.client(scope="read write", audiences=("https://a.example",), serves=("https://b.example",))
    client = await worker.flows.clients.get(before.client_id)
    steps: list[tuple[ClientChanges, str, Any]] = [
        ({"name": "another name"}, "name", "another name"),
        ({"scope": "read"}, "scope", ("read",)),
        ({"scope": ""}, "scope", ()),
        ({"grant_types": (GrantType.REFRESH_TOKEN,)}, "grant_types", frozenset({GrantType.REFRESH_TOKEN})),
        ({"audiences": ("https://c.example",)}, "audiences", ("https://c.example",)),
        ({"audiences": ()}, "audiences", ()),
        ({"serves": ()}, "serves", frozenset()),
        ({"introspection": IntrospectionRight.OWN}, "introspection", IntrospectionRight.OWN),
        ({"auth_method": AuthMethod.POST}, "auth_method", AuthMethod.POST),
        ({"auth_method": None}, "auth_method", None),
        ({"redirect_uris": ("https://a.example/cb",)}, "redirect_uris", ("https://a.example/cb",)),
        ({"application_type": ApplicationType.NATIVE}, "application_type", ApplicationType.NATIVE),
        ({"redirect_uris": ("http://[::1]/cb",) * 2}, "redirect_uris", ("http://[::1]/cb",)),
        ({"require_pkce": False}, "require_pkce", False),
        ({"id_token_algorithm": "ES256"}, "id_token_algorithm", "ES256"),
        ({"userinfo_algorithm": "RS256"}, "userinfo_algorithm", "RS256"),
        ({"userinfo_algorithm": None}, "userinfo_algorithm", None),
        ({"introspection_algorithm": "Ed25519"}, "introspection_algorithm", "Ed25519"),
        ({"consent": ConsentPolicy.NEVER}, "consent", ConsentPolicy.NEVER),
        ({"logo_uri": "https://a.example/logo"}, "logo_uri", "https://a.example/logo"),
        ({"client_uri": "https://a.example/"}, "client_uri", "https://a.example/"),
        ({"policy_uri": "https://a.example/policy"}, "policy_uri", "https://a.example/policy"),
        ({"tos_uri": "https://a.example/tos"}, "tos_uri", "https://a.example/tos"),
        ({"default_max_age": 3600}, "default_max_age", 3600),
        ({"require_auth_time": True}, "require_auth_time", True),
        ({"redirect_uris": ()}, "redirect_uris", ()),
        (
            {"post_logout_redirect_uris": ("https://a.example/bye",) * 2},
            "post_logout_redirect_uris",
            ("https://a.example/bye",),
        ),
        ({"backchannel_logout_uri": "https://a.example/told"}, "backchannel_logout_uri", "https://a.example/told"),
        ({"backchannel_logout_session_required": True}, "backchannel_logout_session_required", True),
    ]
    for changes, name, value in steps:
        changed = await worker.flows.clients.update(client.client_id, changes)
        assert getattr(changed, name) == value
        kept = {each: getattr(client, each) for each in client.__slots__ if each != name}
        assert {each: getattr(changed, each) for each in kept} == kept
        client = changed
        assert await worker.flows.clients.get(client.client_id) == client


async def test_a_change_that_contradicts_the_client_changes_nothing(worker: Worker) -> None:
    confidential = await worker.client()
    public = await worker.client(public=True, grant_types=())
    before = await contents(worker.settings.database_url)
    wrong: list[tuple[Caller, ClientChanges]] = [
        (confidential, {"name": ""}),
        (confidential, {"name": "a\0b"}),
        (confidential, {"scope": "a  b"}),
        (confidential, {"audiences": ("nothing",)}),
        (confidential, {"auth_method": AuthMethod.NONE}),
        (public, {"auth_method": AuthMethod.BASIC}),
        (public, {"grant_types": (GrantType.CLIENT_CREDENTIALS,)}),
        (public, {"require_pkce": False}),
        (confidential, {"grant_types": (GrantType.AUTHORIZATION_CODE,)}),
        (confidential, {"redirect_uris": ("http://a.example/cb",)}),
        (confidential, {"logo_uri": "javascript:alert(1)"}),
    ]
    for who, changes in wrong:
        with pytest.raises(InvalidValue):
            await worker.flows.clients.update(who.client_id, changes)
    with pytest.raises(NotFound):
        await worker.flows.clients.update("cli_nobody", {"name": "a name"})
    assert await contents(worker.settings.database_url) == before


async def test_of_changes_at_once_none_is_lost(workers: list[Worker]) -> None:
    here, there = workers
    who = await here.client()
    await asyncio.gather(
        here.flows.clients.update(who.client_id, {"name": "another name"}),
        there.flows.clients.update(who.client_id, {"scope": "read"}),
        here.flows.clients.update(who.client_id, {"audiences": ("https://a.example",)}),
        there.flows.clients.update(who.client_id, {"serves": ("https://b.example",)}),
        here.flows.clients.disable(who.client_id),
    )
    client = await there.flows.clients.get(who.client_id)
    assert (client.name, client.scope, client.audiences) == ("another name", ("read",), ("https://a.example",))
    assert client.serves == {"https://b.example"}
    assert client.disabled_at is not None


async def test_a_grant_type_that_is_taken_away_is_refused_on_every_worker(workers: list[Worker]) -> None:
    here, there = workers
    who = await here.client()
    for worker in workers:
        assert await worker.mint(who)
    await change(there, who, {"grant_types": (GrantType.REFRESH_TOKEN,)})
    for worker in workers:
        with pytest.raises(UnauthorizedClient):
            await worker.mint(who)


async def test_an_authentication_method_that_is_named_is_demanded_on_every_worker(workers: list[Worker]) -> None:
    here, there = workers
    who = await here.client()
    for worker in workers:
        assert await worker.authenticate(who)
    await change(there, who, {"auth_method": AuthMethod.POST})
    for worker in workers:
        with pytest.raises(InvalidClient):
            await worker.authenticate(who)


async def test_a_refresh_gives_no_more_than_the_client_has_today(workers: list[Worker]) -> None:
    """The grant keeps what was granted; what is taken from the client and given back is there again."""
    here, there = workers
    who = await here.client(public=True, first_party=True, scope="read write", grant_types=())
    await here.register()
    opened = await here.open_session(client_id=who.client_id)
    token = str(opened.refresh_token)
    for scope, expected in [
        ("read", "read"),
        ("read write more", "read write"),
        ("", ""),
        ("write read", "read write"),
    ]:
        await change(there, who, {"scope": scope})
        for worker in workers:
            access, token = await worker.refresh(who, token)
            assert set(claims_of(access).get("scope", "").split()) == set(expected.split())
    await change(there, who, {"scope": "read"})
    with pytest.raises(InvalidScope):
        await here.open_session(client_id=who.client_id, scope="read write")


async def test_a_client_that_may_not_refresh_any_more_does_not(workers: list[Worker]) -> None:
    here, there = workers
    who = await here.client(first_party=True, grant_types=(GrantType.REFRESH_TOKEN, GrantType.CLIENT_CREDENTIALS))
    await here.register()
    opened = await here.open_session(client_id=who.client_id)
    _, token = await here.refresh(who, str(opened.refresh_token))
    await change(there, who, {"grant_types": (GrantType.CLIENT_CREDENTIALS,)})
    for worker in workers:
        with pytest.raises(UnauthorizedClient):
            await worker.refresh(who, token)


async def test_every_change_is_written_down_with_it(worker: Worker) -> None:
    who = await worker.client()
    flow = worker.flows.clients
    await flow.update(who.client_id, {"scope": "read", "name": "another name"})
    await flow.rotate_secret(who.client_id, keep_old_for=timedelta(hours=1))
    await flow.drop_old_secret(who.client_id)
    await flow.disable(who.client_id)
    await flow.enable(who.client_id)
    await flow.delete(who.client_id)
    for refused in (
        flow.update(who.client_id, {"name": "a name"}),
        flow.rotate_secret(who.client_id, keep_old_for=timedelta(0)),
        flow.drop_old_secret(who.client_id),
    ):
        with pytest.raises(NotFound):
            await refused
    told = await sql(
        worker.settings.database_url,
        "SELECT array_agg(event || ' ' || (details - 'operator') ORDER BY id) FROM audit.security_events "
        "WHERE client_id = $1 AND event LIKE 'client%'",
        who.client_id,
    )
    assert told == [
        "client_created {}",
        'client_updated {"changed": ["name", "scope"]}',
        'client_secret_rotated {"overlap_seconds": 3600}',
        'client_updated {"changed": ["old_secret"]}',
        'client_updated {"disabled": true}',
        'client_updated {"disabled": false}',
        'client_updated {"disabled": true}',
        "client_deleted {}",
    ]
