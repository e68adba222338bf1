"""Authorization requests that clients have signed (RFC 9101)."""

from authsvc.clock import Clock
from authsvc.errors import InvalidRequestObject, RequestNotSupported
from authsvc.flows.client_keys import ClientKeys
from authsvc.models import Client
from authsvc.protocol.forms import Form
from authsvc.protocol.request_object import algorithms_of, build_form, parse_object


class RequestObjects:
    def __init__(self, keys: ClientKeys, clock: Clock, *, issuer: str) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer

    async def open(self, text: str, client: Client) -> Form:
        """The parameters that this client has signed, and no others.

        Raises:
            RequestNotSupported: the client has no keys to sign with.
            InvalidRequestObject: it did not sign this, or it is not for here and now.
            Unavailable: its keys cannot be fetched.
        """
        if not client.has_keys:
            raise RequestNotSupported("request objects are read of clients that have registered keys")
        jwt = parse_object(text, client, self._issuer, self._clock.now())
        if not await self._keys.has_signed(client, jwt, algorithms_of(client)):
            raise InvalidRequestObject("the request object is not signed by a key of the client")
        return build_form(jwt.claims)
