"""Clients are told that sessions of their users have ended (OpenID Connect Back-Channel Logout).

What is to be told is written where the session ends, in the same transaction (`Revoking`). Here it is sent, by every
worker: at once where the session ended here, and within half a second where it ended elsewhere. Whoever logs out does
not wait for it. A worker that dies in the middle of it has claimed its notices for a while only, and then others send
them: so each is sent at least once, and perhaps twice. Each try has a token of its own, for a client may take one that
comes again for a replay, and log out nobody.
"""

import asyncio
from datetime import timedelta
from urllib.parse import urlencode

from authsvc.adapters.outbound import Outbound
from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import InvalidClient, OutboundFailed, OutboundRefused, OutboundSilent, Unavailable
from authsvc.flows.issuance import Issuance
from authsvc.flows.subjects import Subjects
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import LogoutNotice
from authsvc.protocol.backchannel_logout import TYP, Outcome, build_claims, judge, pause_after
from authsvc.tables import logout_notices
from authsvc.tables.db import Database

POLL_SECONDS = 0.5
SEND_SECONDS = 3.0
LEASE = timedelta(seconds=10)
"""For how long a notice is claimed: longer than a try takes."""
MOST_AT_ONCE = 16
"""Clients that one worker talks to. Those that hang hold up others only when there are so many of them."""

log = get_logger(__name__)


class LogoutNotices:
    def __init__(
        self,
        db: Database,
        issuance: Issuance,
        subjects: Subjects,
        outbound: Outbound,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        bell: asyncio.Event,
        *,
        issuer: str,
    ) -> None:
        """`bell` is rung where there is something to send."""
        self._db = db
        self._issuance = issuance
        self._subjects = subjects
        self._outbound = outbound
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._bell = bell
        self._issuer = issuer
        self._sending: set[asyncio.Task[None]] = set()

    async def send_next(self) -> None:
        """Wait for the bell, or for as long as others may have written something; then begin to send what is due. To be
        called again and again.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._bell.wait()
        except TimeoutError:
            pass
        self._bell.clear()
        room = MOST_AT_ONCE - len(self._sending)
        if room <= 0:
            return  # whoever is done rings
        now = self._clock.now()
        for notice in await logout_notices.claim_notices(self._db, now, until=now + LEASE, limit=room):
            task = asyncio.create_task(self._settle(notice))
            self._sending.add(task)
            task.add_done_callback(self._done)

    async def look(self) -> None:
        """Show how many wait, and for how long. Raises Unavailable."""
        many, oldest = await logout_notices.count_waiting(self._db)
        age = 0.0 if oldest is None else max(0.0, (self._clock.now() - oldest).total_seconds())
        self._metrics.logout_notices_waiting.set(many)
        self._metrics.logout_notices_oldest.set(age)

    async def close(self) -> None:
        """What is being sent is left to others."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        self._bell.set()  # the client may have another one coming
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a logout notice was not settled", exc_info=error)

    async def _settle(self, notice: LogoutNotice) -> None:
        if notice.uri is None:  # the client is disabled by now, or wants to be told nothing
            await logout_notices.delete_notice(self._db, notice.notice_id)
            return
        try:
            await self._write_down(notice, await self._tell(notice, notice.uri))
        except InvalidClient:  # it is gone by now, and what it was to be told with it
            return
        except Unavailable:  # no key, or no PostgreSQL: it is due again when the claim ends
            log.warning("a logout notice waits for the store", client_id=notice.client_id)

    async def _tell(self, notice: LogoutNotice, uri: str) -> Outcome:
        """Raises:
        InvalidClient: there is no such client any more.
        Unavailable: what it calls the user is not known here, or the token cannot be signed.
        """
        names = await self._subjects.names_for(await self._subjects.find_client(notice.client_id, notice.generation))
        claims = build_claims(
            issuer=self._issuer, client_id=notice.client_id, sub=names.of_user(notice.sub),
            sid=names.of_session(notice.sid), jti=mint_id(self._entropy), now=int(self._clock.unix()),
        )  # fmt: skip
        token = await self._issuance.sign(TYP, claims, notice.algorithm)
        body = urlencode({"logout_token": token}).encode()
        try:
            answer = await self._outbound.post(
                uri, body, content_type="application/x-www-form-urlencoded", seconds=SEND_SECONDS
            )
        except (OutboundRefused, OutboundFailed) as error:
            log.info("a client does not answer", client_id=notice.client_id, reason=error.description)
            # One that takes longer than we wait has heard it, and would hear nothing else for a day.
            return Outcome.FAULT if isinstance(error, OutboundSilent) else Outcome.AWAY
        return judge(answer.status)

    async def _write_down(self, notice: LogoutNotice, outcome: Outcome) -> None:
        now = self._clock.now()
        age = now - notice.created_at
        self._metrics.logout_notices[outcome].inc()
        if outcome is Outcome.DELIVERED:
            await logout_notices.delete_notice(self._db, notice.notice_id)
            self._metrics.logout_notice_age.observe(max(0.0, age.total_seconds()))
            return
        # Who was away for long, and comes back with an error at first, is not given up for the tries that it missed.
        answered = notice.answered + (outcome is not Outcome.AWAY)
        pause = pause_after(outcome, notice.attempts if outcome is Outcome.AWAY else answered, age)
        if pause is not None:
            log.warning("a client could not be told of a logout", client_id=notice.client_id, outcome=outcome)
            await logout_notices.postpone_notice(self._db, notice, now + pause, answered=answered)
            return
        await logout_notices.give_up_notice(self._db, notice, now)
        self._metrics.logout_notices["given_up"].inc()
        log.error("a client is not told of a logout", client_id=notice.client_id, outcome=outcome, sid=notice.sid)
