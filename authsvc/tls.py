"""TLS of the service's own, for who runs it without a proxy: the certificate, and the entrance.

In the library's own way nobody counts a connection before its handshake is over, and that may take a minute.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from socket import socket

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from authsvc.admission import Guard
from authsvc.errors import ConfigurationError
from authsvc.guard import GuardedProtocol
from authsvc.logs import get_logger

log = get_logger(__name__)

LAST_HANDSHAKES_S = 2.0
AT_ONCE = 64  # accepted in one turn of the loop, so that no flood holds up the requests
PAUSE_S = 1.0

# For TLS 1.2; those of 1.3 are all good. Forward secrecy and authenticated encryption only.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def open_context(certificate: Path, key: Path, now: datetime) -> ssl.SSLContext:
    """What to speak TLS 1.2 and 1.3 with: the certificate with its chain, and its key, both in PEM.

    Raises:
        ConfigurationError: a file cannot be read, they do not belong together, or the certificate is not valid now.
    """
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"AUTHSVC_TLS_CERTIFICATE is no certificate in PEM: {_reason(error)}"]) from None
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it wants a password
        raise ConfigurationError([f"AUTHSVC_TLS_KEY is no unencrypted key in PEM: {_reason(error)}"]) from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if leaf.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise ConfigurationError(["AUTHSVC_TLS_KEY is not the key of the first certificate in AUTHSVC_TLS_CERTIFICATE"])
    if now >= leaf.not_valid_after_utc:
        raise ConfigurationError([f"the TLS certificate has expired on {leaf.not_valid_after_utc.isoformat()}"])
    if now < leaf.not_valid_before_utc:
        raise ConfigurationError([f"the TLS certificate is valid only from {leaf.not_valid_before_utc.isoformat()} on"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def find_context(certificate: str | None, key: str | None, now: datetime) -> ssl.SSLContext | None:
    """As `open_context`, where TLS is wanted."""
    return open_context(Path(certificate), Path(key), now) if certificate and key else None


class Entrance:
    """A listening socket with TLS. To uvicorn it is one of its servers: it closes them, and waits for what they hold.

    A connection is counted from its first moment on, and gets in when its handshake is over. One that is already being
    made when the entrance is closed still gets in.
    """

    def __init__(
        self, listener: socket, context: ssl.SSLContext, guard: Guard, make_protocol: Callable[[], GuardedProtocol]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = context
        self._guard = guard
        self._make_protocol = make_protocol
        self._handshakes: set[asyncio.Task[None]] = set()
        self._is_closed = False
        listener.setblocking(False)
        self._open()

    def close(self) -> None:
        if not self._is_closed:
            self._loop.remove_reader(self._listener)
            self._is_closed = True

    async def wait_closed(self) -> None:
        if self._handshakes:
            await asyncio.wait(self._handshakes, timeout=LAST_HANDSHAKES_S)

    def _open(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another worker took it, or it is gone
                return
            except OSError as error:  # no files, no memory: others may give some back
                log.error("a connection cannot be accepted", cause=error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(PAUSE_S, self._open)
                return
            self._begin(client, peer)

    def _begin(self, client: socket, peer: object) -> None:
        inside = self._make_protocol()
        if self._guard.find_objection(inside, peer) is not None:
            client.close()
            return
        client.setblocking(False)
        handshake = self._loop.create_task(self._shake_hands(inside, client))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, inside: GuardedProtocol, client: socket) -> None:
        limits = self._guard.limits
        try:
            await self._loop.connect_accepted_socket(
                lambda: inside, client, ssl=self._context,
                ssl_handshake_timeout=limits.head_s, ssl_shutdown_timeout=limits.leave_s,
            )  # fmt: skip
        except OSError:  # silent, gone, or no speaker of TLS; ssl.SSLError and TimeoutError are both of it
            self._guard.forget(inside)
            client.close()
