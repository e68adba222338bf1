"""The drill of docs/backup.md: a dump, what happens after it, its restoration, and what is then still believed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from authsvc.embedded import Stores
from tests.deploy.tools import missing
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, run_cli, serving
from tests.stores import fresh_database, programs, running_stores


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with running_stores() as stores:  # durable, as doctor wants it
        yield stores


def pg(program: str, *arguments: str) -> None:
    """Run a program that came with the server: one of another version may not understand it."""
    path = programs().postgres_bin / program
    if not path.exists():
        missing(f"{program} is not installed beside PostgreSQL: apt-get install postgresql-client")
    subprocess.run([path, *arguments], check=True, timeout=60)


def log_in(service: Service, email: str, password: str = PASSWORD) -> httpx2.Response:
    return fetch.post(f"{service.base}/api/v1/login", json={"email": email, "password": password})


def refresh(service: Service, token: str, client_id: str) -> httpx2.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client_id}
    return fetch.post(f"{service.base}/oauth2/token", data=form)


def test_a_restored_service_believes_no_token_once_everything_is_revoked(stores: Stores, tmp_path: Path) -> None:
    dump = str(tmp_path / "authsvc.dump")
    with fresh_database(stores) as old_url, fresh_database(stores) as new_url:
        with serving(old_url, tmp_path / "old", "--migrate") as old:
            issuer, auth = old.base, old.client("--introspect", "any")
            old.cli("user", "create", "--email", "ada@example.com", "--password-stdin", stdin=PASSWORD)
            session = log_in(old, "ada@example.com").json()
            dead, killed_later = old.token(auth), old.token(auth)
            assert old.revoke(auth, dead).status_code == 200
            kept = old.cli("key", "list")

            pg("pg_dump", f"--dbname={old_url}", "--format=custom", f"--file={dump}")

            assert old.revoke(auth, killed_later).status_code == 200
            issued_later = old.token(auth)
            old.cli("user", "create", "--email", "eve@example.com", "--password-stdin", stdin=PASSWORD)
            assert log_in(old, "eve@example.com").status_code == 200
            old.cli("user", "revoke-tokens", "ada@example.com")
            raised_later = log_in(old, "ada@example.com").json()["access_token"]

        pg("pg_restore", f"--dbname={new_url}", "--exit-on-error", "--single-transaction", dump)
        tokens = [dead, killed_later, issued_later, raised_later, session["access_token"]]
        with serving(new_url, tmp_path / "new", AUTHSVC_ISSUER=issuer) as new:
            assert new.cli("key", "list") == kept

            def live() -> list[str]:
                return [token for token in tokens if new.introspect(auth, token).json()["active"]]

            # The older state: what was revoked after the dump lives again, and one revocation of everything mends it.
            assert live() == [killed_later, issued_later, raised_later, session["access_token"]]
            new.cli("token", "revoke-everything", "--yes")
            assert live() == []

            answer = refresh(new, session["refresh_token"], session["client_id"])
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
            again = log_in(new, "ada@example.com").json()
            assert refresh(new, again["refresh_token"], again["client_id"]).status_code == 200
            assert new.introspect(auth, new.token(auth)).json()["active"] is True
            assert log_in(new, "eve@example.com").status_code == 401  # nobody knew her yet

            checks = {check["name"]: check for check in new.cli("doctor")}
            ours = {"settings", "password hash"}  # an issuer of plain http; a machine that is busy with tests
            assert [check for name, check in checks.items() if name not in ours and check["status"] != "ok"] == []


def test_a_restored_service_does_not_start_with_another_master_key(stores: Stores, tmp_path: Path) -> None:
    dump = str(tmp_path / "authsvc.dump")
    with fresh_database(stores) as old_url, fresh_database(stores) as new_url:
        with serving(old_url, tmp_path / "log", "--migrate") as old:
            environ = old.environ
        pg("pg_dump", f"--dbname={old_url}", "--format=custom", f"--file={dump}")
        pg("pg_restore", f"--dbname={new_url}", "--exit-on-error", "--single-transaction", dump)
        other = run_cli(environ, "master-key", "generate").stdout.strip()
        environ |= {"AUTHSVC_DATABASE_URL": new_url, "AUTHSVC_MASTER_KEY": other}
        told = run_cli(environ, "doctor", check=False)
        assert (told.returncode, "the master key does not open" in told.stdout) == (1, True)
        refused = run_cli(environ, "key", "list", check=False)
        assert (refused.returncode, "does not open" in refused.stderr) == (2, True)
