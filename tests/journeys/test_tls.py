"""`authsvc serve --workers 2` with a certificate of its own, and with another one while it runs."""

import signal
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.certificates import write_certificate
from tests.journeys import fetch
from tests.journeys.service import Service, run_cli, serving, wait_until
from tests.stores import embedded, passable_directory, prepared


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("first", "second"):
        write_certificate(directory, name)
    put(directory, "first")
    return directory


def put(directory: Path, name: str) -> None:
    """Where the service looks, each file as a whole."""
    for kind in ("crt", "key"):
        new = directory / f"new.{kind}"
        new.write_bytes((directory / f"{name}.{kind}").read_bytes())
        new.replace(directory / f"tls.{kind}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Service]:
    with passable_directory() as directory, embedded(prepared(directory / "stores"), durable=False) as stores:
        log = tmp_path_factory.mktemp("tls") / "log"
        files = {
            "AUTHSVC_TLS_CERTIFICATE": str(certificates / "tls.crt"),
            "AUTHSVC_TLS_KEY": str(certificates / "tls.key"),
        }
        with serving(stores.database_url, log, "--workers", "2", "--migrate", **files) as service:
            yield service


@pytest.fixture
def trust(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates / "first.crt")
    context.load_verify_locations(certificates / "second.crt")
    return context


def served(service: Service) -> str:
    parts = urlsplit(service.base)
    assert parts.hostname and parts.port
    return ssl.get_server_certificate((parts.hostname, parts.port))


def test_a_token_lives_and_dies_over_https(service: Service, trust: ssl.SSLContext) -> None:
    auth = service.client()
    with httpx2.Client(base_url=service.base, verify=trust, auth=auth) as http:
        answer = http.post("/oauth2/token", data={"grant_type": "client_credentials"})
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        token = {"token": answer.json()["access_token"]}
        assert http.post("/oauth2/introspect", data=token).json()["active"] is True
        assert http.post("/oauth2/revoke", data=token).status_code == 200
        assert http.post("/oauth2/introspect", data=token).json() == {"active": False}
    assert fetch.get(f"{service.management}/livez").status_code == 200  # which stays what it was
    (line,) = (line for line in service.log_lines() if line["message"] == "serving")
    assert (line["address"], line["management"]) == (service.base, service.management)


def test_a_new_certificate_is_taken_without_a_lost_request(
    service: Service, certificates: Path, trust: ssl.SSLContext
) -> None:
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            # A connection for each request, so that every moment of the change meets a handshake.
            statuses[fetch.get(f"{service.base}/.well-known/jwks.json", verify=trust, timeout=20).status_code] += 1

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            wait_until(lambda: statuses[200] > 20, 20)
            put(certificates, "second")
            service.process.send_signal(signal.SIGHUP)
            second = (certificates / "second.crt").read_text()
            wait_until(lambda: all(served(service) == second for _ in range(20)), 60)
        finally:
            over.set()
        for each in asking:
            each.result()
    assert statuses.keys() == {200}

    # What cannot be used changes nothing: the old workers stay.
    (certificates / "tls.key").write_text("rubbish")
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "a new worker did not start: the old ones stay" in service.log.read_text(), 30)
    assert served(service) == second
    assert fetch.get(f"{service.base}/.well-known/jwks.json", verify=trust).status_code == 200


def test_it_does_not_start_with_files_that_are_of_no_use(service: Service, certificates: Path) -> None:
    environ = service.environ | {"AUTHSVC_TLS_KEY": str(certificates / "first.key")}
    environ["AUTHSVC_TLS_CERTIFICATE"] = str(certificates / "second.crt")
    done = run_cli(environ, "serve", "--port", "0", "--management-port", "0", check=False)
    assert done.returncode == 2
    assert (
        done.stderr == "authsvc: AUTHSVC_TLS_KEY is not the key of the first certificate in AUTHSVC_TLS_CERTIFICATE\n"
    )
