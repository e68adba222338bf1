"""`authsvc user ...`"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli.context import operator_command, tell, with_flows
from authsvc.entropy import SystemEntropy, mint_id
from authsvc.models import User

if TYPE_CHECKING:
    from authsvc.flows import Flows


@click.group()
def user() -> None:
    """Create, show, list, update, disable, enable and delete users; revoke their tokens."""


@user.command()
@click.option("--email", required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate-password", is_flag=True, help="Make a password and print it once.")
@click.option("--email-verified", is_flag=True, help="The address is known to be the user's.")
@click.option("--claims", default="{}", help="Profile data: a JSON object of OpenID Connect claims.")
@operator_command
def create(
    email: str,
    password_stdin: bool,
    generate_password: bool,
    email_verified: bool,
    claims: str,
    as_json: bool,
    data_dir: Path,
) -> None:
    """Create a user."""
    if password_stdin == generate_password:
        raise click.UsageError("give either --password-stdin or --generate-password")
    profile = _parse_claims(claims)
    password = mint_id(SystemEntropy()) if generate_password else sys.stdin.readline().rstrip("\r\n")

    async def act(flows: "Flows") -> str:
        made = await flows.registration.create(email, password, email_verified=email_verified, claims=profile)
        return made.sub

    sub = with_flows(data_dir, act)
    answer = {"sub": sub} | ({"password": password} if generate_password else {})
    tell(as_json, answer, "\n".join(f"{name}: {value}" for name, value in answer.items()))


@user.command()
@click.argument("sub_or_email")
@operator_command
def show(sub_or_email: str, as_json: bool, data_dir: Path) -> None:
    """Show a user."""
    found = _describe(with_flows(data_dir, lambda flows: flows.users.get(sub_or_email)))
    tell(as_json, found, "\n".join(f"{name}: {value}" for name, value in found.items() if value is not None))


@user.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Users at most.")
@click.option("--after", default="", help="The `next` of the page before.")
@operator_command
def list_page(limit: int, after: str, as_json: bool, data_dir: Path) -> None:
    """List users by their sub, a page at a time."""
    found = with_flows(data_dir, lambda flows: flows.users.list_page(after=after, limit=limit))
    following = found[-1].sub if len(found) == limit else None
    lines = [f"{u.sub}  {'disabled' if u.disabled_at else 'enabled '}  {u.email}" for u in found]
    more = [f"for more: --after {following}"] if following else []
    tell(as_json, {"users": [_describe(each) for each in found], "next": following}, "\n".join(lines + more))


@user.command()
@click.argument("sub_or_email")
@click.option("--claims", required=True, help="Changes to the profile data, a JSON object; null takes one away.")
@operator_command
def update(sub_or_email: str, claims: str, as_json: bool, data_dir: Path) -> None:
    """Change the claims that are named."""
    changes = _parse_claims(claims)

    async def act(flows: "Flows") -> User:
        return await flows.users.change_claims((await flows.users.get(sub_or_email)).sub, changes)

    changed = _describe(with_flows(data_dir, act))
    tell(as_json, changed, "\n".join(f"{name}: {value}" for name, value in changed.items() if value is not None))


def _describe(user: User) -> dict[str, Any]:
    return {
        "sub": user.sub,
        "email": user.email,
        "email_verified": user.email_verified,
        "has_password": user.password_hash is not None,
        "claims": user.claims,
        "created_at": user.created_at.isoformat(),
        "updated_at": (user.updated_at or user.created_at).isoformat(),
        "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
    }


def _parse_claims(text: str) -> dict[str, object]:
    try:
        claims = json.loads(text)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise click.UsageError("--claims takes a JSON object")
    return claims


def _acts(name: str, help_text: str, done: str) -> None:
    """The commands that take a user and do one thing."""

    @user.command(name, help=help_text)
    @click.argument("sub_or_email")
    @operator_command
    def command(sub_or_email: str, as_json: bool, data_dir: Path) -> None:
        async def act(flows: "Flows") -> str:
            found = await flows.users.get(sub_or_email)
            await getattr(flows.users, name.replace("-", "_"))(found.sub)
            return found.sub

        sub = with_flows(data_dir, act)
        tell(as_json, {"sub": sub}, f"{sub} {done}")


_acts("disable", "End every session and token of a user, and let in no new one.", "is disabled")
_acts("enable", "Let a disabled user log in again.", "is enabled")
_acts("delete", "Delete a user; every session and token ends.", "is deleted")
_acts("revoke-tokens", "End every session and token of a user.", "has no live token")
