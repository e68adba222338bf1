"""`authsvc client ...`"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli.client_settings import sign_in_options
from authsvc.cli.context import operator_command, tell, with_flows
from authsvc.cli.durations import Duration
from authsvc.models import AuthMethod, Client, GrantType, IntrospectionRight
from authsvc.protocol.clients import ClientChanges, ClientRegistration, SignInSettings

if TYPE_CHECKING:
    from authsvc.flows import Flows


EITHER_SECRET_METHOD = "any"  # noqa: S105 - a word
OVERLAP = timedelta(hours=24)
"""For how long an old secret goes on, unless it is said otherwise: time to bring the new one to every instance."""


@click.group()
def client() -> None:
    """Create, show, change, disable, enable and delete clients; rotate their secrets; revoke their tokens."""


@client.command()
@click.option("--name", required=True, help="What people call it.")
@click.option("--public", is_flag=True, help="It cannot keep a secret: a browser or a phone app.")
@click.option("--first-party", is_flag=True, help="It may log users in with their password.")
@click.option("--grant", "grants", multiple=True, type=click.Choice([str(g) for g in GrantType]), help="Repeatable.")
@click.option("--scope", default="", help="Scopes it may be given, separated by spaces.")
@click.option("--audience", "audiences", multiple=True, help="A resource it may ask tokens for. Repeatable.")
@click.option("--serves", multiple=True, help="A resource that it is. Repeatable.")
@click.option(
    "--introspect",
    type=click.Choice([str(right) for right in IntrospectionRight]),
    default=str(IntrospectionRight.AUDIENCE),
    show_default=True,
    help="Tokens it may introspect: its own; also those for what it serves; all.",
)
@click.option(
    "--token-endpoint-auth-method",
    type=click.Choice([str(method) for method in AuthMethod]),
    help="The one method it must use. Default: client_secret_basic and client_secret_post. private_key_jwt: no secret.",
)
@sign_in_options
@operator_command
def create(
    name: str,
    public: bool,
    first_party: bool,
    grants: tuple[str, ...],
    scope: str,
    audiences: tuple[str, ...],
    serves: tuple[str, ...],
    introspect: str,
    token_endpoint_auth_method: str | None,
    settings: SignInSettings,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Create a client. Its secret is shown this once."""
    registration = ClientRegistration(
        name=name,
        public=public,
        first_party=first_party,
        auth_method=AuthMethod(token_endpoint_auth_method) if token_endpoint_auth_method else None,
        grant_types=tuple(GrantType(each) for each in grants),
        scope=scope,
        audiences=audiences,
        serves=serves,
        introspection=IntrospectionRight(introspect),
        **settings,
    )
    made, secret = with_flows(data_dir, lambda flows: flows.clients.create(registration))
    answer = {"client_id": made.client_id} | ({"client_secret": secret} if secret else {})
    tell(as_json, answer, _lines(answer))


@client.command("list")
@operator_command
def list_all(as_json: bool, data_dir: Path) -> None:
    """List the clients."""
    found = with_flows(data_dir, lambda flows: flows.clients.list_all())
    lines = [f"{c.client_id}  {'disabled' if c.disabled_at else 'enabled '}  {c.name}" for c in found]
    tell(as_json, [_describe(each) for each in found], "\n".join(lines))


@client.command()
@click.argument("client_id")
@operator_command
def show(client_id: str, as_json: bool, data_dir: Path) -> None:
    """Show a client."""
    found = _describe(with_flows(data_dir, lambda flows: flows.clients.get(client_id)))
    tell(as_json, found, _lines(found))


