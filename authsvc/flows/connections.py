"""Which clients may use a user's account: they see it, and take it back."""

from authsvc.clock import Clock
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.revocations import Revocations
from authsvc.models import Client, Connection, Session
from authsvc.protocol.audit import Event
from authsvc.protocol.claims import scopes_behind
from authsvc.tables import authorization_codes, consents, grants
from authsvc.tables.db import Database


class Connections:
    def __init__(self, db: Database, copies: ClientCopies, revocations: Revocations, clock: Clock) -> None:
        self._db = db
        self._copies = copies
        self._revocations = revocations
        self._clock = clock

    async def list_all(self, session: Session) -> list[Connection]:
        """The clients that this session's user has allowed something, by name: as it is remembered, or by tokens that
        outlive sessions.

        Raises:
            Unavailable: the store cannot be asked.
        """
        allowed = await consents.list_consents(self._db, session.sub)
        offline = await grants.list_offline_grants(self._db, session.sub, self._clock.now())
        found = []
        for client_id in allowed.keys() | offline.keys():
            copy = await self._copies.find(client_id)
            if copy is None:  # deleted in this moment, and all this with it
                continue
            scope: set[str] = set()
            since = []
            if client_id in allowed:
                consent, at = allowed[client_id]
                scope |= consent.scope | set(scopes_behind(consent.claims, copy.client.scope))
                since.append(at)
            if client_id in offline:
                granted, at = offline[client_id]
                scope |= granted
                since.append(at)
            found.append(Connection(copy.client, _in_order(scope, copy.client), min(since)))
        return sorted(found, key=lambda each: (each.client.name.casefold(), each.client.client_id))

    async def end(self, session: Session, client_id: str) -> None:
        """Take back what this session's user has allowed this client. All tokens that came of it are dead when this
        returns, no code that is on its way is redeemed, and the client's next request is asked about anew.

        Raises:
            Unavailable: they may still be live; try again.
        """
        sub = session.sub
        async with self._revocations.revoke() as revoking:
            # In this order. Who writes down a code holds the consent, so none is written after; who redeems a code
            # holds that, so its grant is there to be ended.
            had_consent = await consents.delete_consent(revoking.tx, sub, client_id)
            await authorization_codes.end_codes_of(revoking.tx, sub, client_id, revoking.now)
            ended = await revoking.grants_of(sub, client_id)
            if had_consent or ended:
                revoking.note(Event.CONSENT_WITHDRAWN, sub=sub, client_id=client_id, sid=session.sid, grants=ended)


def _in_order(scope: set[str], client: Client) -> tuple[str, ...]:
    """As the client was registered for it, then what it has lost since."""
    return (*(each for each in client.scope if each in scope), *sorted(scope - set(client.scope)))
