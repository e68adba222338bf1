"""Which token is this? Signature and claims, checked once and remembered; whether it is revoked is never remembered as
"not revoked", only as "revoked", which is final."""

from dataclasses import dataclass
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.flows.keys import SigningKeys
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken
from authsvc.protocol import access_token, introspection, jwt
from authsvc.protocol.revocation import Marks, marks_of


@dataclass(slots=True)
class Recognised:
    """A token of ours, with what is asked and what is answered about it, prepared."""

    token: AccessToken
    marks: Marks
    answer: bytes
    is_dead: bool = False


class Recognition:
    """The L1 of a worker. Keyed by the digest of the text: no token is kept, and a token has several spellings, each of
    which leads to the same marks."""

    def __init__(
        self, keys: SigningKeys, revocations: Revocations, clock: Clock, *, issuer: str, capacity: int
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._clock = clock
        self._issuer = issuer
        self._capacity = capacity
        self._known: dict[bytes, Recognised] = {}

    async def recognise(self, text: str) -> Recognised | None:
        """The token, if it is one of ours and its time has not run out. Asks no store, but for keys that are overdue.

        Raises:
            Unavailable: the signing keys have never been read, or are overdue and cannot be.
        """
        known = await self._identify(text)
        return known if known is not None and access_token.is_current(known.token, self._clock.unix()) else None

    async def recognise_revocable(self, text: str) -> Recognised | None:
        """As `recognise`, for what is to be dead on every node: also what only the clock of another node takes for
        current.

        Raises:
            Unavailable: as `recognise`.
        """
        known = await self._identify(text)
        over = self._clock.unix() - access_token.MAX_CLOCK_DIFFERENCE
        return known if known is not None and known.token.expires_at > over else None

    async def is_live(self, known: Recognised) -> bool:
        """Whether none of the token's marks was set at some instant after this call began.

        Raises:
            Unavailable: it cannot be known.
        """
        if known.is_dead:
            return False
        if await self._revocations.kills(known.marks):
            known.is_dead = True
            return False
        return True

    async def _identify(self, text: str) -> Recognised | None:
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest) or self._verify(text, digest)
        if known is None and await self._keys.catch_up():
            known = self._verify(text, digest)
        return known

    def _verify(self, text: str, digest: bytes) -> Recognised | None:
        verified = jwt.verify(text, self._keys.ring.verifiers, typ=access_token.TYP)
        if isinstance(verified, jwt.Rejected):
            return None
        token = access_token.parse(verified, self._issuer)
        if isinstance(token, jwt.Rejected):
            return None
        known = Recognised(token, marks_of(token), introspection.build_answer(token, self._issuer))
        if self._capacity:
            if len(self._known) >= self._capacity:
                del self._known[next(iter(self._known))]
            self._known[digest] = known
        return known
