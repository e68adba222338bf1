"""The marks: what is asked before a token is believed, and the one door through which they are set."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from authsvc.clock import Clock
from authsvc.flows.coalescer import Coalescer
from authsvc.metrics import Metrics
from authsvc.protocol import revocation as rules
from authsvc.tables import grants, revocations, sessions, users
from authsvc.tables.db import Database, Transaction


class Revoking:
    """An open transaction that revokes. What it sets is effective for every question that begins after it committed."""

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self.tx = tx
        self.now = now
        self.kinds: list[str] = []

    async def token(self, jti: str, expires_at: datetime) -> None:
        await revocations.insert_mark(self.tx, rules.token_mark(jti), now=self.now, expires_at=expires_at)
        self.kinds.append("token")

    async def session(self, sid: str) -> None:
        await sessions.end_session(self.tx, sid, self.now)
        await self._present(rules.session_mark(sid), "session")

    async def grant(self, grant_id: str) -> None:
        await grants.end_grant(self.tx, grant_id, self.now)
        await self._present(rules.grant_mark(grant_id), "grant")

    async def key(self, kid: str) -> None:
        await self._present(rules.key_mark(kid), "key")

    async def user(self, sub: str, *, keep_session: str | None = None) -> int:
        """End the user's sessions, but for the one to keep, and raise the user's number. The new number."""
        await users.lock_user(self.tx, sub)
        await sessions.end_sessions_of_user(self.tx, sub, self.now, keep=keep_session)
        return await self._raise(rules.user_mark(sub), "user")

    async def client(self, client_id: str) -> int:
        return await self._raise(rules.client_mark(client_id), "client")

    async def everything(self) -> int:
        return await self._raise(rules.EVERYTHING, "everything")

    async def _present(self, mark: str, kind: str) -> None:
        await revocations.insert_mark(self.tx, mark, now=self.now, expires_at=rules.presence_expiry(self.now))
        self.kinds.append(kind)

    async def _raise(self, mark: str, kind: str) -> int:
        expires_at = rules.number_expiry(self.now)
        generation = await revocations.raise_generation(self.tx, mark, now=self.now, expires_at=expires_at)
        self.kinds.append(kind)
        return generation


class Revocations:
    """Answers from PostgreSQL, which is the truth. A cache in front of it gets its place here: asked before `find` goes
    to the table, told after a change has committed and before it is answered."""

    def __init__(self, db: Database, clock: Clock, coalescer: Coalescer, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._coalescer = coalescer
        self._metrics = metrics

    async def find(self, *marks: str) -> Mapping[str, int]:
        """The marks among these that are set, with their numbers, as of some instant after this call began.

        Raises:
            Unavailable: the store cannot be asked. Never a guess (C4).
        """
        return await self._coalescer.find(marks)

    async def kills(self, marks: rules.Marks) -> bool:
        """Whether any of the marks of a token kills it.

        Raises:
            Unavailable: the store cannot be asked.
        """
        return marks.is_dead(await self._coalescer.find(marks.all))

    @asynccontextmanager
    async def revoke(self) -> AsyncIterator[Revoking]:
        """A transaction for a change that revokes. When the block is left without an error, what was revoked is dead.

        Raises:
            Unavailable: PostgreSQL could not commit; nothing is promised then, and the caller retries.
        """
        async with self._db.transaction() as tx:
            revoking = Revoking(tx, self._clock.now())
            yield revoking
        for kind in revoking.kinds:
            self._metrics.revocations[kind].inc()
