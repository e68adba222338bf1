"""`python -m tests.benchmarks.notices [SESSIONS]`: how long it takes until a client is told of a logout.

From the request that ends a session until its logout token has arrived, by TLS on a connection of its own, at a client
that takes it at once: where the workers that serve tell the clients too, and where they leave it to `authsvc work`. One
after the other. PostgreSQL writes to the disk before it answers. On stores of its own.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from authsvc.migrate import migrate
from tests.benchmarks.revokes import tell
from tests.benchmarks.traffic import Connection, WrongAnswer, post_json
from tests.certificates import write_certificate
from tests.house_of import NO_LIMITS, PASSWORD
from tests.journeys.service import Service, serving, working
from tests.receiver import Receiver, receiving
from tests.stores import running_stores

EMAIL, TOLD = "ada@example.com", "/told"


def log_in(service: Service, connection: Connection, receiver: Receiver, many: int) -> list[str]:
    """The access tokens of so many sessions, each at a client that is told of its end."""
    client_id = service.cli(
        "client", "create", "--name", "a login UI", "--public", "--first-party", "--scope", "openid",
        "--backchannel-logout-uri", receiver.uri(TOLD),
    )["client_id"]  # fmt: skip
    request = post_json("/api/v1/login", {"email": EMAIL, "password": PASSWORD, "client_id": client_id})
    return [msgspec.json.decode(connection.ask(request)[1])["access_token"] for _ in range(many)]


def log_out(connection: Connection, receiver: Receiver, tokens: list[str]) -> tuple[list[float], list[float]]:
    """How long each client waited, and each user, in milliseconds."""
    waited, answered = [], []
    for token in tokens:
        heard = len(receiver.told)
        request = f"POST /api/v1/logout HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        began = time.monotonic()
        if connection.ask(f"{request}Content-Length: 0\r\n\r\n".encode())[0] != 204:
            raise WrongAnswer("a logout failed")
        answered.append(1000 * (time.monotonic() - began))
        waited.append(1000 * (receiver.wait_for(TOLD, heard + 1)[-1].heard_at - began))
    return waited, answered


@contextmanager
def running(directory: Path, receiver: Receiver, *options: str, **settings: str) -> Iterator[Service]:
    with running_stores() as stores:
        asyncio.run(migrate(stores.database_url))
        with serving(stores.database_url, directory / "log", *options, **settings) as service:
            service.cli("user", "create", "--email", EMAIL, "--password-stdin", stdin=PASSWORD)
            yield service


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificate = write_certificate(directory)
        settings = {f"AUTHSVC_{setting.upper()}": str(limit) for setting, limit in NO_LIMITS.items()}
        settings |= {"AUTHSVC_OUTBOUND_LOOPBACK": "true", "AUTHSVC_OUTBOUND_CA_FILE": str(certificate[0])}
        for what, options in (("told by whoever serves", ()), ("told by `authsvc work`", ("--no-jobs",))):
            with ExitStack() as stack:
                receiver = stack.enter_context(receiving(certificate))
                service = stack.enter_context(running(directory, receiver, "--workers", "2", *options, **settings))
                if options:
                    stack.enter_context(working(service, directory / "work"))
                connection = stack.enter_context(Connection(int(service.base.rpartition(":")[2])))
                waited, answered = log_out(connection, receiver, log_in(service, connection, receiver, many))
            tell(what, waited)
            tell("the user had an answer", answered)


if __name__ == "__main__":
    main()
