"""The ring of keys that each worker holds in memory: what signs, what verifies, what is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from authsvc.errors import Unavailable
from authsvc.models import SigningKey
from authsvc.protocol import keys as rules
from authsvc.protocol import rotation
from authsvc.protocol.jwt import Signer, Verifier
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.rotation import Policy

LINGERING = 60.0
"""Seconds for which a killed key is recognised still. Its mark makes every token of it inactive; and who revokes one of
them meanwhile is heard, though another worker may not have been told of the mark yet."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What one worker knows of the keys at one instant."""

    read_at: float
    able: Signer | None
    signers: Mapping[str, Signer]
    """By algorithm."""
    verifiers: Mapping[str, Verifier]
    hint_verifiers: Mapping[str, Verifier]
    """Those that verify, and those that have, as long as they are kept: an ID token that has expired says still whose
    it was. No killed one is among them."""
    jwks: bytes
    etag: str

    def is_read_since(self, moment: float) -> bool:
        """On the clock that never jumps."""
        return self.read_at > moment

    @property
    def signer(self) -> Signer:
        """What signs the access tokens.

        Raises:
            Unavailable: nothing does, between the kill of the last key that did and the settling of the next.
        """
        if self.able is None:
            raise Unavailable("no key signs at this moment")
        return self.able

    def find_signer(self, algorithm: str) -> Signer | None:
        """What signs with this algorithm and no other. Nothing does in the minutes after an upgrade that brought it,
        and between the kill of the last key that did and the settling of the next."""
        return self.signers.get(algorithm)


class RingMaker:
    """Makes rings of rows, and prepares each key once."""

    def __init__(self, master_key: MasterKey, policy: Policy, algorithm: str) -> None:
        self._master_key = master_key
        self._policy = policy
        self._algorithm = algorithm
        self._signers: dict[str, Signer] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._hint_verifiers: dict[str, Verifier] = {}
        self._left: dict[str, float] = {}
        """Since when a key that is still recognised is gone."""

    def make(self, rows: Sequence[SigningKey], now: datetime, read_at: float) -> KeyRing:
        """Raises ConfigurationError: the master key does not open what is to sign."""
        keys = rules.published(rows, now)
        signing = {each: rules.signer_of(keys, each, now) for each in self._policy.algorithms}
        able = rotation.signer_or_stand_in(keys, self._algorithm, self._policy, now)
        opened = {key.kid: self._signers.get(key.kid) or self.open(key) for key in (able, *signing.values()) if key}
        listed = {key.kid: self._verifiers.get(key.kid) or Verifier.from_jwk(key.public_jwk) for key in keys}
        known = self._hint_verifiers | listed
        self._hint_verifiers = {row.kid: known.get(row.kid) or Verifier.from_jwk(row.public_jwk) for row in rows}
        self._signers, self._verifiers = opened, listed | self._lingering({row.kid for row in rows}, read_at)
        jwks = msgspec.json.encode(rules.build_jwks(keys), order="deterministic")
        return KeyRing(
            read_at=read_at,
            able=opened[able.kid] if able else None,
            signers={algorithm: opened[key.kid] for algorithm, key in signing.items() if key},
            verifiers=self._verifiers,
            hint_verifiers=self._hint_verifiers,
            jwks=jwks,
            etag=f'"{sha256(jwks).hexdigest()[:32]}"',
        )

    def open(self, key: SigningKey) -> Signer:
        """Raises ConfigurationError: the master key does not open it."""
        return Signer.from_private_bytes(key.kid, self._master_key.open(key.kid, key.sealed_private, key.master_key_id))

    def _lingering(self, rows: set[str], read_at: float) -> dict[str, Verifier]:
        """Those that have lost their row, but lately."""
        left = {kid: self._left.get(kid, read_at) for kid in self._verifiers.keys() - rows}
        self._left = {kid: since for kid, since in left.items() if read_at - since < LINGERING}
        return {kid: self._verifiers[kid] for kid in self._left}
