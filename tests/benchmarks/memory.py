"""How much a worker keeps of a token that it remembers."""

import asyncio
import gc
import tracemalloc
from time import time
from types import SimpleNamespace
from typing import Any

from authsvc.clock import SystemClock
from authsvc.entropy import SystemEntropy, mint_id
from authsvc.flows.recognition import Recognition
from authsvc.models import AccessToken, Generations
from authsvc.protocol import access_token
from authsvc.protocol import keys as key_rules
from authsvc.protocol.jwt import Signer, Verifier
from tests.benchmarks.cast import RESOURCE

ISSUER = "https://id.example"
TOKENS = 2_000


class _Keys:
    """Of one key, and never overdue."""

    def __init__(self, verifier: Verifier) -> None:
        self.ring = SimpleNamespace(verifiers={verifier.kid: verifier})

    async def catch_up(self) -> bool:
        return False


def remembered_bytes() -> dict[str, int]:
    """For one token of a client and one of a user: what Python allocates for it, its place in the table included."""
    key = key_rules.generate("ES256")
    signer, keys = Signer.from_private_bytes(key.kid, key.private_bytes), _Keys(Verifier.from_jwk(key.public_jwk))
    return {whose: asyncio.run(_measure(keys, signer, whose == "user")) for whose in ("client", "user")}


async def _measure(keys: Any, signer: Signer, is_user: bool) -> int:
    texts = [signer.sign(access_token.TYP, access_token.build_claims(_token(is_user), ISSUER)) for _ in range(TOKENS)]
    store: Any = None  # is never asked
    subjects: Any = SimpleNamespace(secret=None)
    recognition = Recognition(keys, store, subjects, SystemClock(), issuer=ISSUER, capacity=TOKENS)
    tracemalloc.start()
    try:
        for text in texts:
            await recognition.recognise(text)
        gc.collect()
        return round(tracemalloc.get_traced_memory()[0] / TOKENS)
    finally:
        tracemalloc.stop()


def _token(is_user: bool) -> AccessToken:
    """As the service mints them."""
    entropy, now = SystemEntropy(), int(time())
    return AccessToken(
        jti=mint_id(entropy),
        sub=mint_id(entropy) if is_user else "cli_orders",
        client_id="cli_orders",
        kid="",
        audience=(RESOURCE,),
        scope=("read", "write"),
        issued_at=now,
        expires_at=now + 600,
        generations=Generations(now, 0, now if is_user else None),
        grant_id=mint_id(entropy) if is_user else None,
        sid=mint_id(entropy) if is_user else None,
        authenticated_at=now if is_user else None,
        methods=("pwd",) if is_user else (),
    )
