"""Clients that are not ours, and that are known to be strict: openid-client and oauth4webapi go the whole way, and
whatever they find wrong with an answer fails here."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.oidf.module import Module
from tests.oidf.node import installed
from tests.oidf.provider import CALLBACK, EMAIL, SCOPE, Provider
from tests.signing import Hand

RESOURCE = "https://api.example/"
CASES = {
    # algorithm, how the client proves itself, how the answer travels
    "as most do": ("RS256", "client_secret_basic", "query"),
    "posted": ("ES256", "client_secret_post", "form_post"),
    "without a secret": ("RS256", "none", "query"),
    "signed and pushed": ("RS256", "private_key_jwt", "query"),
}
"""Not Ed25519: Node 18 does not know it by this name."""


@pytest.fixture(scope="session")
def scripts() -> Path:
    """Looked for before a provider is started for them."""
    return installed()


def register(provider: Provider, algorithm: str, method: str, key_set: Path) -> dict[str, Any]:
    how = (
        ["--public"] if method == "none" else ["--grant", "client_credentials", "--token-endpoint-auth-method", method]
    )
    if method == "private_key_jwt":
        how += ["--jwks-file", str(key_set), "--require-signed-request-object"]
    made: dict[str, Any] = provider.service.cli(
        "client", "create", "--name", "A strict one", "--grant", "authorization_code", "--grant", "refresh_token", *how,
        "--scope", f"{SCOPE} read", "--redirect-uri", CALLBACK, "--audience", RESOURCE,
        "--id-token-signed-response-alg", algorithm,
    )  # fmt: skip
    return made


@contextmanager
def script(path: Path, provider: Provider) -> Iterator["subprocess.Popen[str]"]:
    """It trusts our certificate, and is told to overlook nothing."""
    environ = {**os.environ, "NODE_EXTRA_CA_CERTS": str(provider.certificate)}
    command = ["node", "--no-warnings", path.name]
    with subprocess.Popen(
        command, cwd=path.parent, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def say(pipe: IO[str] | None, told: dict[str, Any]) -> None:
    assert pipe is not None
    pipe.write(json.dumps(told) + "\n")
    pipe.flush()


def hear(pipe: IO[str] | None) -> dict[str, Any]:
    assert pipe is not None
    line = pipe.readline()
    assert line, "the script has died"
    told: dict[str, Any] = json.loads(line)
    return told


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", ["openid_client", "oauth4webapi"])
def test_a_strict_client_finds_nothing_wrong(
    scripts: Path, provider: Provider, tmp_path: Path, library: str, case: str
) -> None:
    algorithm, method, mode = CASES[case]
    hand, key_set = Hand(), tmp_path / "jwks.json"
    key_set.write_text(json.dumps(hand.key_set()))
    made = register(provider, algorithm, method, key_set)
    asked = {
        "issuer": provider.issuer, "redirect_uri": CALLBACK, "client_id": made["client_id"],
        "client_secret": made.get("client_secret"), "algorithm": algorithm, "method": method, "mode": mode,
        "audience": RESOURCE, "jwk": hand.private_jwk() if method == "private_key_jwt" else None,
    }  # fmt: skip
    with provider.open() as http, script(scripts / f"{library}.mjs", provider) as process:
        browser = Module(provider, http, mode)
        say(process.stdin, asked)
        while "open" in (told := hear(process.stdout)):
            parameters = parse_qs(urlsplit(told["open"]).query, strict_parsing=True)
            sent = {name: value for name, (value,) in parameters.items()}
            arrived = browser.send(sent, asked=sent | {"state": told["state"]})
            assert isinstance(arrived, dict), arrived.text
            fields = urlencode(arrived)
            if mode == "query":
                say(process.stdin, {"url": f"{CALLBACK}?{fields}", "body": None})
            else:
                say(process.stdin, {"url": CALLBACK, "body": fields})
    assert "failed" not in told, told["failed"]
    assert told["judged"] == {
        "sub": provider.sub,
        "told": {"sub": provider.sub, "email": EMAIL, "email_verified": True},
        "leaked": None,
    }
