"""Tokens are minted here, once, for all grants and for login. Nothing is written for an access token."""

from dataclasses import dataclass, field
from datetime import datetime

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import Unavailable
from authsvc.flows.keys import SigningKeys
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken, Generations, Grant
from authsvc.protocol import access_token
from authsvc.protocol.jwt import Signer
from authsvc.protocol.revocation import key_mark
from authsvc.protocol.token_request import TokenResponse


@dataclass(frozen=True, slots=True)
class Authorization:
    """What was granted: to which client, for whom, for what, and under which numbers."""

    sub: str
    client_id: str
    scope: tuple[str, ...]
    audience: tuple[str, ...]
    generations: Generations
    grant_id: str | None = None
    sid: str | None = None
    authenticated_at: datetime | None = None
    methods: tuple[str, ...] = ()
    ends_at: datetime | None = None
    """No token outlives it."""
    refresh_token: str | None = field(default=None, repr=False)


def authorization_of(
    grant: Grant, *, scope: tuple[str, ...], audience: tuple[str, ...], refresh_token: str | None
) -> Authorization:
    """What a grant allows at this moment."""
    return Authorization(
        sub=grant.sub,
        client_id=grant.client_id,
        scope=scope,
        audience=audience,
        generations=grant.generations,
        grant_id=grant.grant_id,
        sid=grant.sid,
        authenticated_at=grant.authenticated_at,
        methods=grant.methods,
        ends_at=grant.expires_at,
        refresh_token=refresh_token,
    )


class Issuance:
    def __init__(
        self,
        keys: SigningKeys,
        revocations: Revocations,
        clock: Clock,
        entropy: Entropy,
        *,
        issuer: str,
        access_token_seconds: int,
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._seconds = access_token_seconds

    async def issue(self, authorization: Authorization) -> TokenResponse:
        """Mint an access token (RFC 9068).

        Raises:
            Unavailable: the keys or the store cannot be asked.
        """
        signer = await self._living_signer()
        issued_at = int(self._clock.unix())
        lifetime = self._seconds
        if authorization.ends_at is not None:
            lifetime = max(1, min(lifetime, int(authorization.ends_at.timestamp()) - issued_at))
        at = authorization.authenticated_at
        token = AccessToken(
            jti=mint_id(self._entropy),
            sub=authorization.sub,
            client_id=authorization.client_id,
            kid=signer.kid,
            audience=authorization.audience,
            scope=authorization.scope,
            issued_at=issued_at,
            expires_at=issued_at + lifetime,
            generations=authorization.generations,
            grant_id=authorization.grant_id,
            sid=authorization.sid,
            authenticated_at=None if at is None else int(at.timestamp()),
            methods=authorization.methods,
        )
        text = signer.sign(access_token.TYP, access_token.build_claims(token, self._issuer))
        return TokenResponse(text, lifetime, authorization.scope, authorization.refresh_token)

    async def _living_signer(self) -> Signer:
        """The signer of a ring that is fresh: that of an old one may have retired since. If its key was killed in the
        last second, the ring is read anew, so that nobody is given a token that is dead already."""
        await self._keys.catch_up()
        signer = self._keys.ring.signer
        mark = key_mark(signer.kid)
        if mark not in await self._revocations.find(mark):
            return signer
        await self._keys.read()
        fresh = self._keys.ring.signer
        if fresh.kid == signer.kid:
            raise Unavailable("no signing key is usable")
        return fresh
