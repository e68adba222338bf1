"""`authsvc doctor`: what it says of stores that are well, of broken ones, and of none; and never a secret."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from authsvc import doctor
from authsvc.caches.server import CacheServer
from authsvc.clock import SystemClock
from authsvc.doctor import Check, Verdict, examine
from authsvc.embedded import Stores
from authsvc.migrate import migrate
from authsvc.models import SigningKey
from authsvc.protocol import keys as rules
from authsvc.settings import Settings
from authsvc.tables.server import DatabaseServer
from tests.certificates import write_certificate
from tests.house_of import MASTER_KEY, FakeClock, flows_on, settings_for
from tests.journeys.service import clean_environment, run_cli
from tests.stores import fresh_database, run_sql, running_stores

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
CLOCK = FakeClock()
NOW = CLOCK.now()


# --- Judging

PRIMARY = DatabaseServer(
    version=180_006, is_standby=False, is_read_only=False, fsync=True, synchronous_commit="on", now=NOW
)
VALKEY = CacheServer(
    name="valkey",
    version="9.1.0",
    is_replica=False,
    is_of_cluster=False,
    has_functions=True,
    eviction="noeviction",
    unix=0.0,
)


@pytest.mark.parametrize(
    ("server", "status", "words"),
    [
        (PRIMARY, OK, "18.6"),
        (replace(PRIMARY, version=150_000), OK, "15.0"),
        (replace(PRIMARY, version=140_020), FAIL, "version 14: 15 is the oldest"),
        (replace(PRIMARY, is_standby=True), FAIL, "primary"),
        (replace(PRIMARY, is_read_only=True), FAIL, "primary"),
        (replace(PRIMARY, fsync=False), WARN, "fsync"),
        (replace(PRIMARY, synchronous_commit="off"), WARN, "synchronous_commit"),
        (replace(PRIMARY, synchronous_commit="remote_apply"), OK, "keeps them"),
    ],
)
def test_postgresql(server: DatabaseServer, status: Verdict, words: str) -> None:
    check = doctor.judge_postgresql(server)
    assert (check.status, words in check.text) == (status, True), check


@pytest.mark.parametrize(
    ("server", "status", "words"),
    [
        (VALKEY, OK, "valkey 9.1.0"),
        (replace(VALKEY, eviction=None), OK, "valkey"),
        (replace(VALKEY, name="redis", version="6.2.14"), WARN, "7 or later"),
        (replace(VALKEY, is_replica=True), WARN, "primary"),
        (replace(VALKEY, is_of_cluster=True), WARN, "cluster"),
        (replace(VALKEY, has_functions=False), WARN, "functions"),
        (replace(VALKEY, eviction="allkeys-lru"), WARN, "noeviction"),
    ],
)
def test_redis_is_never_a_reason_to_stop(server: CacheServer, status: Verdict, words: str) -> None:
    check = doctor.judge_redis(server)
    assert (check.status, words in check.text) == (status, True), check


@pytest.mark.parametrize(
    ("seconds", "status"), [(0.0, OK), (1.0, OK), (-1.0, OK), (1.1, WARN), (-30.0, WARN), (30.1, FAIL), (-3600.0, FAIL)]
)
def test_clocks(seconds: float, status: Verdict) -> None:
    check = doctor.judge_drift("a clock", seconds)
    assert check.status is status
    assert ("ahead" in check.text) == (seconds > 1)


@pytest.mark.parametrize(("seconds", "status"), [(0.06, OK), (1.0, OK), (1.2, WARN)])
def test_hashing(seconds: float, status: Verdict) -> None:
    check = doctor.judge_hashing(seconds)
    assert (check.status, f"{seconds * 1000:.0f} ms" in check.text) == (status, True)


def test_settings() -> None:
    settings = settings_for("postgresql://localhost/none", issuer="https://id.example")
    assert doctor.judge_settings(settings, []).status is OK
    told = doctor.judge_settings(settings, ["AUTHSVC_REDIS_ULR"])
    assert (told.status, "AUTHSVC_REDIS_ULR" in told.text) == (WARN, True)
    assert doctor.judge_settings(replace(settings, issuer="http://localhost"), []).status is WARN
    assert doctor.judge_settings(replace(settings, password_pepper="canary"), []).status is FAIL


def test_secrets_that_everybody_may_read(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("A", "B", "C")}
    for path, mode in zip(files.values(), (0o600, 0o640), strict=False):
        path.touch()
        path.chmod(mode)
    assert doctor.judge_files(files).status is OK  # of the third, others speak
    files["B"].chmod(0o644)
    told = doctor.judge_files(files)
    assert (told.status, "read B:" in told.text) == (WARN, True)


def test_tls(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, begins=NOW)
    assert doctor.judge_tls(certificate, key, NOW).status is OK
    assert doctor.judge_tls(certificate, key, NOW + timedelta(days=9)).status is FAIL


def key_of(*, age: timedelta, signs: bool, master_key: str = MASTER_KEY) -> SigningKey:
    made = rules.generate("ES256")
    master = rules.parse_master_key(master_key)
    created = NOW - age
    return SigningKey(
        kid=made.kid, algorithm="ES256", public_jwk=made.public_jwk,
        sealed_private=rules.seal_private(master, made.kid, made.private_bytes, bytes(rules.NONCE_BYTES)),
        master_key_id=rules.master_key_id(master), created_at=created,
        signs_from=created if signs else None, verifies_until=None,
    )  # fmt: skip


def test_signing_keys() -> None:
    settings = settings_for("postgresql://localhost/none")
    young, old = key_of(age=timedelta(days=1), signs=True), key_of(age=timedelta(days=200), signs=True)
    following = key_of(age=timedelta(days=1), signs=False)
    other_master = rules.format_master_key(bytes(range(32)))
    exchanging = replace(settings, master_key_previous=other_master)
    sealed_otherwise = key_of(age=timedelta(days=1), signs=False, master_key=other_master)
    cases: list[tuple[list[SigningKey], Verdict, str]] = [
        ([young, following], OK, "one signs"),
        ([], FAIL, "none signs"),
        ([following], FAIL, "none signs"),
        ([young], WARN, "no next key"),
        ([old, following], WARN, "200 days old"),
        ([young, sealed_otherwise], FAIL, "master key does not open"),
    ]
    for keys, status, words in cases:
        check = doctor.judge_keys(keys, settings, NOW)
        assert (check.status, words in check.text) == (status, True), check
    check = doctor.judge_keys([young, sealed_otherwise], exchanging, NOW)
    assert (check.status, "master-key rotate" in check.text) == (WARN, True)
    assert doctor.judge_keys([old, following], replace(settings, key_rotation_days=365), NOW).status is OK
    assert doctor.judge_keys([old, following], replace(settings, access_token_algorithm="RS256"), NOW).status is WARN


# --- Asking


@pytest.fixture(scope="module")
def durable() -> Iterator[Stores]:
    with running_stores() as stores:
        yield stores


@pytest.fixture
def fresh(durable: Stores) -> Iterator[Settings]:
    with fresh_database(durable) as url:
        yield settings_for(url, redis_url=durable.redis_url, issuer="https://id.example")


async def examined(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in await examine(settings, [], {}, SystemClock())}


async def test_all_is_well_with_a_service_that_has_run(fresh: Settings) -> None:
    await migrate(fresh.database_url)
    async with flows_on(fresh, FakeClock(at=SystemClock().now())):
        pass  # it makes its keys
    checks = await examined(fresh)
    assert {name: check.text for name, check in checks.items() if check.status is not OK} == {}
    assert set(checks) == {
        "settings", "secret files", "postgresql", "postgresql clock", "schema", "signing keys", "redis", "redis clock",
        "password hash",
    }  # fmt: skip


async def test_what_is_not_prepared_is_told(fresh: Settings) -> None:
    checks = await examined(replace(fresh, redis_url=None))
    assert (checks["schema"].status, "authsvc migrate" in checks["schema"].text) == (FAIL, True)
    assert "signing keys" not in checks
    assert checks["redis"].status is OK
    await migrate(fresh.database_url)
    assert (await examined(fresh))["signing keys"].status is FAIL


async def test_stores_that_are_away_are_told_apart(fresh: Settings) -> None:
    away = replace(fresh, database_url="postgresql://x:canary@127.0.0.1:1/x", redis_url="redis://:canary@127.0.0.1:1/0")
    checks = await examined(away)
    assert (checks["postgresql"].status, checks["redis"].status) == (FAIL, WARN)
    assert "canary" not in str(checks)


def test_the_command_says_all_of_it_and_fails_with_it(durable: Stores, tmp_path: Path) -> None:
    with fresh_database(durable) as url:
        secret = tmp_path / "master-key"
        secret.write_text(MASTER_KEY)
        secret.chmod(0o600)
        environ = clean_environment(
            AUTHSVC_DATABASE_URL=url, AUTHSVC_ISSUER="https://id.example", AUTHSVC_MASTER_KEY_FILE=str(secret)
        )
        bare = run_cli(environ, "doctor", check=False)
        assert (bare.returncode, "authsvc migrate" in bare.stdout) == (1, True)
        run_cli(environ, "migrate")
        run_cli(environ, "key", "list")
        well = run_cli(environ, "doctor", "--json")
        assert {each["status"] for each in json.loads(well.stdout)} == {"ok"}
        secret.chmod(0o644)
        told = run_cli(environ, "doctor")  # which is to be looked at, and no failure
        assert "AUTHSVC_MASTER_KEY_FILE" in told.stdout
        assert MASTER_KEY not in bare.stdout + well.stdout + told.stdout
        name = urlsplit(url).path.removeprefix("/")
        run_sql(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        stuck = run_cli(environ, "doctor", check=False)
        assert (stuck.returncode, "takes no writes" in stuck.stdout) == (1, True)
