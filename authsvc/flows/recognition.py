"""Which token is this? Signature and claims, checked once and remembered; whether it is revoked is never remembered as
"not revoked", only as "revoked", which is final."""

from hashlib import sha256

import msgspec

from authsvc.clock import Clock
from authsvc.errors import Unavailable
from authsvc.flows.coalescer import Answerable, Found
from authsvc.flows.keys import SigningKeys
from authsvc.flows.revocations import Revocations
from authsvc.flows.subjects import Subjects
from authsvc.models import AccessToken, Generations
from authsvc.protocol import access_token, introspection, jwt
from authsvc.protocol.revocation import Marks, marks_of, names_of

MAX_COMMON = 10_000


class _Unopened(Unavailable):
    """What opens it is not at hand."""


class _Own(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one token has alone."""

    jti: str
    sub: str | None
    """None: the client itself."""
    issued_at: int
    expires_at: int
    user_generation: int | None
    grant_id: str | None
    sid: str | None
    authenticated_at: int | None
    pairwise_sub: str | None


class _Common(msgspec.Struct, frozen=True, gc=False):
    """What many tokens have alike, and is kept once."""

    kid: str
    client_id: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    methods: tuple[str, ...]
    client_generation: int
    everything_generation: int


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Own).decode


class _Memory(msgspec.Struct, gc=False):
    """A token as it is remembered, in a third of the room that it takes as a record."""

    own: bytes
    common: _Common
    answer: bytes
    is_dead: bool = False

    def token(self) -> AccessToken:
        own, common = _unpack(self.own), self.common
        return AccessToken(
            jti=own.jti,
            sub=common.client_id if own.sub is None else own.sub,
            client_id=common.client_id,
            kid=common.kid,
            audience=common.audience,
            scope=common.scope,
            issued_at=own.issued_at,
            expires_at=own.expires_at,
            generations=Generations(common.client_generation, common.everything_generation, own.user_generation),
            grant_id=own.grant_id,
            sid=own.sid,
            authenticated_at=own.authenticated_at,
            methods=common.methods,
            pairwise_sub=own.pairwise_sub,
        )


class Recognised:
    """A token of ours, and what is answered about it."""

    __slots__ = ("_marks", "_memory", "answer", "token")

    def __init__(self, memory: _Memory, token: AccessToken) -> None:
        self._memory = memory
        self._marks: Marks | None = None
        self.token = token
        self.answer = memory.answer

    @property
    def marks(self) -> Marks:
        """What can kill it."""
        if (marks := self._marks) is None:
            marks = self._marks = marks_of(self.token)
        return marks

    @property
    def is_dead(self) -> bool:
        """It has been found revoked before."""
        return self._memory.is_dead

    def bury(self) -> None:
        """It is revoked. That is final."""
        self._memory.is_dead = True

    def learn(self, found: Found) -> None:
        """These of its marks are set; perhaps others beside them."""
        if found and self.marks.is_dead(found):
            self.bury()


class Recognition:
    """The L1 of a worker. Keyed by the digest of the text: no token is kept, and a token has several spellings, each of
    which leads to the same marks."""

    def __init__(
        self,
        keys: SigningKeys,
        revocations: Revocations,
        subjects: Subjects,
        clock: Clock,
        *,
        issuer: str,
        capacity: int,
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._subjects = subjects
        self._clock = clock
        self._issuer = issuer
        self._capacity = capacity
        self._known: dict[bytes, _Memory] = {}
        self._common: dict[_Common, _Common] = {}

    async def recognise(self, text: str) -> Recognised | None:
        """The token, if it is one of ours and its time has not run out. Asks no store, but for keys that are overdue
        and, once, for what opens the tokens of clients with pairwise subjects.

        Raises:
            Unavailable: the signing keys have never been read, or are overdue and cannot be; or it cannot be opened.
        """
        return self._if_current(await self._identify(text))

    async def recognise_revocable(self, text: str) -> Recognised | None:
        """As `recognise`, for what is to be dead on every node: also what only the clock of another node takes for
        current.

        Raises:
            Unavailable: as `recognise`.
        """
        known = await self._identify(text)
        over = self._clock.unix() - access_token.MAX_CLOCK_DIFFERENCE
        return known if known is not None and known.token.expires_at > over else None

    @property
    def is_up_to_date(self) -> bool:
        """Whether `recognise` reads no keys."""
        return not self._keys.are_overdue

    def find(self, text: bytes) -> Recognised | None:
        """As `recognise`, of an ASCII text, with the keys that are at hand; also None for what was found revoked. Only
        while `is_up_to_date`.

        Raises:
            Unavailable: what opens it is not at hand. `recognise` fetches it.
        """
        digest = sha256(text).digest()
        memory = self._known.get(digest)
        if memory is None:
            return self._if_current(self._verify(text.decode("ascii"), digest))
        return None if memory.is_dead else self._if_current(Recognised(memory, memory.token()))

    def _if_current(self, known: Recognised | None) -> Recognised | None:
        return known if known is not None and access_token.is_current(known.token, self._clock.unix()) else None

    def ask(self, known: Recognised, answer: Answerable) -> None:
        """Ask for all that may have revoked a token. What is found goes there, and from there to `Recognised.learn`."""
        self._revocations.ask(names_of(known.token), answer)

    async def is_live(self, known: Recognised) -> bool:
        """Whether none of the token's marks was set at some instant after this call began.

        Raises:
            Unavailable: it cannot be known.
        """
        if known.is_dead:
            return False
        if await self._revocations.kills(known.marks):
            known.bury()
            return False
        return True

    async def _identify(self, text: str) -> Recognised | None:
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        if (memory := self._known.get(digest)) is not None:
            return Recognised(memory, memory.token())
        known = await self._verify_opened(text, digest)
        if known is None and await self._keys.catch_up():
            known = await self._verify_opened(text, digest)
        return known

    async def _verify_opened(self, text: str, digest: bytes) -> Recognised | None:
        try:
            return self._verify(text, digest)
        except _Unopened:
            await self._subjects.fetch_secret()
            return self._verify(text, digest)

    def _verify(self, text: str, digest: bytes) -> Recognised | None:
        signed = jwt.verify_signature(text, self._keys.ring.verifiers, typ=access_token.TYP)
        if isinstance(signed, jwt.Rejected):
            return None
        token = access_token.read(signed, self._issuer, self._subjects.secret)
        if token is access_token.SEALED:
            raise _Unopened
        if isinstance(token, jwt.Rejected):
            return None
        memory = self._prepare(token)
        if self._capacity:
            if len(self._known) >= self._capacity:
                del self._known[next(iter(self._known))]
            self._known[digest] = memory
        return Recognised(memory, token)

    def _prepare(self, token: AccessToken) -> _Memory:
        generations = token.generations
        common = _Common(
            token.kid, token.client_id, token.audience, token.scope, token.methods,
            generations.client, generations.everything,
        )  # fmt: skip
        if len(self._common) >= MAX_COMMON:
            self._common.clear()  # who is remembered keeps what it has
        sub = None if token.sub == token.client_id else token.sub
        own = _Own(
            token.jti, sub, token.issued_at, token.expires_at, generations.user,
            token.grant_id, token.sid, token.authenticated_at, token.pairwise_sub,
        )  # fmt: skip
        answer = introspection.build_answer(token, self._issuer)
        return _Memory(_pack(own), self._common.setdefault(common, common), answer)
