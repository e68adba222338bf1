"""What clients call users. The secret of it is made once and never again: with another one every user would be somebody
else to every client that has pairwise subjects."""

from authsvc.errors import InvalidClient
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.models import Client, SubjectType
from authsvc.protocol.subjects import PLAIN, Names

SECRET_NAME = "pairwise subjects"  # noqa: S105 - a name


class Subjects:
    def __init__(self, copies: ClientCopies, secret: SealedSecret) -> None:
        self._copies = copies
        self._secret = secret

    async def names_for(self, client: Client) -> Names:
        """What this client calls users and their sessions. Asks the store the first time only, if at all.

        Raises:
            Unavailable: the store cannot be asked.
        """
        if client.subject_type is SubjectType.PUBLIC:
            return PLAIN
        return Names.of(client, await self._secret.get())

    async def find_client(self, client_id: str, generation: int) -> Client:
        """A client that is to be told of a user, as it is since it was granted something under this number, or later.

        Whoever changes what a client calls its users ends what it was granted before: so nobody who has not heard of
        the change yet tells a name of before with what was granted since.

        Raises:
            InvalidClient: it is gone.
            Unavailable: the store cannot be asked.
        """
        copy = await self._copies.find(client_id)
        if copy is not None and copy.generation < generation:
            copy = await self._copies.load(client_id)
        if copy is None:
            raise InvalidClient("the client is gone")
        return copy.client

    @property
    def secret(self) -> bytes | None:
        """What opens access tokens with a pairwise `sub`. None: it has to be fetched first."""
        return self._secret.at_hand

    async def fetch_secret(self) -> None:
        """Raises Unavailable: the store cannot be asked."""
        await self._secret.get()
