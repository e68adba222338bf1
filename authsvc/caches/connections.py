"""How Redis is reached: at the address of its URL, or at that of the primary of the moment, which Sentinels know."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.asyncio import Connection, ConnectionPool, SentinelConnectionPool, SSLConnection
from redis.asyncio.connection import RedisSSLContext, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

SENTINEL_PORT = 26_379

_SENTINEL = "+sentinel"
_FOR_SENTINELS = "sentinel_"
"""Options of the URL that begin so are for them alone: their user and password."""
_FOR_ALL = ("tls", "retry", "maint_notifications_config", "socket_timeout", "socket_connect_timeout")

Address = tuple[str, int]


def pool_of(url: str, **options: Any) -> ConnectionPool:
    """Connections as the URL says. Opens none. Nothing is tried twice, and no wait has an end but the caller's.

    Raises:
        ValueError, TypeError, OSError: the URL says something that no connection can be made of. Their words may quote
            it, and it holds a password.
    """
    if urlsplit(url).scheme.endswith(_SENTINEL):
        pool: ConnectionPool = _sentinel_pool(url, options)
    else:
        pool = ConnectionPool(**(_with_manners(parse_url(url)) | options))
    pool.make_connection()  # type: ignore[no-untyped-call] # opens nothing, and tells a wrong option
    return pool


def _with_manners(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_with_shared_tls(options),
        "socket_timeout": None,  # the library's own begin anew at each step
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


# --- TLS


class _Tls(SSLConnection):
    def __init__(self, *, tls: RedisSSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = tls


def _with_shared_tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """Where TLS is asked for, one context for all. To make one is to read every authority that the system knows, which
    takes longer than an answer may, and nothing else happens meanwhile."""
    if options.get("connection_class") is not SSLConnection:
        return dict(options)
    tls = SSLConnection(**{name: options[name] for name in options if name.startswith("ssl_")}).ssl_context
    tls.get()
    return {**options, "connection_class": _Tls, "tls": tls}


# --- Sentinels


class Sentinels:
    """Any of them may be away or silent: all are asked, and the first that knows a primary is believed.

    What it says may be out of date. Then a server is asked that is away, or was not filled: doubt, as ever.
    """

    def __init__(self, sentinels: Sequence[Callable[[], Connection]]) -> None:
        self._sentinels = sentinels
        self._asking: set[asyncio.Task[Address | None]] = set()

    async def discover_master(self, service: str) -> Address:
        """Where the primary is. For `SentinelConnectionPool`, which asks before each connection that it makes.

        Raises:
            MasterNotFoundError: none of them knows.
        """
        asking = [asyncio.create_task(self._ask(sentinel(), service)) for sentinel in self._sentinels]
        self._asking.update(asking)
        for task in asking:
            task.add_done_callback(self._done)
        try:
            for answer in asyncio.as_completed(asking):
                with suppress(RedisError, OSError):
                    if (found := await answer) is not None:
                        return found
        finally:
            for task in asking:
                task.cancel()
        raise MasterNotFoundError

    async def _ask(self, connection: Connection, service: str) -> Address | None:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            answer = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return None if answer is None else (str(answer[0], "utf-8"), int(answer[1]))

    def _done(self, task: asyncio.Task[Address | None]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # of one that nobody waits for any more


class PrimaryPool(SentinelConnectionPool):
    """Connections to the primary. They end when Sentinels are seen to name another one: the old one may go on for ten
    seconds before it is told."""

    async def get_master_address(self) -> Address:
        before = self.master_address
        # This ends those that nobody uses.
        address: Address = await super().get_master_address()  # type: ignore[no-untyped-call]
        if before not in (None, address):
            await self.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        return address


class _SentinelTls(SentinelManagedConnection, _Tls):
    pass


def _sentinel_pool(url: str, options: dict[str, Any]) -> PrimaryPool:
    """`redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db]`, or with `rediss`."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.removeprefix("/").partition("/")
    if not service or (db and not db.isdecimal()):
        raise ValueError("no service, or no number of a database")
    # What else it says is for the library to read, as if it were the URL of one server.
    of_one = (parts.scheme.removesuffix(_SENTINEL), f"{user}{at}primary", f"/{db or 0}", parts.query, "")
    asked = _with_manners(parse_url(urlunsplit(of_one)))
    asked.pop("host", None)
    kind = asked.pop("connection_class", Connection)
    theirs = {
        name.removeprefix(_FOR_SENTINELS): asked.pop(name) for name in [*asked] if name.startswith(_FOR_SENTINELS)
    }
    theirs |= {name: asked[name] for name in _FOR_ALL if name in asked}
    sentinels = [partial(kind, host=host, port=port, **theirs) for host, port in map(_address, hosts.split(","))]
    sentinels[0]()  # opens nothing, and tells a wrong option
    managed = _SentinelTls if kind is _Tls else SentinelManagedConnection
    asked |= {"connection_class": managed} | options
    return PrimaryPool(unquote(service), Sentinels(sentinels), **asked)  # type: ignore[no-untyped-call]


def _address(text: str) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("an address without a host")
    return parts.hostname, parts.port or SENTINEL_PORT
