"""The command line. Every command takes `--json`; exit status 0 done, 1 could not, 2 used or set up wrongly."""

import click

from authsvc import __version__
from authsvc.cli.audit import audit
from authsvc.cli.clients import client
from authsvc.cli.doctor import doctor
from authsvc.cli.keys import key, master_key
from authsvc.cli.peppers import pepper
from authsvc.cli.serving import config, dev, migrate, serve, work
from authsvc.cli.tokens import token
from authsvc.cli.users import user


@click.group()
@click.version_option(__version__, prog_name="authsvc")
def main() -> None:
    """authsvc issues tokens, revokes them, and says which are live."""


for command in (dev, serve, work, migrate, config, doctor, user, client, key, token, audit, master_key, pepper):
    main.add_command(command)
