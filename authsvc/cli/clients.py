"""`authsvc client ...`"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli.context import operator_command, tell, with_flows
from authsvc.models import AuthMethod, Client, GrantType, IntrospectionRight
from authsvc.protocol.clients import ClientRegistration

if TYPE_CHECKING:
    from authsvc.flows import Flows


@click.group()
def client() -> None:
    """Create, list, disable, enable and delete clients; rotate their secrets; revoke their tokens."""


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
    help="The one method it must use. Default: client_secret_basic and client_secret_post.",
)
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
    )
    made, secret = with_flows(data_dir, lambda flows: flows.clients.create(registration))
    answer = {"client_id": made.client_id} | ({"client_secret": secret} if secret else {})
    tell(as_json, answer, "\n".join(f"{key}: {value}" for key, value in answer.items()))


@client.command("list")
@operator_command
def list_all(as_json: bool, data_dir: Path) -> None:
    """List the clients."""
    found = with_flows(data_dir, lambda flows: flows.clients.list_all())
    lines = [f"{c.client_id}  {'disabled' if c.disabled_at else 'enabled '}  {c.name}" for c in found]
    tell(as_json, [_describe(each) for each in found], "\n".join(lines))


@client.command("rotate-secret")
@click.argument("client_id")
@operator_command
def rotate_secret(client_id: str, as_json: bool, data_dir: Path) -> None:
    """Give a client a new secret in place of the old one. It is shown this once."""
    secret = with_flows(data_dir, lambda flows: flows.clients.rotate_secret(client_id))
    answer = {"client_id": client_id, "client_secret": secret}
    tell(as_json, answer, "\n".join(f"{key}: {value}" for key, value in answer.items()))


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
        "created_at": client.created_at.isoformat(),
        "disabled_at": client.disabled_at.isoformat() if client.disabled_at else None,
    }
