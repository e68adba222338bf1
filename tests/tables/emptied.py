"""One database for many tests, emptied before each: a tenth of what a new one costs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from authsvc.embedded import Stores
from tests.stores import KeptConnection, fresh_database

# What the migrations put there, but for the row of auth.cache_mode.
_KEEP = "CREATE SCHEMA kept; CREATE TABLE kept.clients AS TABLE auth.clients"

# DELETE and not TRUNCATE, which makes new files and takes fifty times as long. The rest goes with users and clients.
_EMPTY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid();
    DELETE FROM auth.users;
    DELETE FROM auth.clients;
    INSERT INTO auth.clients TABLE kept.clients;
    DELETE FROM auth.signing_keys;
    DELETE FROM auth.token_blacklist;
    DELETE FROM auth.sealed_secrets;
    DELETE FROM auth.used_assertions;
    DELETE FROM auth.jobs;
    UPDATE auth.cache_mode SET state = 'G', epoch = 1, nonce = '', settled = true, changed_at = now(),
        setbacks = 0, deployment = gen_random_uuid()::text, lease_seconds = 5,
        canary = NULL;
    SET session_replication_role = replica;
    DELETE FROM audit.security_events;
    DELETE FROM audit.seals;
    SET session_replication_role = origin
"""


class SharedDatabase:
    def __init__(self, url: str, kept: KeptConnection) -> None:
        self.url = url
        self._kept = kept
        kept.execute(_KEEP)

    def emptied(self) -> str:
        """Its URL, as the migrations leave it. Whoever still uses it is thrown out."""
        self._kept.execute(_EMPTY)
        return self.url


@contextmanager
def shared_database_of(stores: Stores, migrated_template: str) -> Iterator[SharedDatabase]:
    with fresh_database(stores, migrated_template) as url, closing(KeptConnection(url)) as kept:
        yield SharedDatabase(url, kept)
