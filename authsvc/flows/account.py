"""What users do with their own account: look at it, change claims and password, log out, log out everywhere."""

from authsvc.clock import Clock
from authsvc.errors import Forbidden, InvalidToken, InvalidValue, NotFound
from authsvc.flows.audit import Audit
from authsvc.flows.limits import Limits
from authsvc.flows.login import SessionTokens
from authsvc.flows.passwords import Passwords
from authsvc.flows.profiles import Profiles
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken, Grant, JsonObject, User
from authsvc.protocol.accounts import LoginResponse, PasswordChangeRequest
from authsvc.protocol.audit import Event
from authsvc.protocol.passwords import prepare
from authsvc.protocol.revocation import user_mark
from authsvc.tables import grants, sessions, users
from authsvc.tables.db import Database


class Account:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        passwords: Passwords,
        tokens: SessionTokens,
        profiles: Profiles,
        limits: Limits,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._passwords = passwords
        self._tokens = tokens
        self._profiles = profiles
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def find(self, token: AccessToken) -> User:
        """The user of a live token.

        Raises:
            InvalidToken: the user is gone since the token was looked at.
            Unavailable: the store cannot be asked.
        """
        user = await users.find_user(self._db, token.sub)
        if user is None or user.disabled_at is not None:
            raise InvalidToken("the user is gone")
        return user

    async def change_claims(self, token: AccessToken, changes: JsonObject) -> User:
        """Change what is kept about the user of this token, by a JSON merge patch.

        Raises:
            InvalidValue: there is no such claim, it is not theirs to change, or the value is not one for it.
            InvalidToken: the user is gone since the token was looked at.
            Unavailable: the store cannot be asked.
        """
        try:
            return await self._profiles.change(token.sub, changes, by_user=True)
        except NotFound:
            raise InvalidToken("the user is gone") from None

    async def log_out(self, token: AccessToken) -> None:
        """End the session of this token, and with it every token of the session.

        Raises:
            Unavailable: the session may still be live; try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.session(_session_of(token), sub=token.sub)

    async def log_out_everywhere(self, token: AccessToken) -> None:
        """End every session of the user, and with them every token of theirs, this one too.

        Raises:
            Unavailable: they may still be live; try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.user(token.sub)

    async def change_password(self, token: AccessToken, request: PasswordChangeRequest) -> LoginResponse:
        """Change the password. Every other session ends; this one goes on with the new token in the answer.

        Raises:
            InvalidValue: the current password is wrong, or the new one is not acceptable.
            InvalidToken: the session has ended in the meantime.
            TooManyAttempts: the current password was wrong too often (PWR-09).
            Unavailable: too many hashes at once, or the store cannot be asked.
        """
        sid = _session_of(token)
        current = prepare(request.current_password, pointer="/current_password")
        user = await self.find(token)
        new = self._passwords.prepare_new(request.new_password, email=user.email_canonical, pointer="/new_password")
        await self._verify_current(user, current, sid)
        new_hash = await self._passwords.hash(new)
        grant = await self._exchange_password(token, user, new_hash)
        if grant is None:  # as at login: once more tells a password that was changed from one that was hashed anew
            user = await self.find(token)
            await self._verify_current(user, current, sid)
            grant = await self._exchange_password(token, user, new_hash)
            if grant is None:
                raise InvalidToken("the account was changed by somebody else at the same moment")
        return await self._tokens.issue(grant, user, token.scope)

    async def _verify_current(self, user: User, current: bytes, sid: str) -> None:
        try:
            async with self._limits.own_password(user.sub):
                if not await self._passwords.verify(current, user.password_hash):
                    raise InvalidValue("the current password is wrong", pointer="/current_password")
        except InvalidValue:
            self._audit.observe(
                self._audit.build(Event.AUTHN_PASSWORD_CHANGE_FAIL, sub=user.sub, sid=sid, reason="password")
            )
            # An earlier call, which could not be made known, may have changed it. Counted as an attempt all the same.
            await self._revocations.make_known_again(user_mark(user.sub))
            raise

    async def _exchange_password(self, token: AccessToken, user: User, new_hash: str) -> Grant | None:
        """The grant that goes on. None when the hash that was verified is not stored any more."""
        sid = _session_of(token)
        async with self._revocations.revoke() as revoking:
            if not await users.update_password_hash(revoking.tx, user.sub, old=user.password_hash or "", new=new_hash):
                return None
            revoking.note(Event.AUTHN_PASSWORD_CHANGE, sub=user.sub, sid=sid)
            generation = await revoking.user(user.sub, keep_session=sid)
            if await sessions.update_user_generation(revoking.tx, sid, generation, revoking.now) is None:
                raise InvalidToken("the session has ended")
            await grants.update_user_generation(revoking.tx, sid, generation)
            grant = await grants.find_grant(revoking.tx, _grant_of(token))
            if grant is None:
                raise InvalidToken("the session has ended")
        return grant


def _grant_of(token: AccessToken) -> str:
    if token.grant_id is None:
        raise Forbidden("the access token belongs to no grant")
    return token.grant_id


def _session_of(token: AccessToken) -> str:
    if token.sid is None:
        raise Forbidden("the access token belongs to no session")
    return token.sid
