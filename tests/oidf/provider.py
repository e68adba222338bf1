"""The provider under test, as the suite is told of it: its address, a user, clients, and whom to trust."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2

from tests.certificates import write_certificate
from tests.house_of import NO_LIMITS, PASSWORD
from tests.journeys.service import Service, serving
from tests.receiver import Receiver, receiving
from tests.stores import run_sql

EMAIL = "ada@example.com"
CALLBACK = "https://suite.example/test/a/authsvc/callback"
LOGGED_OUT = "https://suite.example/test/a/authsvc/post_logout_redirect"
TOLD = "/test/a/authsvc/backchannel_logout"
SCOPE = "openid profile email address phone offline_access"
CLAIMS = {
    "name": "Ada King",
    "family_name": "King",
    "given_name": "Ada",
    "middle_name": "Augusta",
    "nickname": "Ada",
    "preferred_username": "ada",
    "profile": "https://example.com/ada",
    "picture": "https://example.com/ada.png",
    "website": "https://example.com",
    "gender": "female",
    "birthdate": "1815-12-10",
    "zoneinfo": "Europe/London",
    "locale": "en-GB",
    "address": {"street_address": "12 St James's Square", "locality": "London", "country": "GB"},
    "phone_number": "+44 20 7946 0000",
    "phone_number_verified": True,
}
"""A user of whom everything is known: the suite warns of each claim that is missing."""

_AGED = ("sessions", "authorization_codes", "grants", "consents")


@dataclass(frozen=True)
class SuiteClient:
    client_id: str
    secret: str
    method: str


@dataclass
class Provider:
    service: Service
    database_url: str
    certificate: Path
    sub: str
    basic: SuiteClient
    second: SuiteClient
    post: SuiteClient
    told: SuiteClient
    """Of logouts, at `TOLD` of the receiver."""
    receiver: Receiver
    passed: float = 0
    """Seconds that were let pass: by so much are the clocks of the suite before that of the provider."""

    @property
    def issuer(self) -> str:
        return self.service.base

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def open(self) -> httpx2.Client:
        """Connections, and cookies, of somebody of their own."""
        return httpx2.Client(base_url=self.issuer, verify=self.trust, timeout=20)

    @cached_property
    def http(self) -> httpx2.Client:
        """Those of the clients."""
        return self.open()

    @cached_property
    def metadata(self) -> dict[str, Any]:
        document: dict[str, Any] = self.http.get("/.well-known/openid-configuration").json()
        return document

    @cached_property
    def keys(self) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self.http.get(self.metadata["jwks_uri"]).json()["keys"]
        return keys

    def let_pass(self, seconds: int) -> None:
        """What the suite waits for. Nobody waits here: all that has happened is so much longer ago."""
        columns = run_sql(
            self.database_url,
            "SELECT json_agg(json_build_array(table_name, column_name)) FROM information_schema.columns "
            f"WHERE table_schema = 'auth' AND data_type = 'timestamp with time zone' AND table_name IN {_AGED}",
        )
        aged: dict[str, list[str]] = {}
        for table, column in json.loads(columns):
            aged.setdefault(table, []).append(f"{column} = {column} - interval '{seconds} s'")
        assert aged.keys() == set(_AGED)
        for table, changes in aged.items():
            run_sql(self.database_url, f"UPDATE auth.{table} SET {', '.join(changes)}")
        self.passed += seconds


@contextmanager
def providing(database_url: str, directory: Path) -> Iterator[Provider]:
    """A provider with TLS, as the suite insists on."""
    certificate, key = write_certificate(directory)
    settings = {f"AUTHSVC_{name.upper()}": str(limit) for name, limit in NO_LIMITS.items()}
    settings |= {"AUTHSVC_TLS_CERTIFICATE": str(certificate), "AUTHSVC_TLS_KEY": str(key)}
    settings |= {"AUTHSVC_OUTBOUND_LOOPBACK": "true", "AUTHSVC_OUTBOUND_CA_FILE": str(certificate)}
    with (
        receiving((certificate, key)) as receiver,
        serving(database_url, directory / "log", **settings) as service,
    ):
        sub = service.cli(
            "user", "create", "--email", EMAIL, "--password-stdin", "--email-verified", "--claims", json.dumps(CLAIMS),
            stdin=PASSWORD,
        )["sub"]  # fmt: skip
        provider = Provider(
            service, database_url, certificate, sub,
            _register(service, "basic"), _register(service, "basic"), _register(service, "post"),
            _register(service, "basic", "--backchannel-logout-uri", receiver.uri(TOLD)), receiver,
        )  # fmt: skip
        yield provider
        provider.http.close()


def _register(service: Service, method: str, *options: str) -> SuiteClient:
    method = f"client_secret_{method}"
    made = service.cli(
        "client", "create", "--name", "The suite", "--grant", "authorization_code", "--grant", "refresh_token",
        "--scope", SCOPE, "--redirect-uri", CALLBACK, "--token-endpoint-auth-method", method, "--no-require-pkce",
        "--post-logout-redirect-uri", LOGGED_OUT, *options,
    )  # fmt: skip
    return SuiteClient(made["client_id"], made["client_secret"], method)
