"""One database for many tests, emptied before each: a tenth of what a new one costs."""

import asyncio

import asyncpg

_EMPTY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid();
    TRUNCATE auth.users, auth.sessions, auth.signing_keys, auth.token_blacklist, auth.sealed_secrets CASCADE;
    DELETE FROM auth.clients WHERE client_id <> 'first-party';
    UPDATE auth.clients SET disabled_at = NULL
"""


def emptied(database_url: str) -> str:
    """The same URL, of a database as the migrations leave it. Whoever still uses it is thrown out."""

    async def empty() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(_EMPTY)
        finally:
            await connection.close()

    asyncio.run(empty())
    return database_url