@client.command()
@click.argument("client_id")
@click.option("--name", help="What people call it.")
@click.option("--grant", "grants", multiple=True, type=click.Choice([str(g) for g in GrantType]), help="Repeatable.")
@click.option("--scope", help="Scopes it may be given, separated by spaces.")
@click.option(
    "--audience", "audiences", multiple=True, help="A resource it may ask tokens for. Repeatable; '' is none."
)
@click.option("--serves", multiple=True, help="A resource that it is. Repeatable; '' is none.")
@click.option(
    "--introspect",
    type=click.Choice([str(right) for right in IntrospectionRight]),
    help="Tokens it may introspect: its own; also those for what it serves; all.",
)
@click.option(
    "--token-endpoint-auth-method",
    type=click.Choice([EITHER_SECRET_METHOD, *(str(method) for method in AuthMethod)]),
    help="The one method it must use; any: client_secret_basic and client_secret_post.",
)
@sign_in_options
@click.option(
    "--change-subjects",
    is_flag=True,
    help="Let this change what it calls its users, who are strangers to it then. Ends every token of it.",
)
@operator_command
def update(
    client_id: str,
    name: str | None,
    grants: tuple[str, ...],
    scope: str | None,
    audiences: tuple[str, ...],
    serves: tuple[str, ...],
    introspect: str | None,
    token_endpoint_auth_method: str | None,
    change_subjects: bool,
    settings: ClientChanges,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Change what is named; a list is replaced as a whole. Every worker goes by it within about a second."""
    changes = settings.copy()
    if name is not None:
        changes["name"] = name
    if grants:
        changes["grant_types"] = tuple(GrantType(each) for each in grants)
    if scope is not None:
        changes["scope"] = scope
    if audiences:
        changes["audiences"] = tuple(filter(None, audiences))
    if serves:
        changes["serves"] = tuple(filter(None, serves))
    if introspect is not None:
        changes["introspection"] = IntrospectionRight(introspect)
    if token_endpoint_auth_method is not None:
        is_either = token_endpoint_auth_method == EITHER_SECRET_METHOD
        changes["auth_method"] = None if is_either else AuthMethod(token_endpoint_auth_method)
    if not changes:
        raise click.UsageError("name what is to change")
    changed = _describe(
        with_flows(data_dir, lambda flows: flows.clients.update(client_id, changes, change_subjects=change_subjects))
    )
    tell(as_json, changed, _lines(changed))


@client.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--keep-old-for",
    type=Duration(),
    help="How long the old secret goes on, like 90s, 15m or 7d.  [default: 24h]",
)
@click.option("--drop-old", is_flag=True, help="The old secret ends at once.")
@operator_command
def rotate_secret(
    client_id: str, keep_old_for: timedelta | None, drop_old: bool, as_json: bool, data_dir: Path
) -> None:
    """Give a client a new secret, shown this once. The old one goes on for a while; one before it ends."""
    if drop_old and keep_old_for is not None:
        raise click.UsageError("give either --keep-old-for or --drop-old")
    overlap = timedelta(0) if drop_old else OVERLAP if keep_old_for is None else keep_old_for
    rotated = with_flows(data_dir, lambda flows: flows.clients.rotate_secret(client_id, keep_old_for=overlap))
    answer = {
        "client_id": client_id,
        "client_secret": rotated.secret,
        "old_secret_expires_at": _time(rotated.old_expires_at),
    }
    tell(as_json, answer, _lines(answer))


def _acts(name: str, help_text: str, done: str) -> None:
    """The commands that take a client and do one thing."""

    @client.command(name, help=help_text)
    @click.argument("client_id")
    @operator_command
    def command(client_id: str, as_json: bool, data_dir: Path) -> None:
        async def act(flows: "Flows") -> None:
            await getattr(flows.clients, name.replace("-", "_"))(client_id)

        with_flows(data_dir, act)
        tell(as_json, {"client_id": client_id}, f"{client_id} {done}")


_acts("disable", "Kill every token of a client, and give it no new one.", "is disabled")
_acts("enable", "Let a disabled client in again.", "is enabled")
_acts("delete", "Delete a client; every token of it is dead.", "is deleted")
_acts("revoke-tokens", "Kill every token of a client.", "has no live token")
_acts("drop-old-secret", "End a rotation: the newest secret alone goes on.", "has one secret")


def _describe(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "client_name": client.name,
        "token_endpoint_auth_method": client.auth_method,
        "grant_types": sorted(client.grant_types),
        "scope": " ".join(client.scope),
        "audiences": list(client.audiences),
        "serves": sorted(client.serves),
        "introspect": client.introspection,
        "first_party": client.first_party,
        "redirect_uris": list(client.redirect_uris),
        "post_logout_redirect_uris": list(client.post_logout_redirect_uris),
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "backchannel_logout_session_required": client.backchannel_logout_session_required,
        "application_type": client.application_type,
        "require_pkce": client.require_pkce,
        "id_token_signed_response_alg": client.id_token_algorithm,
        "userinfo_signed_response_alg": client.userinfo_algorithm,
        "introspection_signed_response_alg": client.introspection_algorithm,
        "consent": client.consent,
        "logo_uri": client.logo_uri,
        "client_uri": client.client_uri,
        "policy_uri": client.policy_uri,
        "tos_uri": client.tos_uri,
        "default_max_age": client.default_max_age,
        "require_auth_time": client.require_auth_time,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "token_endpoint_auth_signing_alg": client.assertion_algorithm,
        "request_object_signing_alg": client.request_object_algorithm,
        "require_pushed_authorization_requests": client.require_pushed_request,
        "require_signed_request_object": client.require_signed_request,
        "subject_type": client.subject_type,
        "sector_identifier_uri": client.sector_identifier_uri,
        "created_at": _time(client.created_at),
        "disabled_at": _time(client.disabled_at),
        "secret_created_at": _time(client.secret_created_at),
        "old_secret_expires_at": _time(client.old_secret_expires_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _lines(answer: dict[str, Any]) -> str:
    """For people: a line for each value that there is."""
    shown = {key: _shown(value) for key, value in answer.items()}
    return "\n".join(f"{key}: {value}" for key, value in shown.items() if value not in {None, ""})


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)
    return " ".join(value) if isinstance(value, list) else value
