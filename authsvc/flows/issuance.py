"""Tokens are minted here, once, for all grants and for login. Nothing is written for them."""

from dataclasses import dataclass, field
from datetime import datetime

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import Unavailable
from authsvc.flows.keys import SigningKeys
from authsvc.flows.revocations import Revocations
from authsvc.flows.subjects import Subjects
from authsvc.models import AccessToken, Client, Generations, Grant, JsonObject
from authsvc.protocol import access_token, claims, id_token
from authsvc.protocol.id_token import IdToken
from authsvc.protocol.jwt import Signer
from authsvc.protocol.revocation import key_mark
from authsvc.protocol.scopes import OPENID
from authsvc.protocol.subjects import PLAIN, Names
from authsvc.protocol.token_request import TokenResponse
from authsvc.tables import users
from authsvc.tables.db import Database


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
    claims: JsonObject | None = None
    """Which claims were asked for one by one, as `protocol/claims.py` writes it."""
    opened_in: str | None = None
    """The session that it was given in, where the access token is not of it."""
    nonce: str | None = None
    """To be told in the ID token. A refresh has none."""
    refresh_token: str | None = field(default=None, repr=False)


def authorization_of(
    grant: Grant,
    *,
    scope: tuple[str, ...],
    audience: tuple[str, ...],
    refresh_token: str | None,
    nonce: str | None = None,
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
        claims=grant.claims,
        opened_in=grant.opened_in,
        nonce=nonce,
        refresh_token=refresh_token,
    )


class Issuance:
    def __init__(
        self,
        db: Database,
        keys: SigningKeys,
        revocations: Revocations,
        subjects: Subjects,
        clock: Clock,
        entropy: Entropy,
        *,
        issuer: str,
        access_token_seconds: int,
    ) -> None:
        self._db = db
        self._keys = keys
        self._revocations = revocations
        self._subjects = subjects
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._seconds = access_token_seconds

    async def issue(self, authorization: Authorization) -> TokenResponse:
        """Mint an access token (RFC 9068), and an ID token beside it where the scope has `openid`.

        Raises:
            InvalidClient: it is for a user of a client that is gone.
            Unavailable: the keys or the store cannot be asked.
        """
        client = await self._find_client(authorization)
        names = PLAIN if client is None else await self._subjects.names_for(client)
        relying_party = client if OPENID in authorization.scope else None
        id_algorithm = None if relying_party is None else relying_party.id_token_algorithm
        signer, id_signer = await self._living_signers(id_algorithm)
        token, text = self._mint(authorization, signer, names)
        id_text = None
        if relying_party is not None and id_signer is not None:
            profile = await self._find_profile(authorization, relying_party)
            id_text = self._mint_id_token(token, text, id_signer, authorization, profile, names)
        return _response(authorization, token, text, id_text)

    def find_signer(self) -> Signer | None:
        """What signs access tokens, as far as is known here. None: it has to be looked up, or nothing does."""
        return None if self._keys.are_overdue else self._keys.ring.able

    def issue_at_once(self, authorization: Authorization, signer: Signer) -> TokenResponse:
        """As `issue`, where there is nothing to wait for: an access token alone, and its key has not been killed."""
        return _response(authorization, *self._mint(authorization, signer, PLAIN))

    def _mint(self, authorization: Authorization, signer: Signer, names: Names) -> tuple[AccessToken, str]:
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
            pairwise_sub=names.pairwise_of(authorization.sub),
        )
        return token, signer.sign(access_token.TYP, access_token.build_claims(token, self._issuer, names.secret))

    async def sign(self, typ: str, claims: JsonObject, algorithm: str) -> str:
        """A JWT for a client, signed with this algorithm and no other.

        Raises:
            Unavailable: no key signs with it at this moment, or the store cannot be asked.
        """
        _, signer = await self._living_signers(algorithm)
        if signer is None:
            raise Unavailable("no key signs at this moment")
        return signer.sign(typ, claims, is_for_us=False)

    async def _find_client(self, authorization: Authorization) -> Client | None:
        """The client that gets tokens of a user. None: it gets its own, in which nobody is named."""
        generations = authorization.generations
        if generations.user is None:
            return None
        return await self._subjects.find_client(authorization.client_id, generations.client)

    # --- The ID token

    async def _find_profile(self, authorization: Authorization, client: Client) -> JsonObject:
        """The claims that are wanted in the ID token itself: only by name, for all that comes with a scope is told by
        UserInfo (IDT-07)."""
        if authorization.claims is None:
            return {}
        names = claims.asked_for(claims.read_document(authorization.claims).id_token, client.scope)
        user = await users.find_user(self._db, authorization.sub) if names else None
        return {} if user is None else claims.tell(user, names)

    def _mint_id_token(
        self,
        token: AccessToken,
        text: str,
        signer: Signer,
        authorization: Authorization,
        profile: JsonObject,
        names: Names,
    ) -> str:
        """It lives as long as the access token beside it. It names the session that the user logged in to, be the
        access token of none: by that name the client is told when the session ends (BCL-04)."""
        sid = token.sid or authorization.opened_in
        told = IdToken(
            issuer=self._issuer,
            sub=names.of_user(token.sub),
            client_id=token.client_id,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            authenticated_at=token.authenticated_at,
            methods=token.methods,
            sid=None if sid is None else names.of_session(sid),
            nonce=authorization.nonce,
        )
        built = id_token.build_claims(told, access_token=text, algorithm=signer.algorithm, profile=profile)
        return signer.sign(id_token.TYP, built, is_for_us=False)

    # --- The signers

    async def _living_signers(self, algorithm: str | None) -> tuple[Signer, Signer | None]:
        """That of the access tokens and, if one is named, that of another algorithm, where any signs with it. Of a ring
        that is fresh: one of an old ring may have retired since. If a key was killed in the last second, the keys are
        read anew, so that nobody is given a token that is dead already."""
        await self._keys.catch_up()
        signers = self._signers(algorithm)
        marks = [key_mark(signer.kid) for signer in signers if signer is not None]
        killed = await self._revocations.find(*marks)
        if not any(mark in killed for mark in marks):
            return signers
        await self._keys.read()
        signers = self._signers(algorithm)
        if any(key_mark(signer.kid) in killed for signer in signers if signer is not None):
            raise Unavailable("no signing key is usable")
        return signers

    def _signers(self, algorithm: str | None) -> tuple[Signer, Signer | None]:
        ring = self._keys.ring
        return ring.signer, None if algorithm is None else ring.find_signer(algorithm)


def _response(authorization: Authorization, token: AccessToken, text: str, id_text: str | None = None) -> TokenResponse:
    lifetime = token.expires_at - token.issued_at
    return TokenResponse(text, lifetime, authorization.scope, authorization.refresh_token, id_text)
