"""Applies `migrations/NNNN_name.sql`, in order, once, by one process at a time.

Files are dbmate's: `-- migrate:up [transaction:false]`, then `-- migrate:down`. What has been applied stands in
`public.schema_migrations` with a checksum, so that an edited file is noticed instead of ignored.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg

from authsvc.errors import ConfigurationError
from authsvc.tables.db import store_errors

LOCK = 0x617574687376  # "authsv": any process that migrates this database holds it
LOCK_WAIT_SECONDS = 60
_UP = re.compile(r"^-- migrate:up(?P<options>[^\n]*)\n(?P<sql>.*?)(?=^-- migrate:down|\Z)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    sql: str
    checksum: str
    in_transaction: bool


def parse_migration(name: str, text: str) -> Migration:
    """Raises ValueError for a file that dbmate would not read either."""
    named, up = _NAME.fullmatch(name), _UP.search(text)
    if not named or not up:
        raise ValueError(f"{name} is not a migration: NNNN_name.sql with a '-- migrate:up' line")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(named["version"], name, up["sql"], checksum, "transaction:false" not in up["options"])


def shipped() -> list[Migration]:
    """The migrations of this build, in order."""
    found = [file for file in _folder().iterdir() if file.name.endswith(".sql")]
    return sorted((parse_migration(f.name, f.read_text(encoding="utf-8")) for f in found), key=lambda m: m.version)


def _folder() -> Traversable:
    package = files("authsvc")
    inside = package.joinpath("_migrations")  # in the wheel; in a checkout they stand beside the package
    return inside if inside.is_dir() else package.joinpath("..", "migrations")


async def migrate(
    database_url: str, say: Callable[[str], None] = lambda line: None, *, application_role: str | None = None
) -> list[str]:
    """Apply what is missing; the names applied by this call. Safe to run from many processes at once.

    With `application_role` that role is then granted what the service needs at work.

    Raises:
        ConfigurationError: a migration that was applied differs from the shipped file, or there is no such role.
        Unavailable: PostgreSQL cannot be asked.
    """
    with store_errors():
        connection = await asyncpg.connect(database_url, timeout=10)
        try:
            applied = await _migrate(connection, say)
            if application_role is not None:
                await grant_to(connection, application_role)
            return applied
        finally:
            await connection.close(timeout=5)


_GRANTS = """
    GRANT USAGE ON SCHEMA auth, audit TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth TO {role};
    GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA audit TO {role};
    GRANT UPDATE (seal) ON audit.security_events TO {role};
    GRANT EXECUTE ON FUNCTION audit.forget TO {role};
    GRANT SELECT ON public.schema_migrations TO {role}
"""


async def grant_to(queries: Any, role: str) -> None:
    """Give a role what the service needs at work, and no more: it owns nothing, and cannot change the audit log.

    Raises:
        ConfigurationError: there is no such role.
    """
    quoted = await queries.fetchval("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1", role)
    if quoted is None:
        raise ConfigurationError([f"there is no role {role} in this PostgreSQL: create it first"])
    await queries.execute(_GRANTS.format(role=quoted))


async def find_missing(database_url: str) -> list[str]:
    """The names of the migrations that `migrate` would apply.

    Raises:
        ConfigurationError, Unavailable: as `migrate`.
    """
    with store_errors():
        connection = await asyncpg.connect(database_url, timeout=10)
        try:
            return await pending(connection)
        finally:
            await connection.close(timeout=5)


async def prepare_schema(database_url: str, *, wants_migration: bool) -> None:
    """What a service does before it starts: apply what is missing if it was told to, else refuse to start without it.

    Raises:
        ConfigurationError: migrations are missing, or as `migrate`.
        Unavailable: PostgreSQL cannot be asked.
    """
    if wants_migration:
        await migrate(database_url)
        return
    missing = await find_missing(database_url)
    if missing:
        raise ConfigurationError(
            [f"{len(missing)} migrations are not applied: run `authsvc migrate`, or start with --migrate"]
        )


async def pending(queries: Any) -> list[str]:
    """The names of the migrations that this build needs and the database does not have.

    Raises:
        ConfigurationError: as `migrate`.
    """
    exists = await queries.fetchval("SELECT to_regclass('public.schema_migrations') IS NOT NULL")
    rows = await queries.fetch("SELECT version, checksum FROM public.schema_migrations") if exists else []
    return [m.name for m in _not_applied(shipped(), {row["version"]: row["checksum"] for row in rows})]


def _not_applied(wanted: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """What is still to be applied. A database that is ahead is fine: a new build may be rolling in beside this one."""
    faults = [
        f"migration {m.name} was changed after it had been applied"
        for m in wanted
        if m.version in applied and applied[m.version] != m.checksum
    ]
    if faults:
        raise ConfigurationError(faults)
    return [m for m in wanted if m.version not in applied]


async def _migrate(connection: Any, say: Callable[[str], None]) -> list[str]:
    await _take_lock(connection)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.schema_migrations "
        "(version text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT version, checksum FROM public.schema_migrations")
    todo = _not_applied(shipped(), {row["version"]: row["checksum"] for row in rows})
    for migration in todo:
        if migration.in_transaction:
            async with connection.transaction():
                await _apply(connection, migration)
        else:
            await _apply(connection, migration)
        say(f"applied {migration.name}")
    return [migration.name for migration in todo]


async def _apply(connection: Any, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        # Elsewhere these mean that the migrations are still to come.
        raise ConfigurationError([f"migration {migration.name} does not fit this database: {error}"]) from error
    await connection.execute(
        "INSERT INTO public.schema_migrations (version, checksum) VALUES ($1, $2)",
        migration.version,
        migration.checksum,
    )


async def _take_lock(connection: Any) -> None:
    # Tried in a loop: a blocking pg_advisory_lock waits inside a transaction, and CREATE INDEX CONCURRENTLY in the
    # holder would wait for that transaction: a deadlock.
    for _ in range(LOCK_WAIT_SECONDS * 10):
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return
        await asyncio.sleep(0.1)
    raise ConfigurationError(["another process has been migrating this database for a minute"])
