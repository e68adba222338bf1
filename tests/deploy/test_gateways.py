"""`deploy/gateways`: nginx, Apache and Envoy run for real, in front of an API and with a real service to ask. Traefik's
file is read for what it says."""

import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.certificates import write_certificate
from tests.deploy.guarded import an_api
from tests.deploy.tools import DEPLOY, missing, read_yaml, run, tool
from tests.house_of import PASSWORD
from tests.journeys.service import Service, free_port, serving, wait_until
from tests.stores import passable_directory, running_stores

GATEWAYS = DEPLOY / "gateways"
ORDERS = "https://orders.example"
MODULES = Path("/usr/lib/apache2/modules")
APACHE = (
    "mpm_event", "authn_core", "authz_core", "auth_openidc", "env", "headers", "proxy", "proxy_http", "socache_shmcb",
    "ssl",
)  # fmt: skip
FORGED = {
    "auth-subject": "admin", "auth-client": "admin", "auth-scope": "admin", "oidc-claim-sub": "admin",
    "oidc_claim_sub": "admin", "x-forwarded-user": "me", "auth_subject": "admin", "auth_client": "admin",
    "auth_scope": "admin",
}  # fmt: skip
UNDERLINED = {"auth_subject", "auth_client", "auth_scope"}
"""To who reads headers as CGI does, the same as with a dash."""
Secret = tuple[str, str]
NOTHING: Mapping[str, str] = {}


@dataclass
class Gateway:
    """A gateway, the clients that there are, and who asks it."""

    http: httpx2.Client
    service: httpx2.Client
    of_orders: Secret
    of_another: Secret
    of_no_scope: Secret

    def token(self, client: Secret) -> str:
        answer = self.service.post("/oauth2/token", data={"grant_type": "client_credentials"}, auth=client)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def revoke(self, client: Secret, token: str) -> None:
        answer = self.service.post("/oauth2/revoke", data={"token": token}, auth=client)
        assert answer.status_code == 200, answer.text

    def ask(self, token: str | None, path: str = "/orders/1", **more: str) -> httpx2.Response:
        headers = more if token is None else {"authorization": f"Bearer {token}".strip(), **more}
        return self.http.get(path, headers=headers)


@contextmanager
def _started(
    command: list[str], directory: Path, port: int, service: Service, certificate: Path | None = None
) -> Iterator[Gateway]:
    """`certificate`: that of the service, if it has one."""
    trust = ssl.create_default_context(cafile=str(directory / "tls.crt"))
    if certificate is not None:
        trust.load_verify_locations(certificate)
    process = subprocess.Popen(command)
    try:
        with (
            httpx2.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=20) as http,
            httpx2.Client(base_url=service.base, verify=trust, timeout=20) as directly,
        ):
            wait_until(lambda: _answers(http), 10)
            yield Gateway(http, directly, **_cast(service))
    finally:
        process.terminate()
        process.wait(20)


def _answers(http: httpx2.Client) -> bool:
    try:
        http.get("/")
    except httpx2.TransportError:
        return False
    return True


def _cast(service: Service) -> dict[str, Secret]:
    return {
        "of_orders": service.client("--audience", ORDERS, "--scope", "orders read"),
        "of_another": service.client("--audience", "https://billing.example", "--scope", "orders"),
        "of_no_scope": service.client("--audience", ORDERS, "--scope", "preorders orders2"),
    }


def _configure(name: str, directory: Path, changes: Mapping[str, str]) -> Path:
    """The recipe, with nothing changed but where things are."""
    text = (GATEWAYS / name).read_text()
    for what, by in changes.items():
        assert what in text, what
        text = text.replace(what, by)
    path = directory / name
    path.write_text(text)
    return path


