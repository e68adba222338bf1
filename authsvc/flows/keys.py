"""Signing keys: published, then signing, then verifying only, or killed. Each algorithm has its own set of them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.errors import NotFound, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.key_ring import KeyRing, RingMaker
from authsvc.flows.revocations import Revocations
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import AuditEvent, SigningKey
from authsvc.protocol import keys as rules
from authsvc.protocol import rotation
from authsvc.protocol.audit import Event
from authsvc.protocol.keys import GeneratedKey, KeyState
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.revocation import key_mark
from authsvc.protocol.rotation import Birth, Plan, Policy
from authsvc.tables import signing_keys
from authsvc.tables.db import Database, Transaction

MAX_RING_AGE = 3.0
"""Seconds. Of a ring that is older, the worker cannot say that it knows every key that signs. Less than the settling of
`protocol/rotation.py`, for the clocks of two nodes differ a little."""

Generate = Callable[[str], GeneratedKey]
"""Makes a key for an algorithm. One of RSA takes a tenth of a second, and sometimes several."""

log = get_logger(__name__)


class SigningKeys:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        generate: Generate,
        master_key: MasterKey,
        policy: Policy,
        algorithm: str,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._audit = audit
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._generate = generate
        self._master_key = master_key
        self._policy = policy
        self._algorithm = algorithm
        self._maker = RingMaker(master_key, policy, algorithm)
        self._ring: KeyRing | None = None

    @property
    def ring(self) -> KeyRing:
        """The keys as they were last read. Goes on answering while PostgreSQL is away.

        Raises:
            Unavailable: they have never been read.
        """
        if self._ring is None:
            raise Unavailable("the signing keys are not loaded yet")
        return self._ring

    async def refresh(self) -> None:
        """Read the keys; make a current and a next one where they are missing.

        Raises:
            Unavailable: PostgreSQL cannot be asked; the ring stays as it is.
            ConfigurationError: the master key does not open them.
        """
        keys = await self.read()
        if rotation.plan(keys, self._policy, self._clock.now()):
            await self._keep_order(lambda _: ())
            await self.read()

    async def read(self) -> list[SigningKey]:
        """Read the keys as they are. Makes none: that takes longer than somebody who is waiting for an answer has.

        Raises:
            Unavailable, ConfigurationError: as `refresh`.
        """
        read_at = self._clock.monotonic()
        keys = await signing_keys.list_keys(self._db)
        if self._ring is None or self._ring.read_at <= read_at:
            self._adopt(keys, read_at)
        return keys

    @property
    def are_overdue(self) -> bool:
        """Whether there are none at hand, or they are so old that a key unknown here may be signing by now."""
        return self._ring is None or not self._ring.is_read_since(self._clock.monotonic() - MAX_RING_AGE)

    async def catch_up(self) -> bool:
        """Read the keys, if they are overdue. Whether they were.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if self.ring.is_read_since(self._clock.monotonic() - MAX_RING_AGE):
            return False
        await self.read()
        return True

    async def list_all(self) -> list[tuple[SigningKey, KeyState]]:
        """Every key that verifies, with its state."""
        now = self._clock.now()
        keys = rules.published(await signing_keys.list_keys(self._db), now)
        return [(key, rules.state_of(key, keys, now)) for key in keys]

    async def rotate(self, algorithm: str | None = None) -> SigningKey:
        """Let the next key of an algorithm, the access tokens' if none is named, take over, and publish a new next one.
        What the old one signed stays valid.

        The key that takes over, with the time from which it signs: not before every copy of the JWKS has it. A rotation
        that waits for that is not begun again.
        """
        (current,) = await self._rotate(algorithm or self._algorithm)
        return current

    async def rotate_all(self) -> tuple[SigningKey, ...]:
        """As `rotate`, of every algorithm; the access tokens' comes first."""
        return await self._rotate(*sorted(self._policy.algorithms, key=lambda each: each != self._algorithm))

    async def _rotate(self, *algorithms: str) -> tuple[SigningKey, ...]:
        keys = await self._keep_order(lambda _: algorithms)
        await self._catch_up_if_possible()
        current = tuple(key for each in algorithms if (key := rotation.current_of(keys, each)) is not None)
        if len(current) < len(algorithms):
            raise Unavailable("there is no current signing key")
        for key in current:
            log.info("signing key rotated", kid=key.kid, algorithm=key.algorithm, signs_from=key.signs_from)
        return current

    async def rotate_when_due(self) -> None:
        """Rotate the sets whose current key has signed for long enough. Any number of workers may ask at once.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if self._due(await signing_keys.list_keys(self._db)):
            await self._keep_order(self._due)
            log.info("signing keys rotated on schedule")

    async def kill(self, kid: str) -> None:
        """Remove a key at once: every token it signed is dead when this returns. The next key takes over if it signed:
        at once too, unless it was published only a moment ago.

        Raises:
            NotFound: no such key. If it was killed before, everybody knows that by now.
            Unavailable: try again.
        """
        made = await self._make(self._plan_without(kid, await signing_keys.list_keys(self._db)))
        try:
            await self._kill(kid, made)
        except NotFound:
            await self._revocations.make_known_again(key_mark(kid))
            raise
        await self._catch_up_if_possible()
        log.warning("signing key killed", kid=kid)

    async def _kill(self, kid: str, made: list[GeneratedKey]) -> None:
        async with self._revocations.revoke() as revoking:
            tx = revoking.tx
            await signing_keys.lock_keys(tx)
            plan = self._plan_without(kid, await signing_keys.list_keys(tx))
            if not await signing_keys.delete_key(tx, kid):
                raise NotFound("there is no such signing key")
            await revoking.key(kid)
            await self._carry_out(tx, plan, made)

    def _plan_without(self, kid: str, keys: list[SigningKey]) -> Plan:
        victim = next((key for key in keys if key.kid == kid), None)
        if victim is None:
            return Plan()
        rest = [key for key in keys if key is not victim]
        return rotation.plan(rest, self._policy, self._clock.now(), killed=victim.algorithm)

    async def _keep_order(self, due: Callable[[list[SigningKey]], Collection[str]]) -> list[SigningKey]:
        """Do what is to be done about the keys, a rotation of those among it that are due. The keys after it."""

        def plan_for(keys: list[SigningKey]) -> Plan:
            return rotation.plan(keys, self._policy, self._clock.now(), rotates=due(keys))

        # Before any lock is held. What others have done by then needs no key; what they undid, the next look mends.
        made = await self._make(plan_for(await signing_keys.list_keys(self._db)))
        async with self._db.transaction() as tx:
            # Twenty processes may come at once: one of them does it, the others find it done.
            await signing_keys.lock_keys(tx)
            keys = await signing_keys.list_keys(tx)
            if (signing := rules.newest_signer(keys, self._clock.now())) is not None:
                self._maker.open(signing)  # a wrong master key is refused before anything is sealed with it
            await self._carry_out(tx, plan_for(keys), made)
            return await signing_keys.list_keys(tx)

    async def _carry_out(self, tx: Transaction, plan: Plan, made: list[GeneratedKey]) -> None:
        events: list[AuditEvent] = []
        for key in plan.changes:
            await signing_keys.update_times(tx, key.kid, signs_from=key.signs_from, verifies_until=key.verifies_until)
            if key.verifies_until is None:
                events.append(self._audit.build(Event.KEY_ACTIVATED, kid=key.kid, signs_from=str(key.signs_from)))
            else:
                events.append(self._audit.build(Event.KEY_RETIRED, kid=key.kid, until=str(key.verifies_until)))
        for birth in plan.births:
            new = next((key for key in made if key.algorithm == birth.algorithm), None)
            if new is not None:
                made.remove(new)
                await signing_keys.insert_key(tx, self._row(new, birth))
                events.append(self._audit.build(Event.KEY_CREATED, kid=new.kid, algorithm=new.algorithm))
        await self._audit.record(tx, *events)

    def _due(self, keys: list[SigningKey]) -> list[str]:
        now = self._clock.now()
        return [each for each in self._policy.algorithms if rotation.is_due(keys, each, self._policy, now)]

    async def _catch_up_if_possible(self) -> None:
        with suppress(Unavailable):  # the job reads them when PostgreSQL is back: what was asked for is done
            await self.refresh()

    async def _make(self, plan: Plan) -> list[GeneratedKey]:
        """The keys that a plan asks for."""
        return [await asyncio.to_thread(self._generate, birth.algorithm) for birth in plan.births]

    def _row(self, key: GeneratedKey, birth: Birth) -> SigningKey:
        nonce = self._entropy.bytes(rules.NONCE_BYTES)
        return SigningKey(
            kid=key.kid,
            algorithm=key.algorithm,
            public_jwk=key.public_jwk,
            sealed_private=self._master_key.seal(key.kid, key.private_bytes, nonce),
            master_key_id=self._master_key.id,
            created_at=birth.created_at,
            signs_from=birth.signs_from,
            verifies_until=None,
        )

    def _adopt(self, rows: list[SigningKey], read_at: float) -> None:
        now = self._clock.now()
        keys = rules.published(rows, now)
        if self._ring is None:  # a key that cannot be opened is noticed at the start, and not when it is to sign
            for key in keys:
                if key.verifies_until is None:
                    self._maker.open(key)
        self._ring = self._maker.make(rows, now, read_at)
        self._metrics.signing_keys(
            (
                key.algorithm,
                rules.state_of(key, keys, now),
                key.created_at.timestamp(),
                end.timestamp() if (end := rotation.not_after(key, keys, self._policy)) else 0.0,
            )
            for key in keys
        )
