"""A new user: by themselves, or by an operator."""

from unicodedata import normalize

from authsvc.adapters.hasher import Hasher
from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import EmailTaken, Forbidden
from authsvc.models import JsonObject, User
from authsvc.protocol.accounts import RegistrationRequest
from authsvc.protocol.emails import canonical_email
from authsvc.protocol.passwords import prepare_new
from authsvc.tables import users
from authsvc.tables.db import Database


class Registration:
    def __init__(
        self, db: Database, hasher: Hasher, clock: Clock, entropy: Entropy, *, is_open: bool, password_min_length: int
    ) -> None:
        self._db = db
        self._hasher = hasher
        self._clock = clock
        self._entropy = entropy
        self._is_open = is_open
        self._password_min_length = password_min_length

    async def register(self, request: RegistrationRequest) -> User:
        """A user by their own request.

        Raises:
            Forbidden: registration is closed.
            InvalidValue: the address or the password is not acceptable.
            EmailTaken: another user has the address.
            Unavailable: too many hashes at once, or the store cannot be asked.
        """
        if not self._is_open:
            raise Forbidden("registration is closed")
        return await self.create(request.email, request.password)

    async def create(
        self, email: str, password: str, *, email_verified: bool = False, claims: JsonObject | None = None
    ) -> User:
        """A user by an operator's request.

        Raises:
            InvalidValue, EmailTaken, Unavailable: as `register`.
        """
        canonical = canonical_email(email)
        prepared = prepare_new(password, min_length=self._password_min_length)
        user = User(
            sub=mint_id(self._entropy, "usr_"),
            email=normalize("NFC", email),
            email_canonical=canonical,
            email_verified=email_verified,
            password_hash=await self._hasher.hash(prepared),
            claims=claims or {},
            created_at=self._clock.now(),
            disabled_at=None,
        )
        if not await users.insert_user(self._db, user):
            raise EmailTaken
        return user