@contextmanager
def _nginx(service: Service, upstream: str, gateway: Secret, more: Mapping[str, str] = NOTHING) -> Iterator[Gateway]:
    """nginx, which asks there, as this client. `more` is changed in the recipe."""
    program = tool("nginx")
    with passable_directory() as directory, an_api() as api:
        write_certificate(directory, "tls")
        (directory / "tmp").mkdir()
        proof = b64encode(":".join(gateway).encode()).decode()
        line = f'proxy_set_header Gateway-Authorization "Basic {proof}";\n'
        (directory / "gateway-authorization.conf").write_text(line)
        port = free_port()
        changes = {
            "/tmp/": f"{directory}/tmp/",
            "/run/secrets/": f"{directory}/",
            "/dev/stdout": f"{directory}/access.log",
            "/dev/stderr": f"{directory}/error.log",
            "listen 8443": f"listen 127.0.0.1:{port}",
            "server authsvc:8000": f"server {upstream}",
            "server orders:8080": f"server {api}",
            **more,
        }
        path = _configure("nginx.conf", directory, changes)
        command = [program, "-c", str(path), "-e", str(directory / "error.log")]
        told = run(*command, "-t").stderr
        assert "[warn]" not in told, told
        with _started([*command, "-g", "daemon off;"], directory, port, service) as started:
            yield started


@pytest.fixture(scope="module")
def nginx(service: Service) -> Iterator[Gateway]:
    with _nginx(service, service.base.removeprefix("http://"), service.client("--serves", ORDERS)) as started:
        yield started


@pytest.fixture(scope="module")
def envoy(service: Service) -> Iterator[Gateway]:
    client_id, secret = service.client("--serves", ORDERS)
    with _envoy("envoy-ext-authz.yaml", service, {
        "Basic ...": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}",
        **_address("authsvc", 8000, service.base),
    }) as started:  # fmt: skip
        yield started


@contextmanager
def _envoy(
    name: str, service: Service, changes: Mapping[str, str], certificate: Path | None = None
) -> Iterator[Gateway]:
    program = tool("envoy")
    with passable_directory() as directory, an_api() as api:
        write_certificate(directory, "tls")
        port = free_port()
        path = _configure(name, directory, {
            "/run/secrets/": f"{directory}/",
            "address: 0.0.0.0, port_value: 8443": f"address: 127.0.0.1, port_value: {port}",
            **_address("orders", 8080, f"http://{api}"), **changes,
        })  # fmt: skip
        command = [program, "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "--log-path",
                   str(directory / "envoy.log"), "--log-level", "warn"]  # fmt: skip
        with _started(command, directory, port, service, certificate) as started:
            yield started
        assert "Deprecated" not in (directory / "envoy.log").read_text()


def _address(name: str, port: int, url: str) -> dict[str, str]:
    return {f"address: {name}, port_value: {port}": f"address: 127.0.0.1, port_value: {urlsplit(url).port}"}


@dataclass
class Secure:
    """A service by https, and the certificate that it is known by."""

    service: Service
    certificate: Path


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    log = tmp_path_factory.mktemp("gateways") / "log"
    with passable_directory() as directory, running_stores(durable=False) as stores:
        certificate, key = write_certificate(directory, "authsvc")
        files = {"AUTHSVC_TLS_CERTIFICATE": str(certificate), "AUTHSVC_TLS_KEY": str(key)}
        with serving(stores.database_url, log, "--migrate", AUTHSVC_REDIS_URL=stores.redis_url, **files) as service:
            yield Secure(service, certificate)


@pytest.fixture(scope="module")
def apache(secure: Secure) -> Iterator[Gateway]:
    """Its module asks by https alone."""
    program = tool("apache2")
    if not (MODULES / "mod_auth_openidc.so").exists():
        missing("mod_auth_openidc is not installed: apt-get install libapache2-mod-auth-openidc")
    with passable_directory() as directory, an_api() as api:
        write_certificate(directory, "tls")
        client_id, secret = secure.service.client("--serves", ORDERS)
        lines = f"OIDCOAuthClientID {client_id}\nOIDCOAuthClientSecret {secret}\n"
        (directory / "gateway.conf").write_text(lines)
        port = free_port()
        recipe = _configure("apache.conf", directory, {
            "*:8443": f"127.0.0.1:{port}", "/run/secrets/": f"{directory}/", "http://orders:8080": f"http://{api}",
            "/etc/ssl/certs/ca-certificates.crt": str(secure.certificate),
            "https://auth.example.com": secure.service.base,
        })  # fmt: skip
        main = directory / "main.conf"
        main.write_text(_main_configuration(directory, port, recipe))
        command = [program, "-f", str(main), "-DFOREGROUND"]
        with _started(command, directory, port, secure.service, secure.certificate) as started:
            yield started


