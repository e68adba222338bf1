"""A peer as it is run in production, by one process that answers; and what it is asked.

Both authenticate the caller by client_secret_basic and keep opaque tokens, so that each introspection is a look into
their store. Where a setting is a choice, it is the one that costs them less.
"""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from authsvc.embedded import Stores
from tests.benchmarks.case import OIDC_PROVIDER
from tests.benchmarks.peers.installation import HERE, NotInstalled
from tests.benchmarks.server import Server, listening
from tests.benchmarks.traffic import Connection, Traffic, WrongAnswer, post
from tests.stores import fresh_database

MOST_TOKENS = 300
"""oidc-provider's own store forgets all but about a thousand entries."""
THREADS = 4
"""Of gunicorn's one worker. With its default, none, it closes the connection behind each answer."""
_CLIENT = "resource-server"


@contextmanager
def running_peer(
    name: str, home: Path, cores: Collection[int], stores: Stores, *, tokens: int
) -> Iterator[tuple[Server, Traffic]]:
    """The server of the peer, and introspections of its tokens.

    Raises:
        NotInstalled: it does not run.
    """
    start = _oidc_provider if name == OIDC_PROVIDER else _django
    with tempfile.TemporaryFile() as log, start(home, cores, stores, log.fileno()) as (server, token, introspect):
        try:
            traffic = _obtain(server, token, introspect, min(tokens, MOST_TOKENS))
        except (OSError, WrongAnswer, msgspec.MsgspecError) as error:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines() or [str(error)]
            raise NotInstalled(f"it does not run: {said[-1]}") from error
        yield server, traffic


Started = tuple[Server, str, str]
"""The server, and the paths of its two endpoints."""
_SECRET = os.urandom(16).hex()


def _obtain(server: Server, token: str, introspect: str, many: int) -> Traffic:
    caller, needle = (_CLIENT, _SECRET), b'"active":'
    form = {"grant_type": "client_credentials", "scope": "read"}
    with Connection(server.port) as connection:
        answers = [connection.ask(post(token, form, caller))[1] for _ in range(many)]
        tokens = [str(msgspec.json.decode(answer)["access_token"]) for answer in answers]
        requests = [post(introspect, {"token": text}, caller) for text in tokens]
        _, body = connection.ask(requests[0])
        if msgspec.json.decode(body)["active"] is not True:
            raise WrongAnswer("a live token is told to be dead")
    # Django's answers have a space behind the colon.
    return Traffic(requests, needle + (b" true" if b'"active": true' in body else b"true"))


@contextmanager
def _oidc_provider(home: Path, cores: Collection[int], _: Stores, log: int) -> Iterator[Started]:
    def command(fd: int, port: int) -> list[str]:
        return ["node", "oidc_provider.mjs", str(fd), str(port), _CLIENT, _SECRET]

    environ = {"NODE_ENV": "production"}
    with listening(command, cores, environ=environ, directory=home, log=log) as server:
        yield server, "/token", "/token/introspection"


@contextmanager
def _django(home: Path, cores: Collection[int], stores: Stores, log: int) -> Iterator[Started]:
    python = str(home / "venv/bin/python")
    gunicorn = ["-m", "gunicorn", "--worker-class", "gthread", "--threads", str(THREADS), "--workers", "1"]

    def command(fd: int, _: int) -> list[str]:
        return [python, *gunicorn, "--bind", f"fd://{fd}", "--log-level", "warning", "django_site:application"]

    with fresh_database(stores, "template0") as url:
        environ = {"PEER_DATABASE_URL": url, "PEER_CLIENT": _CLIENT, "PEER_SECRET": _SECRET}
        made = subprocess.run(
            [python, "django_site.py"], cwd=HERE, env=os.environ | environ, stdout=log, stderr=log, check=False
        )
        if made.returncode:
            raise NotInstalled("its tables cannot be made")
        with listening(command, cores, environ=environ, directory=HERE, log=log) as server:
            yield server, "/o/token/", "/o/introspect/"
