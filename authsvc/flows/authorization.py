"""The authorization endpoint (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2): what becomes of a request.

There is one decision, made anew whenever the user comes back: to log in, to be asked for consent, or to go back to the
client with a code or an error. Pages do not decide, and nothing is kept for a request that waits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_secret
from authsvc.errors import (
    AccessDenied,
    AuthsvcError,
    ConfigurationError,
    ExpiredRequest,
    InvalidRequestObject,
    LoginRequired,
    NoRecipient,
    OAuthError,
)
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.consents import Consents
from authsvc.flows.keys import SigningKeys
from authsvc.flows.pushed_requests import Duties, PushedRequests
from authsvc.flows.request_objects import RequestObjects
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.flows.subjects import Subjects
from authsvc.metrics import Metrics
from authsvc.models import Client, ConsentPolicy, Session, User
from authsvc.protocol import claims, id_token, jwt, sealed_request
from authsvc.protocol.authorization import AuthorizationRequest, Prompt, parse_request
from authsvc.protocol.authorization_code import LIFE, PREFIX
from authsvc.protocol.authorization_response import AuthorizationResponse, build_failure, build_success
from authsvc.protocol.forms import Form
from authsvc.protocol.next_step import Step, consent_of, next_step
from authsvc.protocol.pushed_request import find_request_uri
from authsvc.protocol.recipients import Recipient, find_recipient, parse_client_id
from authsvc.protocol.sealed_request import WaitingRequest
from authsvc.tables import authorization_codes, users
from authsvc.tables.db import Database


@dataclass(frozen=True, slots=True)
class Pending:
    """A request of which it is known where its answer may go."""

    waiting: WaitingRequest
    sealed: str = field(repr=False)
    client: Client
    recipient: Recipient
    fault: OAuthError | None = None
    """What was wrong with it as it came."""


@dataclass(frozen=True, slots=True)
class LoginWanted:
    """The user is to log in. `user` is who is logged in, where it is them who are asked once more."""

    asked: AuthorizationRequest | None = None
    """None: no client asks."""
    user: User | None = None


@dataclass(frozen=True, slots=True)
class ConsentWanted:
    """The user of this session is to allow this, or not."""

    asked: AuthorizationRequest
    session: Session
    user: User


Outcome = LoginWanted | ConsentWanted | AuthorizationResponse


class AuthorizationRequests:
    def __init__(
        self,
        db: Database,
        copies: ClientCopies,
        keys: SigningKeys,
        consents: Consents,
        pushed: PushedRequests,
        objects: RequestObjects,
        subjects: Subjects,
        secret: SealedSecret,
        metrics: Metrics,
        clock: Clock,
        entropy: Entropy,
        *,
        issuer: str,
        default_audience: str,
        duties: Duties,
    ) -> None:
        self._db = db
        self._copies = copies
        self._keys = keys
        self._consents = consents
        self._pushed = pushed
        self._objects = objects
        self._subjects = subjects
        self._secret = secret
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._default_audience = default_audience
        self._duties = duties

    # --- A request comes, and comes back

    async def begin(self, form: Form) -> Pending:
        """A request as it comes from a client.

        Raises:
            NoRecipient: nobody knows where an answer may go (AUZ-02).
            ExpiredRequest: it was pushed, and is not there any more.
            Unavailable.
        """
        with self._counted():
            client_id = parse_client_id(form)
            request_uri = find_request_uri(form)
            if request_uri is not None:  # and nothing else counts (PAR-05)
                return await self._pend(await self._pushed.find(request_uri, client_id))
            try:
                waiting = await self._open(form, client_id)
            except InvalidRequestObject as fault:
                return await self._pend(WaitingRequest(form, self._clock.now()), fault=fault)
            return await self._pend(waiting)

    async def _open(self, form: Form, client_id: str) -> WaitingRequest:
        """The request, taken out of its object where its client has signed one. A client without keys signs nothing."""
        now, signed = self._clock.now(), form.many("request")
        copy = await self._copies.find(client_id) if len(signed) == 1 and not form.many("request_uri") else None
        if copy is None or copy.client.disabled_at is not None or not copy.client.has_keys:
            return WaitingRequest(form, now)
        return WaitingRequest(await self._objects.open(signed[0], copy.client), now, is_signed=True)

    async def resume(self, sealed: str | None) -> Pending:
        """One that has waited for its user.

        Raises:
            NoRecipient: it is none that was sealed here, or its client is gone.
            ExpiredRequest: it has waited for too long.
            Unavailable.
        """
        with self._counted():
            waiting = sealed_request.open_sealed(await self._secret.get(), sealed or "", self._clock.now())
            return await self._pend(waiting, sealed)

    async def switch_user(self, pending: Pending) -> Pending:
        """The same request, of somebody who is to log in whoever is logged in now."""
        prompts = (pending.waiting.form.one("prompt") or "").split()
        prompt = " ".join(dict.fromkeys([*prompts, Prompt.SELECT_ACCOUNT]))
        values = pending.waiting.form.pick(sealed_request.PARAMETERS) | {"prompt": [prompt]}
        return await self._pend(replace(pending.waiting, form=Form(values), born_at=self._clock.now()))

    async def _pend(
        self, waiting: WaitingRequest, sealed: str | None = None, *, fault: OAuthError | None = None
    ) -> Pending:
        copy = await self._copies.find(parse_client_id(waiting.form))
        client = None if copy is None else copy.client
        recipient = find_recipient(waiting.form, client)
        assert client is not None  # noqa: S101 - nobody is a recipient without
        sealed = sealed or sealed_request.seal(await self._secret.get(), waiting)
        return Pending(waiting, sealed, client, recipient, fault)

    # --- The decision

    async def decide(self, pending: Pending, session: Session | None, *, allowed: bool = False) -> Outcome:
        """What comes next, in a browser with this session. `allowed`: its user has just allowed this very request. What
        is wrong with it is told to the client (AUZ-03), and so is a fault of ours.

        Raises:
            ExpiredRequest: it was pushed, and has got its one answer before (PAR-04).
        """
        try:
            with self._counted():
                return await self._decide(pending, session, allowed=allowed)
        except (ConfigurationError, ExpiredRequest):
            raise
        except AuthsvcError as error:
            if isinstance(error, OAuthError):
                await self._pushed.consume(self._db, pending.waiting, pending.client.client_id)
            return build_failure(pending.recipient, error, self._issuer)

    async def deny(self, pending: Pending) -> AuthorizationResponse:
        """The user said no (AUZ-15).

        Raises:
            ExpiredRequest: as `decide`.
            Unavailable.
        """
        error = AccessDenied("the user did not allow it")
        await self._pushed.consume(self._db, pending.waiting, pending.client.client_id)
        self._metrics.authorization_request(error.code)
        return build_failure(pending.recipient, error, self._issuer)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count an error in the block as the end of the request."""
        try:
            yield
        except AuthsvcError as error:
            self._metrics.authorization_request("no_recipient" if isinstance(error, NoRecipient) else error.code)
            raise

    async def _decide(self, pending: Pending, session: Session | None, *, allowed: bool) -> Outcome:
        client, waiting = pending.client, pending.waiting
        if pending.fault is not None:
            raise pending.fault
        self._duties.check(client, is_pushed=waiting.request_uri is not None, is_signed=waiting.is_signed)
        asked = parse_request(
            waiting.form, client, pending.recipient,
            default_audience=self._default_audience, acr_offered=id_token.ACR_VALUES,
        )  # fmt: skip
        user = None if session is None else await users.find_user(self._db, session.sub)
        if user is None:
            session = None
        consent = None if session is None else await self._consents.find(session, client.client_id)
        known_as = None if session is None else (await self._subjects.names_for(client)).of_user(session.sub)
        hinted = await self._find_hinted(asked)
        step = next_step(
            asked, client, born_at=waiting.born_at, session=session, consent=consent, allowed=allowed,
            known_as=known_as, hinted_sub=hinted, now=self._clock.now(),
        )  # fmt: skip
        if step is Step.LOGIN or session is None or user is None:
            is_another = hinted is not None and hinted != known_as
            return LoginWanted(asked, None if Prompt.SELECT_ACCOUNT in asked.prompt or is_another else user)
        if step is Step.CONSENT:
            return ConsentWanted(asked, session, user)
        if allowed:
            await self._consents.remember(session, client.client_id, consent_of(asked, client))
        by_consent = allowed or client.consent is not ConsentPolicy.NEVER
        code = await self._issue(asked, client, session, waiting, by_consent=by_consent)
        if code is None:  # the session ended in this moment, or the consent was taken back
            if Prompt.NONE in asked.prompt:
                raise LoginRequired("the user is not logged in")
            return LoginWanted(asked)
        self._metrics.authorization_request("issued")
        return build_success(pending.recipient, code, self._issuer)

    async def _issue(
        self,
        asked: AuthorizationRequest,
        client: Client,
        session: Session,
        waiting: WaitingRequest,
        *,
        by_consent: bool,
    ) -> str | None:
        """A code, of which only the digest is kept (AUZ-12). None when what it rests on is gone. A request that was
        pushed is consumed with it, or not at all."""
        code, now = mint_secret(self._entropy, PREFIX), self._clock.now()
        recipient = asked.recipient
        write = partial(
            authorization_codes.insert_code,
            digest=sha256(code.encode()).digest(),
            client_id=client.client_id,
            sid=session.sid,
            redirect_uri=recipient.redirect_uri if recipient.names_redirect_uri else None,
            scope=asked.scope,
            resources=asked.resources,
            code_challenge=asked.code_challenge,
            nonce=asked.nonce,
            claims=claims.build_document(asked.claims),
            by_consent=by_consent,
            now=now,
            expires_at=now + LIFE,
        )
        if waiting.request_uri is None:
            return code if await write(self._db) else None
        async with self._db.transaction() as tx:
            if not await write(tx):
                return None
            await self._pushed.consume(tx, waiting, client.client_id)
        return code

    async def _find_hinted(self, asked: AuthorizationRequest) -> str | None:
        """The user of the `id_token_hint`: an ID token of ours for this client, be it expired (OID-05).

        Raises:
            LoginRequired: it is none, and the user must not be asked who they are.
        """
        if asked.id_token_hint is None:
            return None
        await self._keys.catch_up()
        verified = jwt.verify(asked.id_token_hint, self._keys.ring.hint_verifiers, typ=id_token.TYP)
        if not isinstance(verified, jwt.Rejected):
            told = verified.claims
            if told.get("iss") == self._issuer and told.get("aud") == asked.recipient.client_id:
                sub = told.get("sub")
                return sub if isinstance(sub, str) else None
        if Prompt.NONE in asked.prompt:
            raise LoginRequired("the id_token_hint is none of this client's")
        return None
