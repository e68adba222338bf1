"""Whatever is sent, by the description of the API or against it: no 5xx, no answer that the description does not know.

`AUTHSVC_FUZZ_EXAMPLES` and `AUTHSVC_FUZZ_SEED` let it try more, and other things.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from authsvc.embedded import Stores
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, serving
from tests.stores import fresh_database

EXAMPLES = os.environ.get("AUTHSVC_FUZZ_EXAMPLES", "20")
SEED = os.environ.get("AUTHSVC_FUZZ_SEED", "1")
EMAIL = "ada@example.com"
UNLIMITED = {
    f"AUTHSVC_{name}": "0"
    for name in (
        "LOGIN_ATTEMPTS", "LOGIN_ATTEMPTS_PER_ACCOUNT", "LOGIN_ATTEMPTS_PER_ADDRESS", "REGISTRATIONS_PER_ADDRESS",
        "CLIENT_FAILURES", "CLIENT_REQUESTS_PER_MINUTE",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def service(stores: Stores, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("fuzz") / "log"
    with (
        fresh_database(stores, migrated_template) as database_url,
        serving(database_url, log, **UNLIMITED, AUTHSVC_REDIS_URL=stores.redis_url) as service,
    ):
        yield service


def fuzz(service: Service, directory: Path, *options: str) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            schemathesis, "run", f"{service.base}/openapi.json", "--mode", "all", "--max-examples", EXAMPLES,
            "--seed", SEED, "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all",
            # A string is not yet an e-mail address, nor a scope one that the client has.
            "--exclude-checks", "positive_data_acceptance", *options,
        ],
        cwd=directory, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b0 generated", done.stdout) is None
    assert [line for line in service.log_lines() if line["level"] in ("error", "critical")] == []


def test_what_anybody_and_clients_may_call(service: Service, tmp_path: Path) -> None:
    client = service.client("--introspect", "any", "--grant", "refresh_token")
    fuzz(service, tmp_path, "--auth", ":".join(client), "--exclude-path-regex", "/me|/logout")


def test_what_ends_sessions(service: Service, tmp_path: Path) -> None:
    """With a token that is dead, or never was one: those that work would work once."""
    fuzz(service, tmp_path, "-H", "Authorization: Bearer nothing", "--include-path-regex", "logout")


def test_what_users_may_call(service: Service, tmp_path: Path) -> None:
    """But for what ends the session that is used for it."""
    service.cli("user", "create", "--email", EMAIL, "--password-stdin", stdin=PASSWORD)
    login = fetch.post(f"{service.base}/api/v1/login", json={"email": EMAIL, "password": PASSWORD}).json()
    headers = ["-H", f"Authorization: Bearer {login['access_token']}"]
    fuzz(service, tmp_path, *headers, "--include-path-regex", f"{urlsplit(service.base).path}/api/v1/me(/password)?$")
