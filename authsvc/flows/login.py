"""A user logs in with a password at a login UI; a session opens."""

from datetime import timedelta

from msgspec import UNSET

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import InvalidClient
from authsvc.flows.audit import Audit
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.families import Families
from authsvc.flows.issuance import Issuance, authorization_of
from authsvc.flows.password_login import FIRST_PARTY_CLIENT_ID, PasswordLogin
from authsvc.flows.subjects import Subjects
from authsvc.logs import get_logger
from authsvc.models import Client, Grant, GrantType, User
from authsvc.protocol.accounts import LoginRequest, LoginResponse, build_profile
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.passwords import prepare
from authsvc.protocol.revocation import EVERYTHING, client_mark, user_mark
from authsvc.protocol.scopes import format_scope, granted_scope, parse_scope
from authsvc.tables import sessions
from authsvc.tables.db import Database

log = get_logger(__name__)


class SessionTokens:
    """What a login UI gets for a session: an access token, and a refresh token where its client may use one."""

    def __init__(self, issuance: Issuance, families: Families, subjects: Subjects) -> None:
        self._issuance = issuance
        self._families = families
        self._subjects = subjects

    async def issue(self, grant: Grant, user: User, scope: tuple[str, ...]) -> LoginResponse:
        """Raises InvalidClient: it is gone. Unavailable."""
        client = await self._subjects.find_client(grant.client_id, grant.generations.client)
        names = await self._subjects.names_for(client)
        refreshes = GrantType.REFRESH_TOKEN in client.grant_types
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
            user=build_profile(user, sub=names.of_user(user.sub)),
        )


class Login:
    def __init__(
        self,
        db: Database,
        copies: ClientCopies,
        password: PasswordLogin,
        families: Families,
        tokens: SessionTokens,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        *,
        audience: tuple[str, ...],
        session_seconds: int,
    ) -> None:
        self._db = db
        self._copies = copies
        self._password = password
        self._families = families
        self._tokens = tokens
        self._audit = audit
        self._audience = audience
        self._clock = clock
        self._entropy = entropy
        self._session_life = timedelta(seconds=session_seconds)

    async def log_in(
        self, request: LoginRequest, address: Address | None, *, device: str | None = None
    ) -> LoginResponse:
        """Open a session and answer with its first tokens.

        Raises:
            InvalidCredentials: unknown address, wrong password, disabled user: the same for all.
            InvalidClient: no such first-party client.
            InvalidScope: more than the client has.
            InvalidValue: the password is longer than anything that is hashed.
            TooManyAttempts: at this account, or from this address; also with the right password (LOG-08).
            Unavailable: too many logins at once, or the store cannot be asked.
        """
        with self._password.counted():
            return await self._log_in(request, address, device)

    async def _log_in(self, request: LoginRequest, address: Address | None, device: str | None) -> LoginResponse:
        self._password.check_room()
        client = await self._find_client(request)
        scope = granted_scope(None if request.scope is UNSET else parse_scope(request.scope), client.scope)
        prepared = prepare(request.password)
        user, grant = await self._password.open(
            request.email,
            prepared,
            address,
            lambda user: self._open_session(user, client, scope, device=device, address=address),
        )
        log.info("session opened", sub=user.sub, sid=grant.sid, client_id=client.client_id)
        response = await self._tokens.issue(grant, user, scope)
        await self._password.bring_up_to_date(user, prepared)
        return response

    async def _find_client(self, request: LoginRequest) -> Client:
        client_id = FIRST_PARTY_CLIENT_ID if request.client_id is UNSET else request.client_id
        copy = await self._copies.find(client_id)
        if copy is None or not copy.client.first_party or copy.client.disabled_at is not None:
            raise InvalidClient("the client may not log users in")
        return copy.client

    async def _open_session(
        self, user: User, client: Client, scope: tuple[str, ...], *, device: str | None, address: Address | None
    ) -> Grant | None:
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
                device=device,
                address=None if address is None else str(address),
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
