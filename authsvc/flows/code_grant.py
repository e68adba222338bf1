"""The authorization code grant (RFC 6749 §4.1.3): a code is redeemed once, by whom it was made for."""

from hashlib import sha256
from typing import NoReturn

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import InvalidGrant, InvalidTarget
from authsvc.flows.client_copies import ClientCopy
from authsvc.flows.families import Families
from authsvc.flows.issuance import Authorization, authorization_of
from authsvc.models import AuthorizationCode, Client, Grant
from authsvc.protocol.authorization_code import NOT_VALID, check_bindings
from authsvc.protocol.resources import audience_of
from authsvc.protocol.scopes import OFFLINE_ACCESS
from authsvc.protocol.token_request import TokenRequest
from authsvc.tables import authorization_codes
from authsvc.tables.db import Database


class CodeGrant:
    def __init__(
        self, db: Database, families: Families, clock: Clock, entropy: Entropy, *, default_audience: str
    ) -> None:
        self._db = db
        self._families = families
        self._clock = clock
        self._entropy = entropy
        self._default_audience = default_audience

    async def authorize(self, client: ClientCopy, request: TokenRequest) -> Authorization:
        """Redeem a code. A request that does not match it consumes nothing and ends nothing (COD-01); one that matches,
        and comes again, ends all that came of the first (COD-04).

        Raises:
            InvalidRequest, InvalidGrant, InvalidTarget, Unavailable.
        """
        digest = sha256(request.required_code().encode("utf-8", "surrogatepass")).digest()
        code = check_bindings(
            await authorization_codes.find_code(self._db, digest),
            client_id=client.client.client_id,
            redirect_uri=request.redirect_uri,
            registered=client.client.redirect_uris,
            code_verifier=request.code_verifier,
        )
        # Never more than the client has today.
        scope = tuple(each for each in code.scope if each in client.client.scope)
        asked = self._asked(code, client.client, request.resources)
        audience = self._families.narrow(request.resources, self._families.audience_of(scope, asked))
        grant = None if code.consumed_at is not None else await self._redeem(code, scope, asked)
        if grant is None:
            await self._refuse(digest)
        return authorization_of(
            grant,
            scope=grant.scope,
            audience=audience,
            refresh_token=await self._families.refresh_token_of(grant) if OFFLINE_ACCESS in grant.scope else None,
            nonce=code.nonce,
        )

    def _asked(self, code: AuthorizationCode, client: Client, named: tuple[str, ...]) -> tuple[str, ...]:
        """What the grant is for: the resources that were asked for, or else the one that is named now (RSC-02)."""
        if not code.resources:
            return (audience_of(named, client.audiences, self._default_audience),)
        if not set(named) <= set(code.resources):
            raise InvalidTarget("the resource is not part of the grant")
        return code.resources

    async def _redeem(self, code: AuthorizationCode, scope: tuple[str, ...], audience: tuple[str, ...]) -> Grant | None:
        """None when somebody else was faster, or when it is over: by its time, its session, its user or its client."""
        grant_id = mint_id(self._entropy)
        async with self._db.transaction() as tx:
            consumed = await authorization_codes.consume_code(
                tx, code.digest, client_id=code.client_id, grant_id=grant_id, now=self._clock.now()
            )
            if consumed is None:
                return None
            return await self._families.open_by_code(tx, consumed, grant_id=grant_id, scope=scope, audience=audience)

    async def _refuse(self, digest: bytes) -> NoReturn:
        """Whether it was redeemed before is looked at anew: by somebody who was faster, perhaps."""
        code = await authorization_codes.find_code(self._db, digest)
        if code is not None:
            await self._families.end_reused(code)
        raise InvalidGrant(NOT_VALID)
