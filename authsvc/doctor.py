"""`authsvc doctor`: everything this service stands on, looked at once, in words that say what to do.

Each judgement is made of facts that came before, so that it can be shown without a broken store. No text holds a
secret, nor the name of a host.
"""

import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from time import perf_counter

from prometheus_client import CollectorRegistry

from authsvc.adapters.hasher import HashCost, Hasher
from authsvc.caches.server import CacheServer
from authsvc.caches.server import describe_server as describe_cache
from authsvc.clock import Clock
from authsvc.errors import CacheAway, ConfigurationError, Unavailable
from authsvc.metrics import Metrics
from authsvc.migrate import pending
from authsvc.models import SigningKey
from authsvc.policies import rotation_of
from authsvc.protocol import keys as rules
from authsvc.protocol.keys import KeyState
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.peppers import parse_pepper
from authsvc.protocol.rotation import signer_or_stand_in
from authsvc.settings import Settings
from authsvc.tables import signing_keys
from authsvc.tables.db import Database
from authsvc.tables.server import DatabaseServer
from authsvc.tables.server import describe_server as describe_database
from authsvc.tls import open_context

OLDEST_POSTGRESQL = 15  # the oldest that the tests run on
OLDEST_REDIS = 7
KEY_AGE, KEY_GRACE = timedelta(days=180), timedelta(days=7)
DRIFT_WARN_S = 1.0
DRIFT_FAIL_S = 30.0
HASH_WARN_S = 1.0
TIMEOUT_S = 3.0


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and somebody should look at it."""
    FAIL = "fail"
    """It does not work, or will not keep what this service promises."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    status: Verdict
    text: str


async def examine(
    settings: Settings, unknown: Iterable[str], secret_files: Mapping[str, Path], clock: Clock
) -> list[Check]:
    """Every check, in the order in which a fault makes the next ones pointless.

    `unknown` are variables that look like settings and are none; `secret_files` those that secrets were read from.
    """
    checks = [judge_settings(settings, unknown), judge_files(secret_files)]
    if settings.tls_certificate and settings.tls_key:
        checks.append(judge_tls(Path(settings.tls_certificate), Path(settings.tls_key), clock.now()))
    checks += await _examine_postgresql(settings, clock)
    checks += await _examine_redis(settings, clock)
    checks.append(await _examine_hashing(settings))
    return checks


# --- Asking


async def _examine_postgresql(settings: Settings, clock: Clock) -> list[Check]:
    database = Database(settings.database_url, size=1, timeout=TIMEOUT_S, name="doctor")
    await database.open()
    try:
        asked = clock.now()
        server = await describe_database(database)
        drift = server.now - (asked + (clock.now() - asked) / 2)
        checks = [judge_postgresql(server), judge_drift("postgresql clock", drift.total_seconds())]
        schema = await _examine_schema(database)
        checks.append(schema)
        if schema.status is Verdict.OK:
            checks.append(judge_keys(await signing_keys.list_keys(database), settings, clock.now()))
        return checks
    except Unavailable:
        return [_fail("postgresql", "it cannot be asked: see that it runs, and that AUTHSVC_DATABASE_URL is right")]
    finally:
        await database.close()


async def _examine_schema(database: Database) -> Check:
    try:
        missing = await pending(database)
    except ConfigurationError as error:
        return _fail("schema", "; ".join(error.faults))
    if missing:
        return _fail("schema", f"{len(missing)} migrations are not applied: run `authsvc migrate`")
    return _ok("schema", "every migration is applied")


async def _examine_redis(settings: Settings, clock: Clock) -> list[Check]:
    if settings.redis_url is None:
        return [_ok("redis", "not configured: everything is answered from PostgreSQL")]
    try:
        asked = clock.unix()
        server = await describe_cache(settings.redis_url, seconds=TIMEOUT_S)
        drift = server.unix - (asked + clock.unix()) / 2
    except CacheAway:
        return [_warn("redis", "it cannot be asked, and is done without: see that it runs, and AUTHSVC_REDIS_URL")]
    return [judge_redis(server), judge_drift("redis clock", drift)]


async def _examine_hashing(settings: Settings) -> Check:
    cost = HashCost(settings.password_hash_memory_kib, settings.password_hash_passes)
    async with _hasher(cost) as hasher:
        started = perf_counter()
        await hasher.hash(b"how long does this take")
        return judge_hashing(perf_counter() - started)


@asynccontextmanager
async def _hasher(cost: HashCost) -> AsyncIterator[Hasher]:
    hasher = Hasher(cost, threads=1, queue=1, metrics=Metrics(CollectorRegistry()))
    await hasher.open()
    try:
        yield hasher
    finally:
        hasher.close()


# --- Judging


def judge_settings(settings: Settings, unknown: Iterable[str]) -> Check:
    try:
        for pepper in filter(None, (settings.password_pepper, settings.password_pepper_previous)):
            parse_pepper(pepper)
    except ConfigurationError as error:
        return _fail("settings", "; ".join(error.faults))
    if names := ", ".join(unknown):
        return _warn("settings", f"no such settings, most likely misspelt: {names}")
    if settings.issuer.startswith("http:"):
        return _warn("settings", "the issuer is plain http, which is for development on one machine alone")
    return _ok("settings", "usable")


