"""A new user: by themselves, or by an operator."""

from unicodedata import normalize

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import EmailTaken, Forbidden
from authsvc.flows.audit import Audit
from authsvc.flows.limits import Limits
from authsvc.flows.passwords import Passwords
from authsvc.models import JsonObject, User
from authsvc.protocol.accounts import RegistrationRequest
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.claims import change_claims
from authsvc.protocol.emails import canonical_email
from authsvc.tables import users
from authsvc.tables.db import Database


class Registration:
    def __init__(
        self,
        db: Database,
        passwords: Passwords,
        limits: Limits,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        *,
        is_open: bool,
    ) -> None:
        self._db = db
        self._audit = audit
        self._passwords = passwords
        self._limits = limits
        self._clock = clock
        self._entropy = entropy
        self._is_open = is_open

    async def register(self, request: RegistrationRequest, address: Address | None) -> User:
        """A user by their own request.

        Raises:
            Forbidden: registration is closed.
            TooManyAttempts: too many from this address.
            InvalidValue: the address or the password is not acceptable.
            EmailTaken: another user has the address.
            Unavailable: too many hashes at once, or the store cannot be asked.
        """
        if not self._is_open:
            raise Forbidden("registration is closed")
        await self._limits.registration(address)
        return await self.create(request.email, request.password)

    async def create(
        self, email: str, password: str, *, email_verified: bool = False, claims: JsonObject | None = None
    ) -> User:
        """A user by an operator's request.

        Raises:
            InvalidValue, EmailTaken, Unavailable: as `register`.
        """
        canonical = canonical_email(email)
        prepared = self._passwords.prepare_new(password, email=canonical)
        user = User(
            sub=mint_id(self._entropy, "usr_"),
            email=normalize("NFC", email),
            email_canonical=canonical,
            email_verified=email_verified,
            password_hash=await self._passwords.hash(prepared),
            claims=change_claims({}, claims or {}, by_user=False),
            created_at=self._clock.now(),
            disabled_at=None,
        )
        async with self._db.transaction() as tx:
            if not await users.insert_user(tx, user):
                raise EmailTaken
            await self._audit.record(tx, self._audit.build(Event.USER_CREATED, sub=user.sub))
        return user
