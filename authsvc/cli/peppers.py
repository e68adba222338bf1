"""`authsvc pepper ...`"""

import click

from authsvc.entropy import SystemEntropy, mint_secret


@click.group()
def pepper() -> None:
    """The key that passwords are keyed with before they are hashed."""


@pepper.command()
def generate() -> None:
    """Print a new pepper, for AUTHSVC_PASSWORD_PEPPER."""
    click.echo(mint_secret(SystemEntropy()))
