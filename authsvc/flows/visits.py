"""Somebody wants to see a page of ours, or has been sent by an app of ours, and has to log in first."""

from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.protocol import sealed_visit
from authsvc.protocol.sealed_visit import Visit


class Visits:
    def __init__(self, secret: SealedSecret) -> None:
        self._secret = secret

    async def seal(self, visit: Visit) -> str:
        """What travels with the browser. Raises Unavailable."""
        return sealed_visit.seal(await self._secret.get(), visit)

    async def find(self, sealed: str | None) -> Visit | None:
        """None where it is anything else. Raises Unavailable."""
        return None if sealed is None else sealed_visit.open_sealed(await self._secret.get(), sealed)
