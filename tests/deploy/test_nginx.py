"""`deploy/nginx/nginx.conf`, in front of a real service, as compose puts it there."""

import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import pytest

from authsvc.admission import Limits
from authsvc.web.request import MAX_BODY_BYTES
from tests.deploy.tools import DEPLOY, run, tool
from tests.journeys.service import Service, free_port, wait_until
from tests.stores import passable_directory

CONFIGURATION = (DEPLOY / "nginx/nginx.conf").read_text()
StartProxy = Callable[..., httpx2.Client]


@pytest.fixture
def proxy() -> Iterator[StartProxy]:
    """Puts nginx in front of an address, and gives a client that speaks TLS to it."""
    with ExitStack() as stack:
        yield lambda upstream, text=CONFIGURATION: stack.enter_context(_proxying(upstream, text))


@contextmanager
def _proxying(upstream: str, text: str) -> Iterator[httpx2.Client]:
    program = tool("nginx")
    tool("openssl")
    port = free_port()
    with passable_directory() as directory:
        shutil.copy(DEPLOY / "make-secrets.sh", directory)
        run(directory / "make-secrets.sh")
        # Only where things are is changed, never what they are.
        (directory / "tmp").mkdir()
        for what, by in (
            ("/tmp/", f"{directory}/tmp/"),
            ("/run/secrets/", f"{directory}/secrets/"),
            ("/dev/stdout", f"{directory}/access.log"),
            ("/dev/stderr", f"{directory}/error.log"),
            ("server authsvc:8000", f"server {upstream}"),
            ("listen 8443", f"listen 127.0.0.1:{port}"),
            ("listen 3000", f"listen 127.0.0.1:{free_port()}"),
        ):
            assert what in text
            text = text.replace(what, by)
        (directory / "nginx.conf").write_text(text)
        command = [program, "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
        told = run(*command, "-t").stderr
        assert "[warn]" not in told, told
        process = subprocess.Popen([*command, "-g", "daemon off;"])
        tls = ssl.create_default_context(cafile=str(directory / "secrets/tls.crt"))
        try:
            with httpx2.Client(base_url=f"https://localhost:{port}", verify=tls, timeout=20) as http:
                wait_until(lambda: _answers(http), 10)
                yield http
        finally:
            process.terminate()
            process.wait(10)
        log = (directory / "access.log").read_text()
        assert "secret-in-the-query" not in log
        assert '"GET / HTTP/1.1" ' in log


def _answers(http: httpx2.Client) -> bool:
    try:
        http.get("/")
    except httpx2.TransportError:
        return False
    return True


def test_a_token_is_issued_introspected_and_revoked_through_it(proxy: StartProxy, service: Service) -> None:
    http = proxy(service.base.removeprefix("http://"))
    auth = service.client()
    assert http.get("/openapi.json?code=secret-in-the-query").status_code == 200
    answer = http.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth)
    assert answer.status_code == 200, answer.text
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert answer.headers["x-request-id"]
    assert "nginx/" not in answer.headers["server"]
    form = {"token": answer.json()["access_token"]}
    assert http.post("/oauth2/introspect", data=form, auth=auth).json()["active"] is True
    assert http.post("/oauth2/revoke", data=form, auth=auth).status_code == 200
    assert http.post("/oauth2/introspect", data=form, auth=auth).json() == {"active": False}


def test_what_is_too_large_is_refused_by_the_service_itself(proxy: StartProxy, service: Service) -> None:
    http = proxy(service.base.removeprefix("http://"))
    answer = http.post("/oauth2/introspect", data={"token": "x" * MAX_BODY_BYTES}, auth=service.client())
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/json"
    # The proxy has the last word all the same.
    assert http.post("/oauth2/introspect", data={"token": "x" * 200_000}).status_code == 413


def test_the_management_port_is_not_behind_it(proxy: StartProxy, service: Service) -> None:
    http = proxy(service.base.removeprefix("http://"))
    for path in ("/metrics", "/livez", "/readyz", "/healthz"):
        assert http.get(path).status_code == 404, path


def test_a_service_that_is_away_is_told_as_it_would_tell_it_itself(proxy: StartProxy) -> None:
    http = proxy(f"127.0.0.1:{free_port()}")
    answer = http.post("/oauth2/introspect", data={"token": "x"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"error": "temporarily_unavailable"}


def test_attempts_at_passwords_can_be_limited_as_the_comments_say(proxy: StartProxy, service: Service) -> None:
    text, lines = re.subn(r"(?m)^( +)# (.*(?:limit_req|/api/v1/).*|    proxy_pass .*|})$", r"\1\2", CONFIGURATION)
    assert lines == 6
    http = proxy(service.base.removeprefix("http://"), text)
    statuses = [http.post("/api/v1/login", json={}).status_code for _ in range(40)]
    assert set(statuses) == {422, 429}
    assert http.get("/openapi.json").status_code == 200


def test_the_proxy_lets_go_of_a_connection_before_the_service_does() -> None:
    """What the service does with its own number is told in `tests/test_guard.py`."""
    (seconds,) = re.findall(r"keepalive_timeout (\d+)s;\n    }", CONFIGURATION)
    assert int(seconds) + Limits().sweep_s < Limits().idle_s
