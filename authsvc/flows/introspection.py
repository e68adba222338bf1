"""Is this token live? (RFC 7662)"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from authsvc.clock import Clock
from authsvc.errors import AuthsvcError, Unavailable
from authsvc.flows.client_auth import ClientAuth, FindAddress
from authsvc.flows.coalescer import Answerable, Found
from authsvc.flows.families import Families
from authsvc.flows.issuance import Issuance
from authsvc.flows.limits import Limits
from authsvc.flows.recognition import Recognised, Recognition
from authsvc.flows.subjects import Subjects
from authsvc.metrics import Metrics
from authsvc.models import AccessToken, Client
from authsvc.protocol import introspection as rules
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.introspection import IntrospectionRequest
from authsvc.protocol.refresh import PREFIX as REFRESH_PREFIX

_REFRESH_PREFIX = REFRESH_PREFIX.encode("ascii")


class Introspection:
    def __init__(
        self,
        client_auth: ClientAuth,
        limits: Limits,
        recognition: Recognition,
        families: Families,
        issuance: Issuance,
        subjects: Subjects,
        clock: Clock,
        metrics: Metrics,
        *,
        issuer: str,
    ) -> None:
        self._client_auth = client_auth
        self._limits = limits
        self._recognition = recognition
        self._families = families
        self._issuance = issuance
        self._subjects = subjects
        self._clock = clock
        self._issuer = issuer
        self._count = metrics.introspected

    async def introspect(
        self, presented: PresentedCredentials, request: IntrospectionRequest, find_address: FindAddress
    ) -> bytes:
        """The answer, as JSON. `INACTIVE` for everything that is not a live token which this caller may see.

        Raises:
            InvalidRequest: the caller presents itself in two ways.
            InvalidClient: the caller is nobody we know, or a public client (INT-02).
            TooManyAttempts: more than one client is granted (INT-14).
            Unavailable: it cannot be known. Never a guess.
        """
        with self._counted() as count:
            caller = await self._admit(presented, find_address)
            return count(await self._describe(caller, request))

    async def introspect_signed(
        self, presented: PresentedCredentials, request: IntrospectionRequest, find_address: FindAddress
    ) -> str:
        """As `introspect`, as a JWT for this caller alone (RFC 9701).

        Raises:
            InvalidRequest, InvalidClient, TooManyAttempts, Unavailable: as `introspect`; Unavailable also when no key
                of the caller's algorithm signs.
        """
        with self._counted() as count:
            caller = await self._admit(presented, find_address)
            answer = await self._describe(caller, request)
            claims = rules.build_signed_answer(answer, self._issuer, caller.client_id, int(self._clock.unix()))
            signed = await self._issuance.sign(rules.SIGNED_TYP, claims, caller.introspection_algorithm)
            count(answer)
            return signed

    async def find_live(
        self, presented: PresentedCredentials, text: str, audience: str, find_address: FindAddress
    ) -> AccessToken | None:
        """The access token, if `introspect` would call it active, and if it is for this audience.

        Raises:
            InvalidRequest, InvalidClient, TooManyAttempts, Unavailable: as `introspect`.
        """
        with self._counted() as count:
            known = await self._find(await self._admit(presented, find_address), text, audience)
            count(rules.INACTIVE if known is None else known.answer)
            return None if known is None else known.token

    async def admit(self, presented: PresentedCredentials, find_address: FindAddress) -> Client:
        """Who asks for what is no token, and may ask.

        Raises:
            InvalidRequest, InvalidClient, TooManyAttempts, Unavailable: as `introspect`.
        """
        with self._counted():
            return await self._admit(presented, find_address)

    def begin(self, authorization: bytes, token: bytes, audience: str | None = None) -> bytes | Recognised | None:
        """As `introspect` does, or `find_live`, for a caller who is known already, and without a wait: so a question
        costs no task. The answer, or a token of which is still to be asked whether it is revoked: see `ask`. None: this
        has to go the long way, and nothing has been done, but that it may have been counted.
        """
        copy = self._client_auth.find_proven(authorization)
        if copy is None or copy.client.is_public or token.startswith(_REFRESH_PREFIX):
            return None
        caller = copy.client
        if not self._recognition.is_up_to_date or not self._limits.admits_introspection(caller):
            return None
        try:
            known = self._recognition.find(token)
        except Unavailable:
            return None
        if known is None or not rules.is_for(caller, known.token, audience):
            self._count["inactive"](1)
            return rules.INACTIVE
        return known

    def ask(self, known: Recognised, answer: Answerable) -> None:
        """Whether it is revoked. What is found goes there, and from there to `end`."""
        self._recognition.ask(known, answer)

    def end(self, known: Recognised, found: Found) -> bytes:
        """The answer about a token some of whose marks were found to be set, or none."""
        known.learn(found)
        self._count["inactive" if known.is_dead else "active"](1)
        return rules.INACTIVE if known.is_dead else known.answer

    def give_up(self) -> None:
        """It could not be known whether a token is revoked."""
        self._count["error"](1)

    @contextmanager
    def _counted(self) -> Iterator[Callable[[bytes], bytes]]:
        """Counts the answer that it is told of, or that there was none."""

        def count(answer: bytes) -> bytes:
            self._count["inactive" if answer is rules.INACTIVE else "active"](1)
            return answer

        try:
            yield count
        except AuthsvcError:
            self._count["error"](1)
            raise

    async def _admit(self, presented: PresentedCredentials, find_address: FindAddress) -> Client:
        caller = (await self._client_auth.authenticate_confidential(presented, find_address)).client
        self._limits.introspection(caller)
        return caller

    async def _describe(self, caller: Client, request: IntrospectionRequest) -> bytes:
        if request.token.startswith(REFRESH_PREFIX):
            return await self._describe_refresh_token(caller, request.token)
        known = await self._find(caller, request.token)
        return rules.INACTIVE if known is None else known.answer

    async def _find(self, caller: Client, text: str, audience: str | None = None) -> Recognised | None:
        known = await self._recognition.recognise(text)
        # Decided before the store is asked: what the caller may not see costs it what an unknown token does (ATK-24).
        if known is None or not rules.is_for(caller, known.token, audience):
            return None
        return known if await self._recognition.is_live(known) else None

    async def _describe_refresh_token(self, caller: Client, text: str) -> bytes:
        """A refresh token is for its client's eyes alone (INT-10)."""
        found = await self._families.recognise(text)
        if found is None or found[1].client_id != caller.client_id:
            return rules.INACTIVE
        grant = await self._families.find_live(found[0])
        if grant is None:
            return rules.INACTIVE
        client = await self._subjects.find_client(grant.client_id, grant.generations.client)
        names = await self._subjects.names_for(client)
        return rules.build_refresh_answer(grant, self._issuer, sub=names.of_user(grant.sub))
