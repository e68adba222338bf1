"""Signing keys: published, then signing, then verifying only, or killed. Each worker holds a ring of them in memory."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.errors import NotFound, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.revocations import Revocations
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import AuditEvent, SigningKey
from authsvc.protocol import keys as rules
from authsvc.protocol import rotation
from authsvc.protocol.audit import Event
from authsvc.protocol.jwt import Signer, Verifier
from authsvc.protocol.keys import GeneratedKey, KeyState
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.revocation import key_mark
from authsvc.protocol.rotation import Birth, Plan, Policy
from authsvc.tables import signing_keys
from authsvc.tables.db import Database, Transaction

MAX_RING_AGE = 3.0
"""Seconds. Of a ring that is older, the worker cannot say that it knows every key that signs. Less than the settling of
`protocol/rotation.py`, for the clocks of two nodes differ a little."""

LINGERING = 60.0
"""Seconds for which a killed key is recognised still. Its mark makes every token of it inactive; and who revokes one of
them meanwhile is heard, though another worker may not have been told of the mark yet."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What one worker knows of the keys at one instant."""

    read_at: float
    able: Signer | None
    verifiers: Mapping[str, Verifier]
    jwks: bytes
    etag: str

    @property
    def signer(self) -> Signer:
        """What signs.

        Raises:
            Unavailable: nothing does, between the kill of the last key that did and the settling of the next.
        """
        if self.able is None:
            raise Unavailable("no key signs at this moment")
        return self.able


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
        master_key: MasterKey,
        policy: Policy,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._audit = audit
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._master_key = master_key
        self._policy = policy
        self._ring: KeyRing | None = None
        self._signers: dict[str, Signer] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._left: dict[str, float] = {}
        """Since when a key that is still recognised is gone."""

    @property
    def ring(self) -> KeyRing:
        """The keys as of the last refresh. Goes on answering while PostgreSQL is away.

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
        read_at = self._clock.monotonic()
        keys = await signing_keys.list_keys(self._db)
        if rotation.plan(keys, self._policy, self._clock.now()):
            await self._keep_order(lambda _: False)
            read_at = self._clock.monotonic()
            keys = await signing_keys.list_keys(self._db)
        if self._ring is None or self._ring.read_at <= read_at:
            self._adopt(keys, read_at)

    @property
    def are_overdue(self) -> bool:
        """Whether those at hand are so old that a key unknown here may be signing by now."""
        return self._clock.monotonic() - self.ring.read_at >= MAX_RING_AGE

    async def catch_up(self) -> bool:
        """Read the keys, if they are overdue. Whether they were.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if not self.are_overdue:
            return False
        await self.refresh()
        return True

    async def list_all(self) -> list[tuple[SigningKey, KeyState]]:
        """Every key that verifies, with its state."""
        now = self._clock.now()
        keys = rules.published(await signing_keys.list_keys(self._db), now)
        return [(key, rules.state_of(key, keys, now)) for key in keys]

    async def rotate(self) -> SigningKey:
        """Let the next key take over, and publish a new next one. What the old one signed stays valid.

        The key that takes over, with the time from which it signs: not before every copy of the JWKS has it. A rotation
        that waits for that is not begun again.
        """
        current = await self._keep_order(lambda _: True)
        await self._catch_up_if_possible()
        log.info("signing key rotated", kid=current.kid, signs_from=current.signs_from)
        return current

    async def rotate_when_due(self) -> None:
        """Rotate, if the current key has signed for long enough. Any number of workers may ask at once.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if self._is_due(await signing_keys.list_keys(self._db)):
            current = await self._keep_order(self._is_due)
            log.info("signing key rotated on schedule", kid=current.kid, signs_from=current.signs_from)

    async def kill(self, kid: str) -> None:
        """Remove a key at once: every token it signed is dead when this returns. The next key takes over if it signed:
        at once too, unless it was published only a moment ago.

        Raises:
            NotFound: no such key. If it was killed before, everybody knows that by now.
            Unavailable: try again.
        """
        fresh = await self._generate()
        try:
            await self._kill(kid, fresh)
        except NotFound:
            await self._revocations.make_known_again(key_mark(kid))
            raise
        await self._catch_up_if_possible()
        log.warning("signing key killed", kid=kid)

    async def _kill(self, kid: str, fresh: list[GeneratedKey]) -> None:
        async with self._revocations.revoke() as revoking:
            tx = revoking.tx
            await signing_keys.lock_keys(tx)
            if not await signing_keys.delete_key(tx, kid):
                raise NotFound("there is no such signing key")
            await revoking.key(kid)
            keys = await signing_keys.list_keys(tx)
            await self._carry_out(tx, rotation.plan(keys, self._policy, self._clock.now()), fresh)

    async def _keep_order(self, rotates: Callable[[list[SigningKey]], bool]) -> SigningKey:
        """Do what is to be done about the keys, a rotation among it if that is so of them. The current one after it."""
        fresh = await self._generate()
        async with self._db.transaction() as tx:
            # Twenty processes may come at once: one of them does it, the others find it done.
            await signing_keys.lock_keys(tx)
            keys = await signing_keys.list_keys(tx)
            now = self._clock.now()
            if (signing := rules.signer_of(keys, self._policy.algorithm, now)) is not None:
                self._open(signing)  # a wrong master key is refused before anything is sealed with it
            await self._carry_out(tx, rotation.plan(keys, self._policy, now, rotates=rotates(keys)), fresh)
            current = rotation.current_of(await signing_keys.list_keys(tx), self._policy.algorithm)
        if current is None:
            raise Unavailable("there is no current signing key")
        return current

    async def _carry_out(self, tx: Transaction, plan: Plan, fresh: list[GeneratedKey]) -> None:
        events: list[AuditEvent] = []
        for key in plan.changes:
            await signing_keys.update_times(tx, key.kid, signs_from=key.signs_from, verifies_until=key.verifies_until)
            if key.verifies_until is None:
                events.append(self._audit.build(Event.KEY_ACTIVATED, kid=key.kid, signs_from=str(key.signs_from)))
            else:
                events.append(self._audit.build(Event.KEY_RETIRED, kid=key.kid, until=str(key.verifies_until)))
        for birth, made in zip(plan.births, fresh, strict=False):
            await signing_keys.insert_key(tx, self._row(made, birth))
            events.append(self._audit.build(Event.KEY_CREATED, kid=made.kid, algorithm=made.algorithm))
        await self._audit.record(tx, *events)

    def _is_due(self, keys: list[SigningKey]) -> bool:
        return rotation.is_due(keys, self._policy, self._clock.now())

    async def _catch_up_if_possible(self) -> None:
        with suppress(Unavailable):  # the job reads them when PostgreSQL is back: what was asked for is done
            await self.refresh()

    async def _generate(self) -> list[GeneratedKey]:
        """As many as a plan may ask for. Before any lock is held: an RSA key takes its time."""
        return [await asyncio.to_thread(rules.generate, self._policy.algorithm) for _ in range(2)]

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

    # --- The ring

    def _adopt(self, keys: list[SigningKey], read_at: float) -> None:
        now = self._clock.now()
        rows, keys = keys, list(rules.published(keys, now))
        if self._ring is None:  # a key that cannot be opened is noticed at the start, and not when it is to sign
            for key in keys:
                if key.verifies_until is None:
                    self._open(key)
        signing = rules.signer_of(keys, self._policy.algorithm, now)
        self._verifiers = self._recognised(keys, {row.kid for row in rows}, read_at)
        self._signers = {key.kid: self._signers.get(key.kid) or self._open(key) for key in (signing,) if key}
        jwks = msgspec.json.encode(rules.build_jwks(keys), order="deterministic")
        self._ring = KeyRing(
            read_at=read_at,
            able=self._signers[signing.kid] if signing else None,
            verifiers=self._verifiers,
            jwks=jwks,
            etag=f'"{sha256(jwks).hexdigest()[:32]}"',
        )
        self._metrics.signing_keys(
            (
                key.algorithm,
                rules.state_of(key, keys, now),
                key.created_at.timestamp(),
                end.timestamp() if (end := rotation.not_after(key, keys, self._policy)) else 0.0,
            )
            for key in keys
        )

    def _recognised(self, keys: list[SigningKey], rows: set[str], read_at: float) -> dict[str, Verifier]:
        """Those that are published, and those that have lost their row but lately."""
        listed = {k.kid: self._verifiers.get(k.kid) or Verifier.from_jwk(k.public_jwk) for k in keys}
        left = {kid: self._left.get(kid, read_at) for kid in self._verifiers.keys() - rows}
        self._left = {kid: since for kid, since in left.items() if read_at - since < LINGERING}
        return listed | {kid: self._verifiers[kid] for kid in self._left}

    def _open(self, key: SigningKey) -> Signer:
        return Signer.from_private_bytes(key.kid, self._master_key.open(key.kid, key.sealed_private, key.master_key_id))