def judge_files(secret_files: Mapping[str, Path]) -> Check:
    """Of whoever can log in to this machine, nobody else is to read a secret."""
    found = {name: path for name, path in secret_files.items() if path.exists()}
    open_to_all = [name for name, path in found.items() if path.stat().st_mode & stat.S_IROTH]
    if open_to_all:
        return _warn("secret files", f"every account of this machine may read {', '.join(open_to_all)}: chmod o-r")
    return _ok("secret files", "none that everybody may read")


def judge_tls(certificate: Path, key: Path, now: datetime) -> Check:
    try:
        open_context(certificate, key, now)
    except ConfigurationError as error:
        return _fail("tls", "; ".join(error.faults))
    return _ok("tls", "the certificate is valid and the key is its own")


def judge_postgresql(server: DatabaseServer) -> Check:
    major, minor = divmod(server.version, 10_000)
    if major < OLDEST_POSTGRESQL:
        return _fail("postgresql", f"version {major}: {OLDEST_POSTGRESQL} is the oldest that this service is tested on")
    if server.is_standby or server.is_read_only:
        return _fail("postgresql", "it takes no writes: AUTHSVC_DATABASE_URL must lead to the primary")
    if not server.fsync:
        return _warn("postgresql", "fsync is off: after a crash revoked tokens may be live again; turn it on")
    if server.synchronous_commit == "off":
        return _warn("postgresql", "synchronous_commit is off: set it to on for this database")
    return _ok("postgresql", f"version {major}.{minor}, takes writes and keeps them")


def judge_keys(keys: list[SigningKey], settings: Settings, now: datetime) -> Check:
    name = "signing keys"
    try:
        master_key = MasterKey.parse(settings.master_key, settings.master_key_previous)
        for key in rules.published(keys, now):
            master_key.open(key.kid, key.sealed_private, key.master_key_id)
    except ConfigurationError as error:
        return _fail(name, "; ".join(error.faults))
    if signer_or_stand_in(keys, settings.access_token_algorithm, rotation_of(settings), now) is None:
        return _fail(name, "none signs: the service makes one when it starts; see its log if it has not")
    algorithms = {key.algorithm for key in keys}
    if algorithms != {key.algorithm for key in keys if rules.state_of(key, keys, now) is KeyState.NEXT}:
        return _warn(name, "there is no next key: the service makes one when it starts; see its log if it has not")
    if any(key.master_key_id != master_key.id for key in rules.published(keys, now)):
        return _warn(name, "some are sealed with the previous master key: run `authsvc master-key rotate`")
    oldest = min(signing.created_at for each in algorithms if (signing := rules.signer_of(keys, each, now)))
    if now - oldest > max(KEY_AGE, timedelta(days=settings.key_rotation_days) + KEY_GRACE):
        return _warn(name, f"an active one is {(now - oldest).days} days old: run `authsvc key rotate`")
    return _ok(name, "one signs, the next one is published, the master key opens them")


def judge_redis(server: CacheServer) -> Check:
    what = f"{server.name} {server.version}"
    if int(server.version.partition(".")[0]) < OLDEST_REDIS:
        return _warn("redis", f"{what}: {OLDEST_REDIS} or later, or Valkey, is needed")
    if server.is_replica:
        return _warn("redis", f"{what} is a replica: AUTHSVC_REDIS_URL must lead to the primary")
    if server.is_of_cluster:
        return _warn("redis", f"{what} is part of a cluster, where nothing stays together: use a server outside of it")
    if not server.has_functions:
        return _warn("redis", f"{what} denies functions to this user: allow @scripting, or do without this cache")
    if server.eviction not in (None, "noeviction"):
        return _warn("redis", f"{what} evicts ({server.eviction}): set maxmemory-policy to noeviction")
    return _ok("redis", what)


def judge_drift(name: str, seconds: float) -> Check:
    """Beyond half a minute tokens are refused that were just issued, or outlive their end."""
    if abs(seconds) <= DRIFT_WARN_S:
        return _ok(name, f"{abs(seconds):.1f} s apart from this machine's")
    judge = _fail if abs(seconds) > DRIFT_FAIL_S else _warn
    where = "ahead of" if seconds > 0 else "behind"
    return judge(name, f"{abs(seconds):.1f} s {where} this machine's: run NTP on both")


def judge_hashing(seconds: float) -> Check:
    told = f"one takes {seconds * 1000:.0f} ms"
    if seconds > HASH_WARN_S:
        return _warn("password hash", f"{told}: lower AUTHSVC_PASSWORD_HASH_MEMORY_KIB or _PASSES, or add processors")
    return _ok("password hash", told)


def _ok(name: str, text: str) -> Check:
    return Check(name, Verdict.OK, text)


def _warn(name: str, text: str) -> Check:
    return Check(name, Verdict.WARN, text)


def _fail(name: str, text: str) -> Check:
    return Check(name, Verdict.FAIL, text)
