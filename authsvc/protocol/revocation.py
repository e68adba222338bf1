"""RFC 7009 and the revocation contract: what a mark is, which marks kill a token, how long a mark is kept.

Marks are numbers and presences, never clocks: a token minted while its user is being logged out everywhere carries the
old number and dies, one minted after carries the new one and lives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from authsvc.models import AccessToken, Client, Generations
from authsvc.protocol.forms import Form

EVERYTHING = "*"

PRESENCE_LIFE = timedelta(hours=1)
"""No access token lives longer (AT-10), so a presence that is older kills nothing any more."""
NUMBER_LIFE = timedelta(days=91)
"""Sessions and grants are compared with the numbers too, and none of them lives longer than 90 days."""


def token_mark(jti: str) -> str:
    return f"j:{jti}"


def grant_mark(grant_id: str) -> str:
    return f"f:{grant_id}"


def session_mark(sid: str) -> str:
    return f"s:{sid}"


def key_mark(kid: str) -> str:
    return f"k:{kid}"


def user_mark(sub: str) -> str:
    return f"u:{sub}"


def client_mark(client_id: str) -> str:
    return f"c:{client_id}"


def presence_expiry(now: datetime) -> datetime:
    return now + PRESENCE_LIFE


def number_expiry(now: datetime) -> datetime:
    return now + NUMBER_LIFE


class Marks(msgspec.Struct, frozen=True, gc=False):
    """The marks that can kill one token, and the numbers it was minted under."""

    presences: tuple[str, ...]
    numbers: tuple[tuple[str, int], ...]

    @property
    def all(self) -> tuple[str, ...]:
        """What has to be asked."""
        return *self.presences, *[mark for mark, _ in self.numbers]

    def is_dead(self, found: Mapping[str, int]) -> bool:
        """Whether any one of the found marks kills the token. Final: a presence stays, a number only grows."""
        if not found:
            return False
        if any(mark in found for mark in self.presences):
            return True
        return any(found.get(mark, 0) > minted for mark, minted in self.numbers)


def marks_of(token: AccessToken) -> Marks:
    """Every mark that can kill this token (design: token, grant, session, key, user, client, everything)."""
    presences: tuple[str, ...] = (token_mark(token.jti), key_mark(token.kid))
    if token.grant_id is not None:
        presences += (grant_mark(token.grant_id),)
    if token.sid is not None:
        presences += (session_mark(token.sid),)
    return Marks(presences, numbers_of(token.generations, sub=token.sub, client_id=token.client_id))


def names_of(token: AccessToken) -> tuple[str, ...]:
    """As `marks_of(token).all`, in a third of the time: what is asked for each token of each introspection."""
    jti, kid, client_id = token.jti, token.kid, token.client_id
    names = [f"j:{jti}", f"k:{kid}", f"c:{client_id}", EVERYTHING]
    if token.generations.user is not None:
        names.append(f"u:{token.sub}")
    if token.grant_id is not None:
        names.append(f"f:{token.grant_id}")
    if token.sid is not None:
        names.append(f"s:{token.sid}")
    return tuple(names)


def numbers_of(generations: Generations, *, sub: str, client_id: str) -> tuple[tuple[str, int], ...]:
    numbers = ((client_mark(client_id), generations.client), (EVERYTHING, generations.everything))
    return numbers if generations.user is None else (*numbers, (user_mark(sub), generations.user))


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    token: str


def parse(form: Form) -> RevocationRequest:
    """The hint is read by nobody: every kind of token is looked for (REV-02).

    Raises:
        InvalidRequest: `token` is missing.
    """
    return RevocationRequest(form.required("token"))


def may_revoke(caller: Client, token: AccessToken) -> bool:
    """A client revokes its own tokens only (RFC 7009 §2.1)."""
    return token.client_id == caller.client_id
