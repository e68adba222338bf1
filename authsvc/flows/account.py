"""What users do with their own account: look at it, change claims and password, log out, log out everywhere."""

from authsvc.errors import Forbidden, InvalidToken, NotFound
from authsvc.flows.login import SessionTokens
from authsvc.flows.password_change import PasswordChange
from authsvc.flows.profiles import Profiles
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken, Grant, JsonObject, User
from authsvc.protocol.accounts import LoginResponse, PasswordChangeRequest
from authsvc.tables import grants, users
from authsvc.tables.db import Database, Transaction


class Account:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        password_change: PasswordChange,
        tokens: SessionTokens,
        profiles: Profiles,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._password_change = password_change
        self._tokens = tokens
        self._profiles = profiles

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
            InvalidPassword: the current password is wrong, or the new one is not acceptable.
            InvalidToken: the session has ended in the meantime.
            TooManyAttempts: the current password was wrong too often (PWR-09).
            Unavailable: too many hashes at once, or the store cannot be asked.
        """
        grant_id = _grant_of(token)

        async def find_grant(tx: Transaction) -> Grant:
            grant = await grants.find_grant(tx, grant_id)
            if grant is None:
                raise InvalidToken("the session has ended")
            return grant

        user, grant = await self._password_change.change(token.sub, _session_of(token), request, find_grant)
        return await self._tokens.issue(grant, user, token.scope)


def _grant_of(token: AccessToken) -> str:
    if token.grant_id is None:
        raise Forbidden("the access token belongs to no grant")
    return token.grant_id


def _session_of(token: AccessToken) -> str:
    if token.sid is None:
        raise Forbidden("the access token belongs to no session")
    return token.sid
