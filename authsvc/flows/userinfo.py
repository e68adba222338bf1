"""UserInfo (OpenID Connect Core §5.3): what a client may know of the user whose access token it holds."""

from authsvc.clock import Clock
from authsvc.errors import InsufficientScope, InvalidToken, MissingToken
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.issuance import Issuance
from authsvc.flows.recognition import Recognition
from authsvc.models import AccessToken, Client, JsonObject
from authsvc.protocol import claims as rules
from authsvc.protocol import id_token
from authsvc.protocol.access_token import shown_sub
from authsvc.protocol.scopes import OPENID
from authsvc.tables import grants, users
from authsvc.tables.db import Database


class UserInfo:
    def __init__(
        self,
        db: Database,
        recognition: Recognition,
        copies: ClientCopies,
        issuance: Issuance,
        clock: Clock,
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._db = db
        self._recognition = recognition
        self._copies = copies
        self._issuance = issuance
        self._clock = clock
        self._issuer = issuer
        self._audience = audience

    async def tell(self, text: str | None) -> JsonObject | str:
        """The claims about the user of this access token, or, for a client that wants them signed, a JWT of them.

        Raises:
            MissingToken: none came.
            InvalidToken: it is not live, or it is for other resources alone.
            InsufficientScope: it is live, and `openid` is not among its scopes.
            Unavailable: it cannot be known.
        """
        token = await self._authorize(text)
        copy = await self._copies.find(token.client_id)
        user = await users.find_user(self._db, token.sub)
        if copy is None or user is None or user.disabled_at is not None:
            raise InvalidToken("the access token is not valid here")
        names = rules.claims_of_scope(token.scope) | await self._asked_for(token, copy.client)
        claims = {"sub": shown_sub(token)} | rules.tell(user, names)
        algorithm = copy.client.userinfo_algorithm
        return claims if algorithm is None else await self._sign(claims, copy.client, algorithm)

    async def _authorize(self, text: str | None) -> AccessToken:
        if text is None:
            raise MissingToken("this needs an access token")
        known = await self._recognition.recognise(text)
        if known is None or not await self._recognition.is_live(known):
            raise InvalidToken("the access token is not valid here")
        if OPENID not in known.token.scope:
            raise InsufficientScope("the access token is not one of OpenID Connect", scope=OPENID)
        if self._audience not in known.token.audience:
            raise InvalidToken("the access token is not valid here")
        return known.token

    async def _asked_for(self, token: AccessToken, client: Client) -> frozenset[str]:
        """Claim by claim, with the authorization that the token comes from."""
        grant = None if token.grant_id is None else await grants.find_grant(self._db, token.grant_id)
        if grant is None or grant.claims is None:
            return frozenset()
        return rules.asked_for(rules.read_document(grant.claims).userinfo, client.scope)

    async def _sign(self, claims: JsonObject, client: Client, algorithm: str) -> str:
        """Without `exp`: so it passes nowhere for an ID token (§5.3.2)."""
        about = {"iss": self._issuer, "aud": client.client_id, "iat": int(self._clock.unix())}
        return await self._issuance.sign(id_token.TYP, claims | about, algorithm)
