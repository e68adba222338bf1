"""The marks: what is asked before a token is believed, and the one door through which they are set."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from authsvc.clock import Clock
from authsvc.errors import Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.coalescer import Answerable, Coalescer
from authsvc.flows.publication import Publication
from authsvc.metrics import Metrics
from authsvc.models import AuditEvent
from authsvc.protocol import revocation as rules
from authsvc.protocol.audit import Event
from authsvc.tables import grants, inherited_clients, logout_notices, revocations, sessions, users
from authsvc.tables.db import Database, Transaction


class Revoking:
    """An open transaction that revokes. What it sets is effective for every question that begins after it committed.
    Nothing is revoked here without an audit event."""

    def __init__(self, tx: Transaction, now: datetime, audit: Audit) -> None:
        self.tx = tx
        self.now = now
        self.kinds: list[str] = []
        self.marks: dict[str, int] = {}
        """What was set, and to which number."""
        self.events: list[AuditEvent] = []
        self.notices = 0
        """How many clients are to be told of what ends here."""
        self._audit = audit

    def note(
        self,
        event: Event,
        *,
        sub: str | None = None,
        client_id: str | None = None,
        sid: str | None = None,
        **details: object,
    ) -> None:
        """What else this transaction changes."""
        self.events.append(self._audit.build(event, sub=sub, client_id=client_id, sid=sid, **details))

    async def token(
        self, jti: str, expires_at: datetime, *, sub: str | None = None, client_id: str | None = None
    ) -> None:
        await self._present(rules.token_mark(jti), expires_at=expires_at)
        self._revoked("token", sub=sub, client_id=client_id, jti=jti)

    async def session(self, sid: str, *, sub: str | None = None) -> None:
        if await sessions.end_session(self.tx, sid, self.now):
            await self._tell_clients_of(sid)
        await self._kill_tokens_of(sid)
        self.kinds.append("session")
        self.note(Event.SESSION_LOGOUT, sub=sub, sid=sid)

    async def sessions_of(self, sub: str, *, only: str | None = None, but: str | None = None) -> bool:
        """End sessions of this user and of nobody else: one, or all but one. What has ended lately is done again, as by
        whoever tries again (C5). False when there is none."""
        ended = await sessions.end_sessions_of(
            self.tx, sub, self.now, since=self.now - rules.PRESENCE_LIFE, only=only, but=but
        )
        await self._kill_tokens_of(*ended)
        new = [sid for sid, is_new in ended.items() if is_new]
        await self._tell_clients_of(*new)
        for sid in new:
            self.kinds.append("session")
            self.note(Event.SESSION_LOGOUT, sub=sub, sid=sid)
        return bool(ended)

    async def grants_of(self, sub: str, client_id: str) -> int:
        """End all that this user gave this client; what has ended lately is done again. How much there was of it."""
        ended = await grants.end_grants_of(self.tx, sub, client_id, self.now, since=self.now - rules.PRESENCE_LIFE)
        await self._present(*map(rules.grant_mark, ended))
        many = sum(ended.values())
        self.kinds += ["grant"] * many
        return many

    async def grant(self, grant_id: str, *, sub: str | None = None, client_id: str | None = None) -> None:
        await grants.end_grant(self.tx, grant_id, self.now)
        await self._present(rules.grant_mark(grant_id))
        self._revoked("grant", sub=sub, client_id=client_id, grant_id=grant_id)

    async def key(self, kid: str) -> None:
        await self._present(rules.key_mark(kid))
        self.kinds.append("key")
        self.note(Event.KEY_REMOVED, kid=kid, reason="killed")

    async def user(self, sub: str, *, keep_session: str | None = None) -> int:
        """End the user's sessions, but for the one to keep, and raise the user's number. The new number."""
        await users.lock_user(self.tx, sub)
        await self._tell_clients_of(*await sessions.end_sessions_of_user(self.tx, sub, self.now, keep=keep_session))
        self._revoked("user", sub=sub)
        return await self._raise(rules.user_mark(sub))

    async def client(self, client_id: str) -> int:
        self._revoked("client", client_id=client_id)
        return await self._raise(rules.client_mark(client_id))

    async def everything(self) -> int:
        self.kinds.append("everything")
        self.note(Event.GLOBAL_REVOCATION)
        return await self._raise(rules.EVERYTHING)

    async def _kill_tokens_of(self, *sids: str) -> None:
        """And of those that they have replaced: it is the same user in the same browser who logs out."""
        replaced = await inherited_clients.list_replaced(self.tx, sids, self.now - rules.PRESENCE_LIFE)
        await self._present(*map(rules.session_mark, dict.fromkeys((*sids, *replaced))))

    async def _tell_clients_of(self, *sids: str) -> None:
        """Wherever sessions end that were not over, the clients in them hear of it (BCL-04)."""
        if sids:
            self.notices += await logout_notices.insert_notices(self.tx, sids, self.now)

    async def _present(self, *marks: str, expires_at: datetime | None = None) -> None:
        expires_at = expires_at or rules.presence_expiry(self.now)
        await revocations.insert_marks(self.tx, marks, now=self.now, expires_at=expires_at)
        self.marks |= dict.fromkeys(marks, 1)

    async def _raise(self, mark: str) -> int:
        expires_at = rules.number_expiry(self.now)
        generation = await revocations.raise_generation(self.tx, mark, now=self.now, expires_at=expires_at)
        self.marks[mark] = generation
        return generation

    def _revoked(self, kind: str, *, sub: str | None = None, client_id: str | None = None, **which: str) -> None:
        self.kinds.append(kind)
        self.note(Event.AUTHN_TOKEN_REVOKED, sub=sub, client_id=client_id, kind=kind, **which)


class Revocations:
    """Questions go through the coalescer to Redis or PostgreSQL; a change is committed, and then published."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        coalescer: Coalescer,
        publication: Publication,
        audit: Audit,
        metrics: Metrics,
        bell: asyncio.Event,
    ) -> None:
        """`bell` is rung where clients are to be told of something (`flows/logout_notices.py`)."""
        self._db = db
        self._clock = clock
        self._coalescer = coalescer
        self._publication = publication
        self._audit = audit
        self._metrics = metrics
        self._bell = bell
        self._publishing: set[asyncio.Task[None]] = set()

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

    def ask(self, marks: Sequence[str], answer: Answerable) -> None:
        """As `find`. The answer goes there, and nobody needs to wait for it."""
        self._coalescer.join(marks, answer)

    @asynccontextmanager
    async def revoke(self) -> AsyncIterator[Revoking]:
        """A transaction for a change that revokes. When the block is left without an error, what was revoked is dead.

        Raises:
            Unavailable: it could not be committed, or not be made known everywhere; the caller retries, and all of it
                is done again.
        """
        async with self._db.transaction() as tx:
            revoking = Revoking(tx, self._clock.now(), self._audit)
            yield revoking
            await self._audit.record(tx, *revoking.events)
        if revoking.notices:
            self._bell.set()
        if revoking.marks:
            await self._make_known(revoking.marks)
        for kind in revoking.kinds:
            self._metrics.revocations[kind].inc()

    async def make_known_again(self, *marks: str) -> None:
        """For whoever finds that what he came for has been done. It may have been his own call, that was committed and
        could not be made known: those of the marks that are set are made known as if they were set now (C5).

        Raises:
            Unavailable: they may not be known everywhere; try again.
        """
        standing = await revocations.find_generations(self._db, marks)
        if standing:
            await self._make_known(standing)

    async def _make_known(self, marks: Mapping[str, int]) -> None:
        """Goes on when the caller hangs up, or has waited for as long as he should (C5)."""
        task = asyncio.create_task(self._publication.publish(marks))
        self._publishing.add(task)
        task.add_done_callback(self._published)
        try:
            async with asyncio.timeout(self._publication.longest_seconds):
                await asyncio.shield(task)
        except TimeoutError as error:
            raise Unavailable from error

    def _published(self, task: "asyncio.Task[None]") -> None:
        self._publishing.discard(task)
        if not task.cancelled():
            task.exception()  # for the case that nobody waits for it any more
