"""What the cookie of a session is worth to those behind a gateway: as much as an access token that a login gives."""

from authsvc.clock import Clock
from authsvc.flows.client_copies import ClientCopies
from authsvc.models import AccessToken, Session


class AppSessions:
    def __init__(self, copies: ClientCopies, clock: Clock, *, default_audience: str) -> None:
        self._copies = copies
        self._clock = clock
        self._default_audience = default_audience

    async def build_token(self, session: Session) -> AccessToken | None:
        """What stands in for an access token of this live session's. It is judged as one, never signed, and given to
        nobody. None: the session's client is gone since it was found.

        Raises:
            Unavailable: the store cannot be asked.
        """
        copy = await self._copies.find(session.client_id)
        if copy is None or copy.client.disabled_at is not None:
            return None
        return AccessToken(
            jti="",
            sub=session.sub,
            client_id=session.client_id,
            kid="",
            audience=copy.client.audiences or (self._default_audience,),
            scope=copy.client.scope,
            issued_at=int(self._clock.unix()),
            expires_at=int(session.expires_at.timestamp()),
            generations=session.generations,
            sid=session.sid,
            authenticated_at=int(session.authenticated_at.timestamp()),
            methods=session.methods,
        )
