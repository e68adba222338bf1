"""Who is calling? The same answer for every endpoint that a client calls (RFC 6749 §2.3)."""

from authsvc.errors import InvalidClient
from authsvc.flows.client_copies import ClientCopies, ClientCopy
from authsvc.protocol.client_auth import ClientCredentials, check_authentication


class ClientAuth:
    def __init__(self, copies: ClientCopies) -> None:
        self._copies = copies

    async def authenticate(self, credentials: ClientCredentials) -> ClientCopy:
        """The authenticated client, which may be a public one that only named itself.

        Raises:
            InvalidClient: unknown, wrong, disabled: all the same.
            Unavailable: it cannot be known.
        """
        copy = await self._copies.find(credentials.client_id)
        check_authentication(None if copy is None else copy.client, credentials)
        if copy is None:
            raise InvalidClient
        return copy

    async def authenticate_confidential(self, credentials: ClientCredentials) -> ClientCopy:
        """As `authenticate`, for what a public client may not do at all.

        Raises:
            InvalidClient, Unavailable: as `authenticate`.
        """
        copy = await self.authenticate(credentials)
        if copy.client.is_public:
            raise InvalidClient
        return copy
