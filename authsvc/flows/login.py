"""A user logs in with a password; a session opens. One hash is computed whoever it is (LOG-01, LOG-02)."""

from datetime import timedelta

from msgspec import UNSET

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import InvalidClient, InvalidCredentials, InvalidValue, TooManyAttempts, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.families import Families
from authsvc.flows.issuance import Issuance, authorization_of
from authsvc.flows.limits import Limits
from authsvc.flows.passwords import Passwords
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import Client, Grant, GrantType, User
from authsvc.protocol.accounts import LoginRequest, LoginResponse, build_profile
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.emails import canonical_email
from authsvc.protocol.passwords import prepare
from authsvc.protocol.revocation import EVERYTHING, client_mark, user_mark
from authsvc.protocol.scopes import format_scope, granted_scope, parse_scope
from authsvc.tables import sessions, users
from authsvc.tables.db import Database

FIRST_PARTY_CLIENT_ID = "first-party"
"""The built-in public client of logins that name none; the first migration makes it."""

log = get_logger(__name__)


class SessionTokens:
    """What a login UI gets for a session: an access token, and a refresh token where its client may use one."""

    def __init__(self, issuance: Issuance, families: Families, copies: ClientCopies) -> None:
        self._issuance = issuance
        self._families = families
        self._copies = copies

    async def issue(self, grant: Grant, user: User, scope: tuple[str, ...]) -> LoginResponse:
        """Raises Unavailable."""
        copy = await self._copies.find(grant.client_id)
        refreshes = copy is not None and GrantType.REFRESH_TOKEN in copy.client.grant_types
        refresh_token = await self._families.refresh_token_of(grant) if refreshes else None
        issued = await self._issuance.issue(
            authorization_of(grant, scope=scope, audience=grant.audience, refresh_token=refresh_token)
        )
        return LoginResponse(
            access_token=issued.access_token,
            token_type="Bearer",  # noqa: S106
            expires_in=issued.expires_in,
            refresh_token=issued.refresh_token or UNSET,
            id_token=issued.id_token or UNSET,
            scope=format_scope(issued.scope),
            client_id=grant.client_id,
            user=build_profile(user),
        )


class Login:
    def __init__(
        self,
        db: Database,
        copies: ClientCopies,
        passwords: Passwords,
        families: Families,
        tokens: SessionTokens,
        limits: Limits,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        audience: tuple[str, ...],
        session_seconds: int,
    ) -> None:
        self._db = db
        self._copies = copies
        self._passwords = passwords
        self._families = families
        self._tokens = tokens
        self._limits = limits
        self._audit = audit
        self._audience = audience
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._session_life = timedelta(seconds=session_seconds)

    async def log_in(self, request: LoginRequest, address: Address | None) -> LoginResponse:
        """Open a session and answer with its first tokens.

        Raises:
            InvalidCredentials: unknown address, wrong password, disabled user: the same for all.
            InvalidClient: no such first-party client.
            InvalidScope: more than the client has.
            InvalidValue: the password is longer than anything that is hashed.
            TooManyAttempts: at this account, or from this address; also with the right password (LOG-08).
            Unavailable: too many logins at once, or the store cannot be asked.
        """
        try:
            response = await self._log_in(request, address)
        except InvalidCredentials:
            self._metrics.logins["password", "failure"].inc()
            raise
        except TooManyAttempts:
            self._metrics.logins["password", "limited"].inc()
            raise
        except Unavailable:
            self._metrics.logins["password", "shed"].inc()
            raise
        self._metrics.logins["password", "success"].inc()
        return response

    async def _log_in(self, request: LoginRequest, address: Address | None) -> LoginResponse:
        self._passwords.check_room()
        client = await self._find_client(request)
        scope = granted_scope(None if request.scope is UNSET else parse_scope(request.scope), client.scope)
        prepared, email = prepare(request.password), _canonical(request.email)
        async with self._limits.login(email or request.email, address):
            user = await self._verify_password(email, prepared)
        grant = await self._open_session(user, client, scope)
        if grant is None:
            # What was verified is not stored any more: disabled, deleted, a new password, or, by another login of this
            # moment, the same password hashed anew. Once more tells them apart.
            user = await self._verify_password(email, prepared)
            grant = await self._open_session(user, client, scope)
            if grant is None:
                raise InvalidCredentials
        log.info("session opened", sub=user.sub, sid=grant.sid, client_id=client.client_id)
        response = await self._tokens.issue(grant, user, scope)
        await self._passwords.bring_up_to_date(user, prepared)
        return response

    async def _find_client(self, request: LoginRequest) -> Client:
        client_id = FIRST_PARTY_CLIENT_ID if request.client_id is UNSET else request.client_id
        copy = await self._copies.find(client_id)
        if copy is None or not copy.client.first_party or copy.client.disabled_at is not None:
            raise InvalidClient("the client may not log users in")
        return copy.client

    async def _verify_password(self, email: str | None, prepared: bytes) -> User:
        user = None if email is None else await users.find_user_by_email(self._db, email)
        matches = await self._passwords.verify(prepared, None if user is None else user.password_hash)
        if user is None or user.disabled_at is not None or not matches:
            reason = "unknown" if user is None else "disabled" if matches else "password"
            sub = None if user is None else user.sub
            self._audit.observe(self._audit.build(Event.AUTHN_LOGIN_FAIL, sub=sub, reason=reason))
            raise InvalidCredentials
        return user

    async def _open_session(self, user: User, client: Client, scope: tuple[str, ...]) -> Grant | None:
        """None when user or client have changed since they were looked at."""
        now = self._clock.now()
        async with self._db.transaction() as tx:
            session = await sessions.insert_session(
                tx,
                sid=mint_id(self._entropy),
                sub=user.sub,
                client_id=client.client_id,
                password_hash=user.password_hash or "",
                user_mark=user_mark(user.sub),
                client_mark=client_mark(client.client_id),
                everything_mark=EVERYTHING,
                methods=("pwd",),
                now=now,
                expires_at=now + self._session_life,
            )
            if session is None:
                return None
            who = {"sub": user.sub, "client_id": client.client_id, "sid": session.sid}
            await self._audit.record(
                tx,
                self._audit.build(Event.AUTHN_LOGIN_SUCCESS, **who, method="password"),
                self._audit.build(Event.SESSION_CREATED, **who),
            )
            return await self._families.open(tx, session, scope, self._audience)


def _canonical(email: str) -> str | None:
    """None for what no user's address can be; which those are is nobody's business here."""
    try:
        return canonical_email(email)
    except InvalidValue:
        return None
