"""Families of tokens: opened by an authorization, carried on by refresh tokens, ended by reuse, revocation or time."""

from datetime import datetime, timedelta

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import InvalidGrant
from authsvc.flows.revocations import Revocations
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import AuthorizationCode, Grant, Session
from authsvc.protocol.audit import Event
from authsvc.protocol.refresh import Presented, RefreshToken, build_refresh_token, judge, parse_refresh_token
from authsvc.protocol.resources import narrow
from authsvc.protocol.revocation import grant_mark
from authsvc.protocol.scopes import OFFLINE_ACCESS, OPENID
from authsvc.tables import grants
from authsvc.tables.db import Database, Queries

log = get_logger(__name__)


class Families:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        secret: SealedSecret,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        idle_seconds: int,
        absolute_seconds: int,
        userinfo_audience: str,
        api_audience: str,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._secret = secret
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._idle = timedelta(seconds=idle_seconds)
        self._absolute = timedelta(seconds=absolute_seconds)
        self._userinfo_audience = userinfo_audience
        self._own_audiences = frozenset({userinfo_audience, api_audience})

    async def open(self, tx: Queries, session: Session, scope: tuple[str, ...], audience: tuple[str, ...]) -> Grant:
        """The grant of a session, in the transaction that opens it. It ends with the session at the latest.

        With the scope `openid` its tokens are for UserInfo too, unless a refresh narrows them to something else.
        """
        now = self._clock.now()
        expires_at = min(now + self._absolute, session.expires_at)
        grant = Grant(
            grant_id=mint_id(self._entropy),
            sub=session.sub,
            client_id=session.client_id,
            sid=session.sid,
            scope=scope,
            audience=self.audience_of(scope, audience),
            generations=session.generations,
            methods=session.methods,
            authenticated_at=session.authenticated_at,
            place=0,
            rotated_at=None,
            idle_until=min(now + self._idle, expires_at),
            expires_at=expires_at,
        )
        await grants.insert_grant(tx, grant)
        return grant

    async def open_by_code(
        self, tx: Queries, code: AuthorizationCode, *, grant_id: str, scope: tuple[str, ...], audience: tuple[str, ...]
    ) -> Grant:
        """The grant that a code was redeemed for, in the transaction that consumes it. With `offline_access` it goes on
        when the session has ended, as long as any family does; else it ends with the session."""
        now = self._clock.now()
        is_offline = OFFLINE_ACCESS in scope
        expires_at = now + self._absolute
        if not is_offline:
            expires_at = min(expires_at, code.session_ends_at)
        grant = Grant(
            grant_id=grant_id,
            sub=code.sub,
            client_id=code.client_id,
            sid=None if is_offline else code.sid,
            scope=scope,
            audience=self.audience_of(scope, audience),
            generations=code.generations,
            methods=code.methods,
            authenticated_at=code.authenticated_at,
            place=0,
            rotated_at=None,
            idle_until=min(now + self._idle, expires_at),
            expires_at=expires_at,
            claims=code.claims,
            opened_in=code.sid if is_offline else None,
        )
        await grants.insert_grant(tx, grant)
        return grant

    def audience_of(self, scope: tuple[str, ...], audience: tuple[str, ...]) -> tuple[str, ...]:
        """What a grant of this scope is for, beside what it is asked for."""
        return (*audience, self._userinfo_audience) if OPENID in scope else audience

    def narrow(self, named: tuple[str, ...], granted: tuple[str, ...]) -> tuple[str, ...]:
        """What an access token of a grant is for. Raises InvalidTarget."""
        return narrow(named, granted, self._own_audiences)

    async def refresh_token_of(self, grant: Grant) -> str:
        """The one live refresh token of a grant.

        Raises:
            Unavailable: the store cannot be asked.
        """
        return build_refresh_token(await self._secret.get(), RefreshToken(grant.grant_id, grant.place))

    async def recognise(self, text: str) -> tuple[RefreshToken, Grant] | None:
        """The token and its grant, if we made it. Says nothing of whether it is live.

        Raises:
            Unavailable: the store cannot be asked.
        """
        token = parse_refresh_token(await self._secret.get(), text)
        grant = None if token is None else await grants.find_grant(self._db, token.grant_id)
        return None if token is None or grant is None else (token, grant)

    async def find_live(self, token: RefreshToken) -> Grant | None:
        """The grant, if this is its live token and nothing has ended it.

        Raises:
            Unavailable: the store cannot be asked.
        """
        grant = await grants.find_live_grant(self._db, token.grant_id, self._clock.now())
        return grant if grant is not None and grant.place == token.place else None

    async def rotate(self, token: RefreshToken) -> Grant:
        """Consume a refresh token; the grant comes back with its next one live. Who lost the answer gets the same again
        for a while. A token that was used before ends the whole family (RFC 9700 §4.14.2).

        Raises:
            InvalidGrant: it is not live, or was reused.
            Unavailable: the store cannot be asked.
        """
        now = self._clock.now()
        rotated = await grants.rotate_grant(
            self._db, token.grant_id, place=token.place, now=now, idle_until=now + self._idle
        )
        return rotated or await self._judge(token, now)

    async def end(self, grant: Grant) -> None:
        """End a family: its refresh token and all its access tokens are dead when this returns.

        Raises:
            Unavailable: try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.grant(grant.grant_id, sub=grant.sub, client_id=grant.client_id)

    async def end_reused(self, code: AuthorizationCode) -> None:
        """A code came back that was redeemed: somebody has a copy. All that came of it is dead when this returns
        (COD-04).

        Raises:
            Unavailable: try again.
        """
        if code.grant_id is None:
            return
        async with self._revocations.revoke() as revoking:
            await grants.lock_grant(revoking.tx, code.grant_id)
            grant = await grants.find_live_grant(revoking.tx, code.grant_id, revoking.now)
            if grant is not None:
                who = {"sub": grant.sub, "client_id": grant.client_id}
                await revoking.grant(grant.grant_id, **who)
                revoking.note(Event.AUTHN_TOKEN_REUSE, **who, sid=code.sid, grant_id=grant.grant_id, kind="code")
        if grant is None:  # an earlier call may have ended it, for the same reason
            await self._revocations.make_known_again(grant_mark(code.grant_id))
        else:
            log.error("an authorization code was reused", grant_id=code.grant_id)

    async def _judge(self, token: RefreshToken, came_at: datetime) -> Grant:
        # The verdict on reuse is committed before it is told: a refusal must leave its mark.
        async with self._revocations.revoke() as revoking:
            await grants.lock_grant(revoking.tx, token.grant_id)
            grant = await grants.find_live_grant(revoking.tx, token.grant_id, revoking.now)
            verdict = Presented.REFUSED
            if grant is not None:
                verdict = judge(
                    presented=token.place, live=grant.place, rotated_at=grant.rotated_at, now=revoking.now,
                    came_at=came_at,
                )  # fmt: skip
            if grant is not None and verdict is Presented.REUSED:
                who = {"sub": grant.sub, "client_id": grant.client_id}
                await revoking.grant(grant.grant_id, **who)
                revoking.note(Event.AUTHN_TOKEN_REUSE, **who, sid=grant.sid, grant_id=grant.grant_id)
        if verdict is Presented.REUSED:
            self._metrics.refresh_reuse.inc()
            log.error("a refresh token was reused", grant_id=token.grant_id)
        if grant is None:  # an earlier call may have ended it, for the same reason
            await self._revocations.make_known_again(grant_mark(token.grant_id))
        if grant is None or verdict is not Presented.RETRIED:
            raise InvalidGrant("the refresh token is not valid")
        return grant
