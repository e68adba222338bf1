"""What the cookie of a session is worth to those behind a gateway: as much as an access token that a login gives."""

from authsvc.clock import Clock
from authsvc.errors import InvalidClient
from authsvc.flows.subjects import Subjects
from authsvc.models import AccessToken, Client, Session


class AppSessions:
    def __init__(self, subjects: Subjects, clock: Clock, *, default_audience: str) -> None:
        self._subjects = subjects
        self._clock = clock
        self._default_audience = default_audience

    async def build_token(self, session: Session) -> AccessToken | None:
        """What stands in for an access token of this live session's. It is judged as one, never signed, and given to
        nobody. None: the session's client is gone since it was found.

        Raises:
            Unavailable: the store cannot be asked.
        """
        client = await self._find_client(session)
        if client is None:
            return None
        names = await self._subjects.names_for(client)
        return AccessToken(
            jti="",
            sub=session.sub,
            client_id=session.client_id,
            kid="",
            audience=client.audiences or (self._default_audience,),
            scope=client.scope,
            issued_at=int(self._clock.unix()),
            expires_at=int(session.expires_at.timestamp()),
            generations=session.generations,
            sid=session.sid,
            authenticated_at=int(session.authenticated_at.timestamp()),
            methods=session.methods,
            pairwise_sub=names.pairwise_of(session.sub),
        )

    async def known_as(self, session: Session) -> str | None:
        """What the app calls the user of this live session. None: as in `build_token`. Raises Unavailable."""
        client = await self._find_client(session)
        return None if client is None else (await self._subjects.names_for(client)).of_user(session.sub)

    async def _find_client(self, session: Session) -> Client | None:
        try:
            client = await self._subjects.find_client(session.client_id, session.generations.client)
        except InvalidClient:
            return None
        return client if client.disabled_at is None else None
