"""`authsvc key ...` and `authsvc master-key ...`"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from authsvc.cli.context import operator_command, tell, with_flows
from authsvc.entropy import SystemEntropy
from authsvc.models import SigningKey
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key

if TYPE_CHECKING:
    from authsvc.flows import Flows


@click.group()
def key() -> None:
    """List, rotate and kill the signing keys."""


@key.command("list")
@operator_command
def list_all(as_json: bool, data_dir: Path) -> None:
    """List the keys: next, active, retired."""
    found = with_flows(data_dir, lambda flows: flows.keys.list_all())
    answer = [
        {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "state": str(state),
            "created_at": key.created_at.isoformat(),
            "signs_from": _text_of(key.signs_from),
            "verifies_until": _text_of(key.verifies_until),
            "master_key_id": key.master_key_id,
        }
        for key, state in found
    ]
    tell(as_json, answer, "\n".join("{kid}  {algorithm:7}  {state:7}  {created_at}".format(**each) for each in answer))


@key.command()
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="Only the keys of this one.  [default: all]")
@operator_command
def rotate(algorithm: str | None, as_json: bool, data_dir: Path) -> None:
    """Let the next key take over, once every verifier knows it; what the old one signed stays valid."""

    async def act(flows: "Flows") -> tuple[SigningKey, ...]:
        return await flows.keys.rotate_all() if algorithm is None else (await flows.keys.rotate(algorithm),)

    keys = [
        {"kid": key.kid, "algorithm": key.algorithm, "signs_from": _text_of(key.signs_from)}
        for key in with_flows(data_dir, act)
    ]
    lines = ["{kid} signs from {signs_from} ({algorithm})".format(**each) for each in keys]
    tell(as_json, keys[0] | {"keys": keys}, "\n".join(lines))


# A kid is a digest in base64url, and one in 64 begins with a dash.
@key.command(context_settings={"ignore_unknown_options": True})
@click.argument("kid")
@operator_command
def kill(kid: str, as_json: bool, data_dir: Path) -> None:
    """Remove a key at once: every token it signed is dead."""
    with_flows(data_dir, lambda flows: flows.keys.kill(kid))
    tell(as_json, {"kid": kid}, f"{kid} is dead, and every token it signed")


def _text_of(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


@click.group("master-key")
def master_key() -> None:
    """The key that encrypts the signing keys at rest."""


@master_key.command()
def generate() -> None:
    """Print a new master key, for AUTHSVC_MASTER_KEY."""
    click.echo(format_master_key(SystemEntropy().bytes(MASTER_KEY_BYTES)))


@master_key.command("rotate")
@operator_command
def reseal(as_json: bool, data_dir: Path) -> None:
    """Encrypt everything with AUTHSVC_MASTER_KEY that AUTHSVC_MASTER_KEY_PREVIOUS still opens."""
    done = with_flows(data_dir, lambda flows: flows.master_key.reseal())
    answer = {"signing_keys": done.signing_keys, "secrets": done.secrets}
    tell(as_json, answer, f"sealed anew: {done.signing_keys} signing keys, {done.secrets} secrets")
