"""OpenID Connect Core §8: what a client calls users and their sessions.

Most clients know a user by the one `sub` that all of them know. A client with pairwise subjects has names of its
sector: always the same, like nothing that another sector is told, and no way leads back from them (IDT-10). It may read
the access tokens that it is given, too: what it must not know is sealed in them, for us alone.
"""

import hmac
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from authsvc.models import Client
from authsvc.protocol.seals import encode
from authsvc.protocol.sectors import sector_of

# Each is used for one thing, so that nothing of one is ever good for another.
_USER = b"authsvc pairwise user"
_SESSION = b"authsvc pairwise session"
_SEAL = b"authsvc pairwise seal"
_NONCE = bytes(12)
_NUMBER_BYTES = 8


def subject(secret: bytes, sector: str, user_id: str) -> str:
    """What clients of this sector call this user: 256 bits, in letters that may stand anywhere."""
    return _name(secret, _USER, sector, user_id)


@dataclass(frozen=True, slots=True)
class Names:
    """What one client calls users and sessions."""

    sector: str | None = None
    """None: as we do."""
    secret: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, client: Client, secret: bytes) -> "Names":
        return cls(sector_of(client), secret)

    def of_user(self, user_id: str) -> str:
        return user_id if self.sector is None else subject(self._required_secret(), self.sector, user_id)

    def pairwise_of(self, user_id: str) -> str | None:
        """As an access token has it: None where it is the name that we have."""
        return None if self.sector is None else self.of_user(user_id)

    def of_session(self, sid: str) -> str:
        """A session has clients of several sectors, who would know by it that they talk of the same user."""
        return sid if self.sector is None else _name(self._required_secret(), _SESSION, self.sector, sid)

    def _required_secret(self) -> bytes:
        if self.secret is None:
            raise ValueError("pairwise names are made with a secret")
        return self.secret


PLAIN = Names()


# --- In access tokens


class Hidden(NamedTuple):
    """What would tell in an access token whose it is. The number of a user is one: few have the same."""

    user_id: str
    generation: int
    sid: str | None


def seal(secret: bytes, jti: str, hidden: Hidden) -> str:
    """Sealed by a key of this token alone. So the same user looks different in each, and a seal that is put into
    another token does not open; and no nonce has to be drawn, of which one key has too few for all tokens there are.

    A number and ids of users are always of the same length, so the length of a seal says nothing of them.
    """
    plain = hidden.generation.to_bytes(_NUMBER_BYTES, "big") + f"{hidden.user_id}\0{hidden.sid or ''}".encode("ascii")
    return encode(_cipher(secret, jti).encrypt(_NONCE, plain, None))


def open_sealed(secret: bytes, jti: str, text: str) -> Hidden | None:
    """What was sealed. None: not here, or not for this token."""
    try:
        plain = _cipher(secret, jti).decrypt(_NONCE, urlsafe_b64decode(text + "=" * (-len(text) % 4)), None)
    except (InvalidTag, ValueError):
        return None
    user_id, _, sid = plain[_NUMBER_BYTES:].decode("ascii").partition("\0")
    return Hidden(user_id, int.from_bytes(plain[:_NUMBER_BYTES], "big"), sid or None)


def _cipher(secret: bytes, jti: str) -> AESGCM:
    return AESGCM(hmac.digest(secret, b"\0".join((_SEAL, jti.encode("ascii"))), "sha256"))


def _name(secret: bytes, kind: bytes, sector: str, value: str) -> str:
    # No host has a NUL, and neither has an id: what is joined can be parted in one way only.
    return encode(hmac.digest(secret, b"\0".join((kind, sector.encode(), value.encode())), "sha256"))
