"""A worker is killed while it tells a client of a logout: the client hears it all the same (SSF-08, BCL-05)."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, children_of, serving
from tests.receiver import HANG, Receiver, receiving
from tests.stores import run_sql

EMAIL, TOLD = "ada@example.com", "/told"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


def log_in_and_out(service: Service, receiver: Receiver) -> None:
    """At a login UI, which is told of the end of its own sessions too."""
    client_id = service.cli(
        "client", "create", "--name", "a login UI", "--public", "--first-party", "--scope", "openid",
        "--backchannel-logout-uri", receiver.uri(TOLD),
    )["client_id"]  # fmt: skip
    service.cli("user", "create", "--email", EMAIL, "--password-stdin", stdin=PASSWORD)
    login = {"email": EMAIL, "password": PASSWORD, "client_id": client_id}
    tokens = fetch.post(f"{service.base}/api/v1/login", json=login).json()
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert fetch.post(f"{service.base}/api/v1/logout", headers=bearer).status_code == 204


def test_what_a_killed_worker_was_sending_is_sent_by_the_next(
    database_url: str, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    settings = {"AUTHSVC_OUTBOUND_LOOPBACK": "true", "AUTHSVC_OUTBOUND_CA_FILE": str(certificate[0])}
    with receiving(certificate) as receiver:
        receiver.behaviours[TOLD] = HANG
        with serving(database_url, tmp_path / "first", **settings) as service:
            log_in_and_out(service, receiver)
            receiver.wait_for(TOLD)
            for pid in (service.process.pid, *children_of(service.process.pid)):
                with suppress(ProcessLookupError):  # a worker goes by itself when its supervisor is gone
                    os.kill(pid, signal.SIGKILL)
            service.process.wait()
        assert run_sql(database_url, "SELECT count(*) FROM auth.logout_notices") == 1
        del receiver.behaviours[TOLD]
        # Nobody waits for the end of its claim.
        run_sql(database_url, "UPDATE auth.logout_notices SET due_at = due_at - interval '10 s'")
        with serving(database_url, tmp_path / "second", **settings):
            first, again = receiver.wait_for(TOLD, 2)
    assert first.token != again.token
