"""`authsvc dev`, `serve`, `work`, `migrate`, `config check`."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from authsvc.cli.context import data_dir_option, json_option, read_settings, tell, told_errors
from authsvc.errors import ConfigurationError
from authsvc.settings import Settings, load, unknown_names

if TYPE_CHECKING:
    from authsvc.supervisor import ServeOptions

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"

port_option = click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
host_option = click.option("--host", default="127.0.0.1", show_default=True)
management_port_option = click.option(
    "--management-port", type=click.IntRange(0, 65535), default=9000, show_default=True, help="/metrics /livez /readyz"
)
workers_option = click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)


@contextmanager
def _metrics_directory() -> Iterator[str]:
    """Where the processes put their numbers. Set before the metrics library is imported: it asks for it then."""
    try:
        directory = tempfile.mkdtemp(prefix="authsvc-metrics-")
    except OSError as error:
        raise ConfigurationError([f"there is no temporary directory to write to: {error.strerror}"]) from None
    os.environ[METRICS_DIR] = directory
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@click.command()
@host_option
@port_option
@management_port_option
@workers_option
@click.option(
    "--demo-port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="Of a website that logs its users in here. Another one if it is taken.",
)
@click.option("--no-demo", is_flag=True, help="Without that website.")
@data_dir_option
@click.option("--reset", is_flag=True, help="Forget everything first.")
def dev(
    host: str,
    port: int,
    management_port: int,
    workers: int,
    demo_port: int,
    no_demo: bool,
    data_dir: Path,
    reset: bool,
) -> None:
    """Run the whole service here, with a real PostgreSQL and a real Valkey of its own, and a website that uses it."""
    with told_errors(), _metrics_directory() as metrics_dir:
        from authsvc.dev import DevOptions, run
        from authsvc.supervisor import ServeOptions

        serving = ServeOptions(
            host=host,
            port=port,
            management_host="127.0.0.1",
            management_port=management_port,
            workers=workers,
            drain_seconds=0,
            metrics_dir=metrics_dir,
            ends_with_terminal=True,
        )
        website_port = None if no_demo else demo_port
        options = DevOptions(data_dir=data_dir, reset=reset, serving=serving, website_port=website_port)
        sys.exit(run(options, os.environ))


@click.command()
@host_option
@port_option
@click.option("--management-host", default="127.0.0.1", show_default=True)
@management_port_option
@workers_option
@click.option("--migrate", "wants_migration", is_flag=True, help="Apply missing migrations first.")
@click.option("--drain-seconds", type=click.FloatRange(0, 300), default=5.0, show_default=True)
@click.option("--no-jobs", is_flag=True, help="Leave the jobs to `authsvc work`.")
def serve(
    host: str,
    port: int,
    management_host: str,
    management_port: int,
    workers: int,
    wants_migration: bool,
    drain_seconds: float,
    no_jobs: bool,
) -> None:
    """Run the service for real, against AUTHSVC_DATABASE_URL."""
    with told_errors(), _metrics_directory() as metrics_dir:
        from authsvc.supervisor import ServeOptions

        options = ServeOptions(
            host=host,
            port=port,
            management_host=management_host,
            management_port=management_port,
            workers=workers,
            drain_seconds=drain_seconds,
            metrics_dir=metrics_dir,
            app="authsvc.app:create_app_without_jobs" if no_jobs else "authsvc.app:create_app",
        )
        _run(options, wants_migration=wants_migration)


@click.command()
@click.option("--management-host", default="127.0.0.1", show_default=True)
@management_port_option
def work(management_host: str, management_port: int) -> None:
    """Do the jobs that nobody asks for, beside `serve --no-jobs`. Listens on the management port alone."""
    with told_errors(), _metrics_directory() as metrics_dir:
        from authsvc.supervisor import ServeOptions

        options = ServeOptions(
            host="",
            port=None,
            management_host=management_host,
            management_port=management_port,
            workers=1,
            drain_seconds=0,
            metrics_dir=metrics_dir,
            app="authsvc.app:create_jobs",
        )
        _run(options, wants_migration=False)


def _run(options: "ServeOptions", *, wants_migration: bool) -> NoReturn:
    settings = load(os.environ)
    from authsvc import logs
    from authsvc.migrate import prepare_schema
    from authsvc.supervisor import serve as supervise

    logs.configure(settings.log_level, settings.log_format)
    for name in unknown_names(os.environ):
        logs.get_logger(__name__).warning("an environment variable is no setting", name=name)
    _check_keys(settings)
    _check_pages(settings)
    asyncio.run(prepare_schema(settings.database_url, wants_migration=wants_migration))
    sys.exit(supervise(options, settings))


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit status 1 when migrations are missing.")
@click.option("--grant-to", "application_role", metavar="ROLE", help="Give this role what the service needs at work.")
@json_option
@data_dir_option
def migrate(check: bool, application_role: str | None, as_json: bool, data_dir: Path) -> None:
    """Apply the migrations that the database does not have yet."""
    with told_errors():
        from authsvc import migrate as migrations

        url = read_settings(data_dir).database_url
        if check:
            missing = asyncio.run(migrations.find_missing(url))
            tell(as_json, {"missing": missing}, "\n".join(f"missing: {name}" for name in missing) or "up to date")
            sys.exit(1 if missing else 0)
        applied = asyncio.run(migrations.migrate(url, application_role=application_role))
        tell(as_json, {"applied": applied}, "\n".join(f"applied {name}" for name in applied) or "up to date")


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command("check")
@json_option
@data_dir_option
def check_config(as_json: bool, data_dir: Path) -> None:
    """Read every setting, and tell every fault at once."""
    faults: list[str] = []
    try:
        settings = read_settings(data_dir)
    except ConfigurationError as error:
        faults.extend(error.faults)
    else:
        for check in (_check_keys, _check_pages, _check_authorities):
            try:
                check(settings)
            except ConfigurationError as error:
                faults.extend(error.faults)
    unknown = unknown_names(os.environ)
    lines = [*faults, *(f"{name} is no setting: misspelt?" for name in unknown)]
    tell(as_json, {"faults": faults, "unknown": unknown}, "\n".join(lines) or "the settings are usable")
    sys.exit(2 if faults else 0)


def _check_pages(settings: Settings) -> None:
    """Raises ConfigurationError when the logo or the folder for the pages is of no use."""
    from authsvc.policies import pages_of

    pages_of(settings)


def _check_authorities(settings: Settings) -> None:
    """Raises ConfigurationError when the file with them is of no use."""
    from authsvc.adapters.outbound import open_context

    if settings.outbound_ca_file is not None:
        open_context(settings.outbound_ca_file)


def _check_keys(settings: Settings) -> None:
    """Raises ConfigurationError when one of the keys is none."""
    from authsvc.protocol.master_key import MasterKey
    from authsvc.protocol.peppers import parse_pepper

    MasterKey.parse(settings.master_key, settings.master_key_previous)
    for pepper in (settings.password_pepper, settings.password_pepper_previous):
        if pepper is not None:
            parse_pepper(pepper)
