"""Clients that are not ours, and that are known to be strict: openid-client and oauth4webapi go the whole way, and
whatever they find wrong with an answer fails here. openid-client also sends its user to be logged out, and jose reads
what its server is told of that."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.oidf.module import Module
from tests.oidf.node import installed
from tests.oidf.provider import CALLBACK, EMAIL, LOGGED_OUT, SCOPE, Provider
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


def register(provider: Provider, algorithm: str, method: str, key_set: Path, told_at: str) -> dict[str, Any]:
    how = (
        ["--public"] if method == "none" else ["--grant", "client_credentials", "--token-endpoint-auth-method", method]
    )
    if method == "private_key_jwt":
        how += ["--jwks-file", str(key_set), "--require-signed-request-object"]
    made: dict[str, Any] = provider.service.cli(
        "client", "create", "--name", "A strict one", "--grant", "authorization_code", "--grant", "refresh_token", *how,
        "--scope", f"{SCOPE} read", "--redirect-uri", CALLBACK, "--audience", RESOURCE,
        "--id-token-signed-response-alg", algorithm, "--introspection-signed-response-alg", algorithm,
        "--post-logout-redirect-uri", LOGGED_OUT, "--backchannel-logout-uri", provider.receiver.uri(told_at),
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


def authorize(browser: Module, address: str, state: str) -> dict[str, str | None]:
    """What arrives at the redirect URI, with this state."""
    sent = read_query(address)
    arrived = browser.send(sent, asked=sent | {"state": state})
    assert isinstance(arrived, dict), arrived.text
    fields = urlencode(arrived)
    if browser.mode == "query":
        return {"url": f"{CALLBACK}?{fields}", "body": None}
    return {"url": CALLBACK, "body": fields}


def log_out(browser: Module, address: str) -> dict[str, str]:
    """Where the user is then."""
    assert address.startswith(browser.provider.metadata["end_session_endpoint"] + "?")
    arrived = browser.log_out(**read_query(address))
    assert isinstance(arrived, str), arrived.text
    return {"url": arrived}


def hear_of_logout(provider: Provider, path: str) -> dict[str, str]:
    (told,) = provider.receiver.wait_for(path)
    return {"logout_token": told.token}


def read_query(address: str) -> dict[str, str]:
    fields = parse_qsl(urlsplit(address).query, strict_parsing=True)
    assert len(dict(fields)) == len(fields)
    return dict(fields)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", ["openid_client", "oauth4webapi"])
def test_a_strict_client_finds_nothing_wrong(
    scripts: Path, provider: Provider, tmp_path: Path, library: str, case: str
) -> None:
    algorithm, method, mode = CASES[case]
    hand, key_set = Hand(), tmp_path / "jwks.json"
    key_set.write_text(json.dumps(hand.key_set()))
    told_at = f"/{library}/{method}"
    made = register(provider, algorithm, method, key_set, told_at)
    asked = {
        "issuer": provider.issuer, "redirect_uri": CALLBACK, "logged_out": LOGGED_OUT, "client_id": made["client_id"],
        "client_secret": made.get("client_secret"), "algorithm": algorithm, "method": method, "mode": mode,
        "audience": RESOURCE, "jwk": hand.private_jwk() if method == "private_key_jwt" else None,
    }  # fmt: skip
    with provider.open() as http, script(scripts / f"{library}.mjs", provider) as process:
        browser = Module(provider, http, mode)
        say(process.stdin, asked)
        while not (told := hear(process.stdout)).keys() & {"judged", "failed"}:
            if "open" in told:
                say(process.stdin, authorize(browser, told["open"], told["state"]))
            else:
                say(process.stdin, log_out(browser, told["log_out"]) | hear_of_logout(provider, told_at))
    assert "failed" not in told, told["failed"]
    assert told["judged"] == {
        "sub": provider.sub,
        "told": {"sub": provider.sub, "email": EMAIL, "email_verified": True},
        "leaked": None,
    }
