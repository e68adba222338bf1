"""What commands share: which service they talk to, how they tell what came of it."""

import asyncio
import functools
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import click

from authsvc.errors import AuthsvcError, ConfigurationError, Unavailable
from authsvc.origin import Origin, origin
from authsvc.settings import Settings, load

if TYPE_CHECKING:
    from authsvc.flows import Flows

P = ParamSpec("P")
Result = TypeVar("Result")

DEFAULT_DATA_DIR = Path(".authsvc")
ENVIRONMENT_FILE = "environment.json"
"""In the data directory: the settings of the `authsvc dev` that keeps its stores there. Readable by its owner alone."""

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where `authsvc dev` keeps its data; used when AUTHSVC_DATABASE_URL is not set.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def operator_command(command: Callable[P, Any]) -> Callable[..., Any]:
    """A command with `--json` and `--data-dir` whose errors are told in one line. The command is called with
    `as_json` and `data_dir` among its parameters."""

    @json_option
    @data_dir_option
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        with told_errors():
            command(*args, **kwargs)

    return wrapped


class told_errors:  # noqa: N801 - reads as a word in a with statement
    """Turns the errors of the block into a line on stderr and an exit status."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigurationError):
            _end(2, *error.faults)
        if isinstance(error, Unavailable):
            _end(1, "PostgreSQL cannot be asked: nothing is known to have happened; try again")
        if isinstance(error, AuthsvcError):
            _end(1, error.description)


def _end(status: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(f"authsvc: {line}", err=True)
    sys.exit(status)


def read_settings(data_dir: Path) -> Settings:
    """The settings of the environment, or, where that names no database, of the `authsvc dev` of this directory.

    Raises:
        ConfigurationError: they are not usable, or there is neither.
    """
    environ = dict(os.environ)
    if not environ.get("AUTHSVC_DATABASE_URL") and not environ.get("AUTHSVC_DATABASE_URL_FILE"):
        path = data_dir / ENVIRONMENT_FILE
        try:
            environ = json.loads(path.read_text(encoding="utf-8")) | environ
        except (OSError, ValueError):
            raise ConfigurationError(
                [f"AUTHSVC_DATABASE_URL is not set, and no `authsvc dev` has run in {data_dir}: start it, or set it"]
            ) from None
    return load(environ)


def with_flows(data_dir: Path, act: "Callable[[Flows], Awaitable[Result]]") -> Result:
    """Do something with the flows, as the service does.

    Raises:
        AuthsvcError: what went wrong.
    """
    settings = read_settings(data_dir)

    async def run() -> Result:
        from prometheus_client import CollectorRegistry

        from authsvc import logs
        from authsvc.metrics import Metrics
        from authsvc.wiring import open_flows

        logs.configure("error", "console")
        origin.set(Origin("cli", operator=_account()))
        async with open_flows(settings, Metrics(CollectorRegistry()), keeps_fresh=False, with_jobs=False) as flows:
            return await act(flows)

    return asyncio.run(run())


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        return f"uid {os.getuid()}"


def tell(as_json: bool, answer: dict[str, Any] | list[dict[str, Any]], text: str) -> None:
    """Print the answer: as JSON for scripts, as text for people."""
    click.echo(json.dumps(answer, default=str) if as_json else text)
