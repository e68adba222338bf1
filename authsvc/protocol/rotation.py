"""OpenID Connect Core §10.1.1: when a signing key begins to sign, and for how long the one before it still verifies.

No key signs before everybody who keeps a copy of the JWKS has it, and none goes before its last token has expired
(JWK-06, JWK-08, ATK-111). A kill alone may break the first, and only while no other key is left to sign. Each algorithm
has its set of keys, which lives by itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from authsvc.models import SigningKey
from authsvc.protocol.keys import newest_signer, signer_of

SETTLING = timedelta(seconds=5)
"""A key signs no sooner than this after it was published: by then every worker, which reads the keys once a second,
knows it. So an unknown kid is nobody's, and whoever says so asks no store."""
RETIREMENT = timedelta(hours=1, minutes=5)
"""How long a key goes on verifying when it signs no more: the longest life of a token (AT-10), and some."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How this deployment rotates: the algorithms that have a set of keys, and how long a key signs (None: until
    somebody says so)."""

    algorithms: tuple[str, ...]
    jwks_max_age: timedelta
    rotation: timedelta | None = None

    @property
    def publication(self) -> timedelta:
        """How long a key is published before it signs. Twice the age that a copy of the JWKS may have (MET-09): a proxy
        may hand on an old one, which its receiver keeps for as long again."""
        return 2 * self.jwks_max_age + SETTLING


@dataclass(frozen=True, slots=True)
class Birth:
    """A key that is to be made, with these times."""

    algorithm: str
    created_at: datetime
    signs_from: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written: keys with new times, and keys to be made, of each algorithm two at the most."""

    changes: tuple[SigningKey, ...] = ()
    births: tuple[Birth, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.births)


def plan(
    keys: Sequence[SigningKey],
    policy: Policy,
    now: datetime,
    *,
    rotates: Collection[str] = (),
    killed: str | None = None,
) -> Plan:
    """What each set lacks: a current key, be it that its time is yet to come; a next one; and a life that is long
    enough for whatever signs until then. Of the algorithms in `rotates` the next key takes over from the current one; a
    rotation that is under way is not begun again. A key of the algorithm `killed` has just gone, and its set signs
    without it. Nothing, when nothing is to be done: who comes second finds it so.
    """
    if not keys:
        # The first keys of all have nobody to wait for: there is no copy of the JWKS without them.
        known = now - policy.publication
        return Plan(births=tuple(Birth(each, known, begins) for each in policy.algorithms for begins in (known, None)))
    plans = [
        _plan_set([key for key in keys if key.algorithm == each], each, policy, now, each in rotates, each == killed)
        for each in policy.algorithms
    ]
    return Plan(
        changes=tuple(change for each in plans for change in each.changes),
        births=tuple(birth for each in plans for birth in each.births),
    )


def _plan_set(
    keys: Sequence[SigningKey], algorithm: str, policy: Policy, now: datetime, rotates: bool, was_killed: bool
) -> Plan:
    current, following = current_of(keys, algorithm), _next_of(keys, algorithm)
    fixed = None if current is None else current.signs_from
    takes_over = fixed is None or (rotates and fixed <= now)
    heir = following if takes_over else current
    published_at = now if heir is None else heir.created_at
    if was_killed and signer_of(keys, algorithm, now) is None:
        # A key that some verifiers have yet to hear of is better than none.
        begins = max(now, published_at + SETTLING)
    elif takes_over or fixed is None:
        begins = max(now, published_at + policy.publication)
    else:
        begins = fixed

    births = [Birth(algorithm, now, begins)] if heir is None else []
    if takes_over or following is None:
        births.append(Birth(algorithm, now, None))

    signers = _signers_until(begins, keys, algorithm, now)
    gone = begins + RETIREMENT
    after = list[SigningKey]()
    for key in keys:
        if heir is not None and key.kid == heir.kid:
            after.append(replace(key, signs_from=begins))
        elif key.verifies_until is None:
            after.append(replace(key, verifies_until=gone) if rotates and takes_over else key)
        elif key.kid in signers:
            after.append(replace(key, verifies_until=max(key.verifies_until, gone)))
        else:
            after.append(key)
    changes = tuple(new for old, new in zip(keys, after, strict=True) if new != old)
    return Plan(changes, tuple(births))


def signer_or_stand_in(keys: Sequence[SigningKey], algorithm: str, policy: Policy, now: datetime) -> SigningKey | None:
    """The key to sign with, where another algorithm is better than nothing: while the set of the one that was asked for
    is new, and waits until its first key is known, the newest key of any other signs in its stead. So an algorithm that
    was selected with the upgrade that brought it costs no token. Never in the stead of keys that were killed."""
    signer = signer_of(keys, algorithm, now)
    if signer is not None:
        return signer
    current = current_of(keys, algorithm)
    begins = None if current is None else current.signs_from
    is_new = current is None or begins is None or begins - current.created_at >= policy.publication
    return newest_signer(keys, now) if is_new else None


def is_due(keys: Sequence[SigningKey], algorithm: str, policy: Policy, now: datetime) -> bool:
    """Whether the current key of this algorithm has signed for long enough."""
    current = current_of(keys, algorithm)
    end = None if current is None else not_after(current, keys, policy)
    return end is not None and end <= now


def not_after(key: SigningKey, keys: Sequence[SigningKey], policy: Policy) -> datetime | None:
    """When a key has to be gone; of a current one, when it is to be rotated."""
    if key.verifies_until is not None or key.signs_from is None or policy.rotation is None:
        return key.verifies_until
    return key.signs_from + policy.rotation if key == current_of(keys, key.algorithm) else None


def current_of(keys: Sequence[SigningKey], algorithm: str) -> SigningKey | None:
    """The key that signs with this algorithm, or that will when its time has come."""
    return next((key for key in _kept(keys, algorithm) if key.signs_from is not None), None)


def _next_of(keys: Sequence[SigningKey], algorithm: str) -> SigningKey | None:
    return next((key for key in _kept(keys, algorithm) if key.signs_from is None), None)


def _kept(keys: Sequence[SigningKey], algorithm: str) -> list[SigningKey]:
    return [key for key in keys if key.algorithm == algorithm and key.verifies_until is None]


def _signers_until(end: datetime, keys: Sequence[SigningKey], algorithm: str, now: datetime) -> set[str]:
    """The kids of all that sign at some time from now to `end`."""
    changes = [key.signs_from for key in keys if key.signs_from is not None and now < key.signs_from < end]
    signers = (signer_of(keys, algorithm, at) for at in (now, *changes))
    return {key.kid for key in signers if key is not None}
