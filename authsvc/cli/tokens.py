"""`authsvc token ...`"""

import sys
from pathlib import Path

import click

from authsvc.cli.context import operator_command, tell, with_flows


@click.group()
def token() -> None:
    """Revoke a token, or all of them."""


@token.command()
@operator_command
def revoke(as_json: bool, data_dir: Path) -> None:
    """Revoke the access token on standard input."""
    text = sys.stdin.read().strip()
    if not text:
        raise click.UsageError("give the token on standard input")
    killed = with_flows(data_dir, lambda flows: flows.revocation.revoke_as_operator(text))
    answer = {"revoked": killed is not None, "jti": killed.jti if killed else None}
    tell(as_json, answer, "the token is dead" if killed else "this is no live token of this service")


@token.command("revoke-everything")
@click.option("--yes", is_flag=True, help="Without it nothing happens.")
@operator_command
def revoke_everything(yes: bool, as_json: bool, data_dir: Path) -> None:
    """Kill every token there is, of every user and client."""
    if not yes:
        raise click.UsageError("this logs everybody out: say --yes")
    with_flows(data_dir, lambda flows: flows.revocation.revoke_everything())
    tell(as_json, {"revoked": "everything"}, "every token is dead")
