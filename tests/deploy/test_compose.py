"""`deploy/compose.yaml`: what its schema cannot say, and the parts of it that run without Docker."""

import asyncio
import re
import shutil
import socket
import ssl
import stat
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from authsvc.embedded.programs import find_programs
from authsvc.migrate import migrate
from authsvc.settings import Settings, environment_name
from authsvc.supervisor import ServeOptions
from authsvc.worker import CLOSING_S
from tests.deploy.tools import DEPLOY, read_yaml, run, tool
from tests.journeys.service import clean_environment, free_port, run_cli, wait_until
from tests.stores import running_stores

COMPOSE = DEPLOY / "compose.yaml"
EVERYTHING = read_yaml(COMPOSE)
SERVICES: dict[str, Any] = EVERYTHING["services"]
OURS = ("authsvc", "migrate")

each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What `make-secrets.sh` makes, apart from the checkout."""
    tool("openssl")
    shutil.copy(DEPLOY / "make-secrets.sh", tmp_path)
    run(tmp_path / "make-secrets.sh")
    return tmp_path / "secrets"


def test_it_keeps_to_the_compose_specification() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


@each_service
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "network_mode" not in service


@each_service
def test_an_image_has_a_version_and_no_registry(name: str) -> None:
    if name in OURS:
        assert SERVICES[name]["image"] == "${IMAGE:-authsvc:local}"
        return
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.match(r"v?\d+", tag)
    assert "." not in image.partition("/")[0]


@each_service
def test_a_service_says_how_it_is(name: str) -> None:
    healthcheck = SERVICES[name]["healthcheck"]
    assert healthcheck == {"disable": True} if name == "migrate" else healthcheck["test"]


def test_only_nginx_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert SERVICES["nginx"]["ports"] == ["${HTTPS_PORT:-8443}:8443", "127.0.0.1:3000:3000"]
    inside = {name for name, network in EVERYTHING["networks"].items() if network.get("internal")}
    outside = {name for name, service in SERVICES.items() if set(service["networks"]) - inside}
    assert outside == {"nginx", "authsvc"}
    assert "monitoring" not in SERVICES["nginx"]["networks"]
    assert "stores" not in SERVICES["nginx"]["networks"]


@each_service
def test_who_is_needed_is_within_reach(name: str) -> None:
    for other in SERVICES[name].get("depends_on", {}):
        assert set(SERVICES[other]["networks"]) & set(SERVICES[name]["networks"]) or other == "migrate"


def test_the_service_waits_for_the_migration_and_the_stores() -> None:
    waits = {name: how["condition"] for name, how in SERVICES["authsvc"]["depends_on"].items()}
    assert waits == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "valkey": "service_healthy",
    }
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["restart"] == "no"


def test_the_service_is_given_the_time_to_stop_that_it_may_take() -> None:
    command = SERVICES["authsvc"]["command"]
    drain = float(command[command.index("--drain-seconds") + 1])
    graceful = next(f.default for f in fields(ServeOptions) if f.name == "graceful_timeout")
    assert isinstance(graceful, int)
    assert float(SERVICES["authsvc"]["stop_grace_period"].removesuffix("s")) >= drain + graceful + CLOSING_S + 3


@pytest.mark.parametrize("name", OURS)
def test_the_settings_exist_and_the_secrets_are_files(name: str) -> None:
    known = {environment_name(each.name): each.metadata["secret"] for each in fields(Settings)}
    for variable, value in SERVICES[name]["environment"].items():
        setting = variable.removesuffix("_FILE")
        assert setting in known, variable
        assert known[setting] == variable.endswith("_FILE"), variable
        if known[setting]:
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


def test_every_secret_is_declared_used_and_made(secrets: Path) -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(EVERYTHING["secrets"])
    for name, declared in EVERYTHING["secrets"].items():
        assert declared == {"file": f"./secrets/{name}"}
        assert (secrets / name).stat().st_size


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for mounted in SERVICES[name].get("volumes", ()):
        source, _, _ = mounted.partition(":")
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert mounted.endswith(":ro"), mounted
        else:
            assert source in EVERYTHING["volumes"]


# --- The parts that run without Docker


def test_the_secrets_are_good_and_stay_what_they_are(secrets: Path) -> None:
    environ = clean_environment(
        AUTHSVC_ISSUER="https://localhost:8443",
        AUTHSVC_DATABASE_URL_FILE=str(secrets / "database-url"),
        AUTHSVC_MASTER_KEY_FILE=str(secrets / "master-key"),
        AUTHSVC_REDIS_URL_FILE=str(secrets / "redis-url"),
    )
    assert "usable" in run_cli(environ, "config", "check").stdout
    ssl.create_default_context().load_verify_locations(secrets / "tls.crt")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(secrets / "tls.crt", secrets / "tls.key")

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}
    assert run(secrets.parent / "make-secrets.sh").stdout == ""
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


def test_no_secret_can_be_committed_or_built_in() -> None:
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_the_role_that_the_service_logs_in_as_may_do_what_it_must(secrets: Path, tmp_path: Path) -> None:
    """`postgres/authsvc.sql`, run as the image runs it: then that role migrates, and it is no superuser."""
    sql = (DEPLOY / "postgres/authsvc.sql").read_text().replace("/run/secrets/", f"{secrets}/")
    # The embedded server has a database of that name; what the script is about is another one.
    sql = sql.replace("DATABASE authsvc", "DATABASE composed")
    (tmp_path / "authsvc.sql").write_text(sql)
    with running_stores(durable=False) as stores:
        sockets = stores.database_url.partition("host=")[2]
        admin = f"postgresql://postgres@/postgres?host={sockets}"
        psql = find_programs().postgres_bin / "psql"
        run(psql if psql.exists() else "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "--file",
            tmp_path / "authsvc.sql", admin)  # fmt: skip
        password = (secrets / "database-password").read_text().strip()
        url = f"postgresql://authsvc:{password}@/composed?host={sockets}"

        async def look() -> tuple[int, bool]:
            applied = await migrate(url)
            connection = await asyncpg.connect(url)
            try:
                is_super = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
                return len(applied), bool(is_super)
            finally:
                await connection.close()

        applied, is_super = asyncio.run(look())
        assert applied
        assert not is_super


def test_valkey_starts_as_told_and_asks_for_the_password(secrets: Path, tmp_path: Path) -> None:
    port = free_port()
    program, config, *options = SERVICES["valkey"]["command"]
    assert program == "valkey-server"
    command = [find_programs().redis_server, config.replace("/run/secrets", str(secrets)), *options]
    process = subprocess.Popen([*command, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)],
                               stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_until(lambda: _listens(port), 10)
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        url = urlsplit((secrets / "redis-url").read_text().strip())
        assert (url.hostname, url.port) == ("valkey", 6379)
        with redis.Redis(port=port, password=url.password) as friend:
            assert friend.ping()
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0
