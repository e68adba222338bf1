"""Security events: the vocabulary (OWASP Logging Vocabulary, AUD-06, AUD-07), and the chain that seals them (AUD-05).

A seal covers one batch of events. Its link is an HMAC over the batch and the link before, under a key that the database
does not hold in the clear: who can write the tables can break the chain, and cannot mend it.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from authsvc.models import AuditEvent, AuditSeal

GENESIS = bytes(32)
"""What the first link follows."""


class Level(StrEnum):
    INFO = "info"
    WARN = "warn"
    CRITICAL = "critical"


class Event(StrEnum):
    """Every event there is; documented in `docs/audit.md`."""

    AUTHN_LOGIN_SUCCESS = "authn_login_success"
    AUTHN_LOGIN_FAIL = "authn_login_fail"
    AUTHN_LOGIN_FAIL_MAX = "authn_login_fail_max"
    AUTHN_PASSWORD_CHANGE = "authn_password_change"  # noqa: S105 - a name
    AUTHN_PASSWORD_CHANGE_FAIL = "authn_password_change_fail"  # noqa: S105 - a name
    AUTHN_TOKEN_REVOKED = "authn_token_revoked"  # noqa: S105 - a name
    AUTHN_TOKEN_REUSE = "authn_token_reuse"  # noqa: S105 - a name
    AUTHZ_FAIL = "authz_fail"
    CRYPT_DECRYPT_FAIL = "crypt_decrypt_fail"
    EXCESS_RATE_LIMIT_EXCEEDED = "excess_rate_limit_exceeded"
    SESSION_CREATED = "session_created"
    SESSION_LOGOUT = "session_logout"
    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_DELETED = "user_deleted"
    SYS_STARTUP = "sys_startup"
    SYS_SHUTDOWN = "sys_shutdown"
    SYS_MONITOR_DISABLED = "sys_monitor_disabled"
    CONSENT_GRANTED = "consent_granted"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    MALICIOUS_CSRF = "malicious_csrf"
    CLIENT_CREATED = "client_created"
    CLIENT_UPDATED = "client_updated"
    CLIENT_DELETED = "client_deleted"
    CLIENT_SECRET_ROTATED = "client_secret_rotated"  # noqa: S105 - a name
    KEY_CREATED = "key_created"
    KEY_ACTIVATED = "key_activated"
    KEY_RETIRED = "key_retired"
    KEY_REMOVED = "key_removed"
    MASTER_KEY_ROTATED = "master_key_rotated"
    GLOBAL_REVOCATION = "global_revocation"


_CRITICAL = {
    Event.AUTHN_PASSWORD_CHANGE_FAIL,
    Event.AUTHN_TOKEN_REUSE,
    Event.AUTHZ_FAIL,
    Event.GLOBAL_REVOCATION,
}
_INFO = {
    Event.AUTHN_LOGIN_SUCCESS,
    Event.AUTHN_PASSWORD_CHANGE,
    Event.AUTHN_TOKEN_REVOKED,
    Event.CONSENT_GRANTED,
    Event.CONSENT_WITHDRAWN,
    Event.SESSION_CREATED,
    Event.SESSION_LOGOUT,
}


def level_of(event: Event) -> Level:
    if event in _CRITICAL:
        return Level.CRITICAL
    return Level.INFO if event in _INFO else Level.WARN


# --- The chain


def digest_events(events: Sequence[AuditEvent]) -> bytes:
    """Of a batch, in the order of the ids. Every member counts but the seal itself."""
    digest = sha256()
    for each in events:
        line = msgspec.json.encode(
            [
                each.event_id, _instant(each.at), each.event, each.level, each.via, each.request_id, each.address,
                each.sub, each.client_id, each.sid, each.details,
            ],
            order="deterministic",
        )  # fmt: skip
        digest.update(len(line).to_bytes(8, "big") + line)
    return digest.digest()


def build_seal(key: bytes, previous: AuditSeal | None, events: Sequence[AuditEvent], now: datetime) -> AuditSeal:
    """The next link of the chain."""
    number, before = (1, GENESIS) if previous is None else (previous.number + 1, previous.link)
    digest = digest_events(events)
    link = _link(key, number, before, len(events), digest, now)
    return AuditSeal(number, before, len(events), digest, link, now)


@dataclass(slots=True)
class Inspection:
    """A walk along the chain, seal by seal, and every fault it meets.

    The oldest batches may have been forgotten, as a whole and without a gap; from the first batch that is there, every
    one has to be.
    """

    key: bytes
    seals: int = 0
    events: int = 0
    forgotten: int = 0
    last: AuditSeal | None = None

    def walk(self, seal: AuditSeal, events: Sequence[AuditEvent]) -> list[str]:
        """What is wrong with this seal and its batch."""
        last = self.last
        faults = []
        if seal.number != (1 if last is None else last.number + 1):
            faults.append("seals before it are missing")
        elif not hmac.compare_digest(seal.previous, GENESIS if last is None else last.link):
            faults.append("it does not follow the seal before it")
        link = _link(self.key, seal.number, seal.previous, seal.events, seal.digest, seal.sealed_at)
        if not hmac.compare_digest(seal.link, link):
            faults.append("the seal was altered, or made under another key")
        if not events and seal.events and not self.events:
            self.forgotten += 1
        elif len(events) != seal.events:
            faults.append(f"{seal.events} events were sealed, {len(events)} are there")
        elif not hmac.compare_digest(seal.digest, digest_events(events)):
            faults.append("an event was altered")
        self.seals += 1
        self.events += len(events)
        self.last = seal
        return [f"seal {seal.number}: {fault}" for fault in faults]


def _link(key: bytes, number: int, previous: bytes, events: int, digest: bytes, sealed_at: datetime) -> bytes:
    text = f"authsvc audit seal {number} {previous.hex()} {events} {digest.hex()} {_instant(sealed_at)}"
    return hmac.digest(key, text.encode(), "sha256")


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
