"""OpenID Connect Back-Channel Logout 1.0: what a client is told when a session of its user has ended, and for how long
it is tried.

A client that is away is waited for, and what it has missed comes in the order in which it happened. One that answers,
but with an error, is not asked for long: whatever it does not like must not keep from it what comes after.
"""

from datetime import timedelta
from enum import StrEnum

from authsvc.models import JsonObject

TYP = "logout+jwt"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_SECONDS = 120
"""It is used at once (§2.4)."""

WAITED_FOR = timedelta(days=1)
"""How long a client is tried that is away."""
LONGEST_PAUSE = timedelta(minutes=5)
MOST_REFUSALS = 3
MOST_FAULTS = 8
"""Of tries, which then have taken two minutes."""


class Outcome(StrEnum):
    """What came of one try."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """The client says that it cannot be right (400, §2.8), or that nobody is told there."""
    FAULT = "fault"
    """It answers with an error of its own, with something that is no answer to this, or not in time."""
    AWAY = "away"
    """It was not to be reached, or was gone before it answered."""


def build_claims(*, issuer: str, client_id: str, sub: str, sid: str, jti: str, now: int) -> JsonObject:
    """Of a logout token (§2.4). It never has a `nonce`, so that it passes nowhere for an ID token."""
    return {
        "iss": issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": jti,
        "events": {EVENT: {}},
        "sub": sub,
        "sid": sid,
    }


def judge(status: int) -> Outcome:
    """`status` of its answer. A redirect is none to this."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    return Outcome.REFUSED if 400 <= status < 500 and status not in {408, 429} else Outcome.FAULT


def pause_after(outcome: Outcome, tries: int, age: timedelta) -> timedelta | None:
    """How long to wait after a try that came to nothing, of a notice that is so old. `tries` are those that were
    answered; where this one was not, all. None: it is not tried again."""
    most = {Outcome.REFUSED: MOST_REFUSALS, Outcome.FAULT: MOST_FAULTS}.get(outcome)
    if age >= WAITED_FOR or (most is not None and tries >= most):
        return None
    return min(LONGEST_PAUSE, timedelta(seconds=2 ** min(tries - 1, 10)))