@pytest.fixture(scope="module")
def envoy_by_itself(secure: Secure) -> Iterator[Gateway]:
    with _envoy("envoy-jwt.yaml", secure.service, {
        **_address("auth.example.com", 443, secure.service.base), "issuer: https://auth.example.com":
        f"issuer: {secure.service.base}", "/etc/ssl/certs/ca-certificates.crt": str(secure.certificate),
        "san_type: DNS, matcher: { exact: auth.example.com }": "san_type: IP_ADDRESS, matcher: { exact: 127.0.0.1 }",
    }, secure.certificate) as started:  # fmt: skip
        yield started


def _main_configuration(directory: Path, port: int, recipe: Path) -> str:
    """What Debian's own has around a site."""
    lines = [
        f"ServerRoot {directory}", f"DefaultRuntimeDir {directory}", f"PidFile {directory}/apache.pid",
        f"ErrorLog {directory}/error.log", f"Listen 127.0.0.1:{port}", "ServerName localhost", "User nobody",
        "Group nogroup", "StartServers 1", "ServerTokens Prod",
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE),
        f"Include {recipe}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["nginx", "apache", "envoy"])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    found: Gateway = request.getfixturevalue(request.param)
    return found


def seen(answer: httpx2.Response) -> dict[str, str]:
    """What the API behind the gateway got."""
    assert answer.status_code == 200, answer.text
    names = [name for name, _ in answer.json()]
    assert len(set(names)) == len(names)
    return dict(answer.json())


# --- Those that ask


def test_a_live_token_is_let_through_and_the_api_is_told_whose_it_is(gateway: Gateway) -> None:
    token = gateway.token(gateway.of_orders)
    got = seen(gateway.ask(token))
    client_id = gateway.of_orders[0]
    assert [got[f"auth-{name}"] for name in ("subject", "client", "scope")] == [client_id, client_id, "orders read"]
    assert got.keys().isdisjoint({"authorization", "gateway-authorization", "gateway-audience", "gateway-scope"})
    answer = gateway.http.post("/orders", content=b"x" * 10_000, headers={"authorization": f"Bearer {token}"})
    assert seen(answer)["content-length"] == "10000"


