"""How passwords are kept: held to the rules when they are new, peppered and hashed, brought up to date when used."""

from contextlib import suppress

from authsvc.adapters.hasher import Hasher
from authsvc.errors import Unavailable
from authsvc.logs import get_logger
from authsvc.models import User
from authsvc.protocol.passwords import PasswordRules, prepare_new
from authsvc.protocol.peppers import Pepper, Peppers, format_stored, parse_stored
from authsvc.tables import users
from authsvc.tables.db import Database

log = get_logger(__name__)


class Passwords:
    def __init__(self, db: Database, hasher: Hasher, peppers: Peppers, rules: PasswordRules) -> None:
        self._db = db
        self._hasher = hasher
        self._peppers = peppers
        self._rules = rules

    @property
    def min_length(self) -> int:
        """Of a new one."""
        return self._rules.min_length

    def check_room(self) -> None:
        """Refuse early, before any other work is done for a login that could not be finished. Raises Unavailable."""
        self._hasher.check_room()

    def prepare_new(self, password: str, *, email: str, pointer: str = "/password") -> bytes:
        """The bytes to hash of a new password of whoever has this canonical address. Raises InvalidValue."""
        return prepare_new(password, self._rules, email=email, pointer=pointer)

    async def hash(self, prepared: bytes) -> str:
        """What is kept of it. Raises Unavailable: the queue is full."""
        pepper = self._peppers.current
        return format_stored(pepper, await self._hasher.hash(_keyed(pepper, prepared)))

    async def verify(self, prepared: bytes, stored: str | None) -> bool:
        """Whether the password is the stored one, at the cost of one hash whatever is stored, be it nothing.

        Raises:
            Unavailable: the queue is full, or the hash was made with a pepper that is not known here: nobody can say
                then whether the password is right, and a setting that is lost must not look like a wrong password.
        """
        if stored is None:
            return await self._hasher.verify(_keyed(self._peppers.current, prepared), None)
        pepper_id, phc = parse_stored(stored)
        pepper = None if pepper_id is None else self._peppers.find(pepper_id)
        if pepper_id is not None and pepper is None:
            await self._hasher.verify(prepared, None)
            log.error("a password hash was made with a pepper that is not set", pepper_id=pepper_id)
            raise Unavailable("this password cannot be verified right now")
        return await self._hasher.verify(_keyed(pepper, prepared), phc)

    async def bring_up_to_date(self, user: User, prepared: bytes) -> None:
        """Hash a password anew that has just been verified, if its hash is weaker than today's or has another pepper
        (PWS-04). Only where a thread is free, so that it costs the login no more than one hash; what goes wrong is left
        to the next login. A password that was changed meanwhile stays changed.

        Who measures it learns that the hash was old: of a password that they know.
        """
        stored = user.password_hash or ""
        pepper_id, phc = parse_stored(stored)
        pepper = self._peppers.current
        if pepper_id == (pepper and pepper.id) and not self._hasher.is_weaker(phc):
            return
        with suppress(Unavailable):
            renewed = await self._hasher.hash_if_idle(_keyed(pepper, prepared))
            if renewed is not None:
                await users.update_password_hash(self._db, user.sub, old=stored, new=format_stored(pepper, renewed))


def _keyed(pepper: Pepper | None, prepared: bytes) -> bytes:
    return prepared if pepper is None else pepper.apply(prepared)
