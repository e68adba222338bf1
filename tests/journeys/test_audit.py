"""The audit log, as an operator meets it: a service with two workers, commands, a termination."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.house_of import MASTER_KEY, PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, clean_environment, run_cli, serving, wait_until
from tests.stores import run_sql

EMAIL = "ada@example.com"
ROLE = "authsvc_journey"


def exported(service: Service, *filters: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run_cli(service.environ, "audit", "export", *filters).stdout.splitlines()]


def test_an_operator_sees_what_happened_and_that_nothing_was_changed(database_url: str, tmp_path: Path) -> None:
    options = ("--migrate", "--workers", "2")
    with serving(database_url, tmp_path / "log", *options, AUTHSVC_TRUSTED_PROXIES="127.0.0.0/8") as service:
        made = service.cli("user", "create", "--email", EMAIL, "--generate-password")
        forwarded = {"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
        answer = fetch.post(
            f"{service.base}/api/v1/login", json={"email": EMAIL, "password": PASSWORD}, headers=forwarded
        )
        assert answer.status_code == 401
        wait_until(lambda: exported(service, "--event", "authn_login_fail"), 10)

        (created,) = exported(service, "--event", "user_created")
        assert (created["via"], created["sub"]) == ("cli", made["sub"])
        assert created["details"]["operator"]
        (failed,) = exported(service, "--user", made["sub"], "--event", "authn_login_fail")
        assert (failed["via"], failed["address"]) == ("http", "192.0.2.7")
        assert failed["request_id"] == answer.headers["x-request-id"]
        assert exported(service, "--address", "198.51.100.1") == [], "what the client wrote itself is not believed"
        (last,) = service.cli("audit", "tail", "-n", "1", "--event", "authn_login_fail")
        assert last == failed
        told = run_cli(service.environ, "audit", "tail", "--event", "user_created").stdout
        assert "user_created" in told and made["sub"] in told

        wait_until(lambda: service.cli("audit", "verify")["seals"], 20)
        assert service.cli("audit", "verify")["faults"] == []

        # No answer has been awaited since: what it observed is written before the service ends.
        fetch.get(f"{service.base}/api/v1/me")
    assert exported(service, "--event", "authz_fail")
    assert exported(service, "--event", "sys_shutdown")


def test_what_an_owner_changes_is_told_with_exit_status_1(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path / "log", "--migrate") as service:
        service.cli("user", "create", "--email", EMAIL, "--generate-password")
        sealed = "SELECT seal FROM audit.security_events WHERE event = 'user_created'"
        wait_until(lambda: run_sql(database_url, sealed), 20)
    run_sql(database_url, "ALTER TABLE audit.security_events DISABLE TRIGGER keep")
    run_sql(database_url, "DELETE FROM audit.security_events WHERE event = 'user_created'")
    done = run_cli(service.environ, "audit", "verify", check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("seal ")


@pytest.fixture
def application_url(database_url: str) -> Iterator[str]:
    """The same database, by a role that owns nothing in it."""
    run_sql(database_url, f"CREATE ROLE {ROLE} LOGIN")
    yield urlsplit(database_url)._replace(netloc=f"{ROLE}@").geturl()
    run_sql(database_url, f"DROP OWNED BY {ROLE}")
    run_sql(database_url, f"DROP ROLE {ROLE}")


def test_the_service_works_under_a_role_that_owns_nothing(
    database_url: str, application_url: str, tmp_path: Path
) -> None:
    owners = clean_environment(
        AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER="http://127.0.0.1", AUTHSVC_MASTER_KEY=MASTER_KEY
    )
    run_cli(owners, "migrate", "--grant-to", ROLE)
    with serving(application_url, tmp_path / "log", "--workers", "2") as service:
        auth = service.client("--introspect", "own")
        service.cli("user", "create", "--email", EMAIL, "--password-stdin", stdin=PASSWORD)
        login = fetch.post(f"{service.base}/api/v1/login", json={"email": EMAIL, "password": PASSWORD}).json()
        form = {"grant_type": "refresh_token", "refresh_token": login["refresh_token"], "client_id": login["client_id"]}
        assert fetch.post(f"{service.base}/oauth2/token", data=form).status_code == 200
        token = service.token(auth)
        assert service.introspect(auth, token).json()["active"]
        assert service.revoke(auth, token).status_code == 200
        assert not service.introspect(auth, token).json()["active"]
        for command in (["key", "rotate"], ["user", "delete", EMAIL], ["client", "delete", auth[0]]):
            service.cli(*command)
        wait_until(lambda: service.cli("audit", "verify")["seals"], 20)
        assert [each for each in service.log_lines() if each["level"] == "error"] == []


def test_a_role_that_is_not_there_is_told(database_url: str) -> None:
    environ = clean_environment(
        AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER="http://127.0.0.1", AUTHSVC_MASTER_KEY=MASTER_KEY
    )
    done = run_cli(environ, "migrate", "--grant-to", "nobody_at_all", check=False)
    assert (done.returncode, done.stderr) == (
        2, "authsvc: there is no role nobody_at_all in this PostgreSQL: create it first\n"
    )  # fmt: skip