def test_a_revoked_token_is_refused_by_the_very_next_request(gateway: Gateway) -> None:  # INT-13
    for _ in range(10):
        token = gateway.token(gateway.of_orders)
        assert gateway.ask(token).status_code == 200
        gateway.revoke(gateway.of_orders, token)
        answer = gateway.ask(token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_who_has_no_token_for_this_api_gets_nowhere(gateway: Gateway) -> None:
    assert gateway.ask(None).status_code == 401
    for token in ("", "garbage", "a.b.c", gateway.token(gateway.of_another)):
        answer = gateway.ask(token)
        assert answer.status_code == 401, token
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    live = gateway.token(gateway.of_orders)
    for path in (f"/orders?access_token={live}", f"/?x={live}"):
        assert gateway.ask(None, path).status_code == 401
    assert gateway.http.get("/", headers={"cookie": f"access_token={live}"}).status_code == 401


def test_nobody_says_of_themselves_who_they_are(gateway: Gateway) -> None:  # ATK-66
    token = gateway.token(gateway.of_orders)
    got = seen(gateway.ask(token, **FORGED))
    assert [got[f"auth-{name}"] for name in ("subject", "client")] == [gateway.of_orders[0]] * 2
    assert got["auth-scope"] == "orders read"
    assert got.keys().isdisjoint(UNDERLINED)
    assert gateway.ask(None, **FORGED).status_code == 401


def test_a_token_without_the_scope_is_refused(gateway: Gateway) -> None:
    answer = gateway.ask(gateway.token(gateway.of_no_scope))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_that_the_api_is_broken_is_told_as_that(gateway: Gateway) -> None:
    assert gateway.ask(gateway.token(gateway.of_orders), "/broken").status_code == 500


# --- nginx


def test_nginx_speaks_for_itself_alone(nginx: Gateway) -> None:
    """A user who is a client of ours too says nothing in its place."""
    proof = "Basic " + b64encode(":".join(nginx.of_another).encode()).decode()
    said = {"gateway-authorization": proof, "gateway-audience": "https://billing.example", "gateway-scope": "read"}
    assert nginx.ask(nginx.token(nginx.of_another), **said).status_code == 401
    assert seen(nginx.ask(nginx.token(nginx.of_orders), **said)).keys().isdisjoint(said)
    answer = nginx.ask(nginx.token(nginx.of_no_scope), **said)
    assert (answer.status_code, answer.headers["www-authenticate"].partition("scope=")[2]) == (403, '"orders"')
    assert nginx.ask(nginx.token(nginx.of_orders), "/_may_pass").status_code == 404


def test_a_user_is_let_through_by_their_token(nginx: Gateway) -> None:
    account = {"email": "gate@example.com", "password": PASSWORD}
    nginx.service.post("/api/v1/users", json=account)
    login = nginx.service.post("/api/v1/login", json=account)
    # It is for the service's own API, and not for this one.
    assert nginx.ask(login.json()["access_token"]).status_code == 401


def test_what_nobody_can_know_is_told_as_that_by_nginx(service: Service) -> None:
    """It is not known here, or we are not there at all: neither is the end of somebody's login."""
    for upstream in (service.base.removeprefix("http://"), f"127.0.0.1:{free_port()}"):
        with _nginx(service, upstream, ("cli_x", "as_y")) as gateway:
            answer = gateway.ask("a.b.c")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "www-authenticate" not in answer.headers


# --- Envoy


def test_what_nobody_can_know_is_told_as_that_by_envoy(service: Service) -> None:
    changes = {"Basic ...": "Basic eDp5", **_address("authsvc", 8000, f"http://127.0.0.1:{free_port()}")}
    with _envoy("envoy-ext-authz.yaml", service, changes) as gateway:
        assert gateway.ask("a.b.c").status_code == 503


def test_an_envoy_that_does_not_know_the_path_by_itself_asks_in_the_query(service: Service) -> None:
    client_id, secret = service.client("--serves", ORDERS)
    with _envoy("envoy-ext-authz.yaml", service, {
        "Basic ...": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}",
        **_address("authsvc", 8000, service.base),
        "path_override: /oauth2/forward-auth": 'path_prefix: "/oauth2/forward-auth?"',
    }) as gateway:  # fmt: skip
        assert gateway.ask(gateway.token(gateway.of_orders), "/orders/1?x=1&y=%20").status_code == 200
        assert gateway.ask("a.b.c", "/orders/1?x=1&y=%20").status_code == 401


def test_envoy_by_itself_lets_through_what_it_can_verify(envoy_by_itself: Gateway) -> None:
    gateway = envoy_by_itself
    token = gateway.token(gateway.of_orders)
    got = seen(gateway.ask(token, **FORGED))
    client_id = gateway.of_orders[0]
    assert [got[f"auth-{name}"] for name in ("subject", "client", "scope")] == [client_id, client_id, "orders read"]
    assert got.keys().isdisjoint({"authorization", *UNDERLINED})
    for other in (None, "", "garbage", f"{token[:-8]}AAAAAAAA", gateway.token(gateway.of_another)):
        assert gateway.ask(other, **FORGED).status_code in {401, 403}, other
    assert gateway.ask(None, f"/?access_token={token}").status_code == 401
    assert gateway.ask(gateway.token(gateway.of_no_scope)).status_code == 403
    gateway.revoke(gateway.of_orders, token)
    assert gateway.ask(token).status_code == 200  # as the recipe says: until it expires


# --- Traefik says what the service reads

OWN = {"gateway-authorization", "gateway-audience", "gateway-scope", "gateway-success"}
TOLD = {"auth-subject", "auth-client", "auth-scope"}


def test_traefik_sets_and_takes_away_all_of_its_own() -> None:
    http: dict[str, Any] = read_yaml(GATEWAYS / "traefik.yaml")["http"]
    (router,) = http["routers"].values()
    asks, guard, forgets = (http["middlewares"][name] for name in router["middlewares"])
    assert {name.lower() for name in asks["headers"]["customRequestHeaders"]} == OWN
    assert {name.lower() for name in guard["forwardAuth"]["authRequestHeaders"]} == OWN | {"authorization"}
    assert {name.lower() for name in guard["forwardAuth"]["authResponseHeaders"]} == TOLD
    forgotten = forgets["headers"]["customRequestHeaders"]
    assert {name.lower() for name in forgotten} == OWN | UNDERLINED | {"authorization"}
    assert set(forgotten.values()) == {""}
