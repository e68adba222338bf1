"""Does a sector know its clients? At the address that a client names as its sector there is a list of redirect URIs: so
nobody can say of themselves that they are of a sector, and learn what it calls its users (DCR-09)."""

from authsvc.adapters.outbound import Outbound
from authsvc.errors import InvalidValue, OutboundFailed, OutboundRefused
from authsvc.models import Client
from authsvc.protocol.sectors import check_document

ACCEPT = "application/json"


class Sectors:
    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def check(self, client: Client) -> None:
        """Whether the sector that this client names, if it names one, lists all its redirect URIs.

        Raises:
            InvalidValue: it does not, or does not answer.
        """
        uri = client.sector_identifier_uri
        if uri is None:
            return
        try:
            answer = await self._outbound.get(uri, accept=ACCEPT)
            if answer.status != 200:
                raise OutboundFailed(f"status {answer.status}")
        except (OutboundRefused, OutboundFailed) as failure:
            raise InvalidValue(
                f"the sector_identifier_uri cannot be read: {failure.description}", pointer="/sector_identifier_uri"
            ) from failure
        check_document(answer.body, client.redirect_uris)
