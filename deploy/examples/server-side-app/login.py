"""What a website says to authsvc, with Authlib: to copy. In production the four values that `Service` is made with
change, and nothing else."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

SCOPE = "openid email offline_access orders"
ORDERS = "https://orders.example"
CLAIMS = '{"id_token": {"email": null}}'
"""To be told in the ID token itself, which saves asking UserInfo."""
SOON_S = 30
"""An access token that ends this soon is renewed before it is used."""
LOGOUT = {"http://schemas.openid.net/event/backchannel-logout": {}}
NEW_KEYS_S = 60
"""The keys are asked for again, at most this often, where a logout token names another: anybody may send one."""


@dataclass(frozen=True, slots=True)
class Departure:
    """What the answer is held to."""

    state: str
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(slots=True)
class Tokens:
    """Of one login. None of it leaves the server."""

    claims: dict[str, Any]
    """Of the ID token, which was read and checked: `sub` is whose login it is, `sid` which."""
    id_token: str = field(repr=False)
    """As it came: by it the service knows whose logout is wanted."""
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    ends_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """A refresh token is used once: of two requests at the same time one waits."""


class LoginRefused(Exception):
    """The user said no, or something is not as it must be."""


class LogoutRefused(Exception):
    """What came is not from the service, or is not about a logout."""


class SessionOver(Exception):
    """The service takes these tokens no longer."""


class ServiceAway(Exception):
    """It cannot be known now. Nobody is logged out by that."""


class Service:
    """Everything raises ServiceAway."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, *, redirect_uri: str) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._secret = client_secret
        self._redirect_uri = redirect_uri
        self._http: dict[str, Any] = {"verify": ssl.create_default_context(), "timeout": 10}
        self._asked_for_keys = 0.0
        self._authsvc = OAuth().register(
            "authsvc",
            client_id=client_id,
            client_secret=client_secret,
            server_metadata_url=f"{issuer}/.well-known/openid-configuration",
            client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", **self._http},
        )

    async def depart(self) -> tuple[str, Departure]:
        """Where to send the browser."""
        await self._metadata()
        made = await self._authsvc.create_authorization_url(self._redirect_uri, resource=ORDERS, claims=CLAIMS)
        return made["url"], Departure(made["state"], made["nonce"], made["code_verifier"])

    async def arrive(self, departure: Departure, answer: dict[str, str]) -> Tokens:
        """The browser is back. Raises LoginRefused."""
        if answer.get("state") != departure.state or answer.get("iss") != self._issuer:
            raise LoginRefused("this answers another question")  # CSRF, or another service's code (RFC 9207)
        if "error" in answer:
            raise LoginRefused(answer["error"])
        metadata = await self._metadata()
        try:
            told = await self._authsvc.fetch_access_token(
                self._redirect_uri, code=answer.get("code", ""), code_verifier=departure.code_verifier
            )
            # Authlib verifies the signature, the times and the nonce; of issuer and audience it has to be told.
            wanted = {"iss": metadata["issuer"], "aud": self._client_id}
            options = {name: {"essential": True, "value": value} for name, value in wanted.items()}
            claims = await self._authsvc.parse_id_token(told, departure.nonce, claims_options=options, leeway=10)
            ends_at = time.time() + told["expires_in"]
            return Tokens(dict(claims), told["id_token"], told["access_token"], told["refresh_token"], ends_at)
        except OAuthError as error:
            raise LoginRefused(error.error) from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise LoginRefused("the answer is not as it must be") from error
        except httpx2.HTTPError as error:
            raise ServiceAway from error

    async def call(self, tokens: Tokens, address: str) -> Any:
        """What an API tells this user. A token that it does not take any more is renewed, once. Raises SessionOver."""
        if tokens.ends_at < time.time() + SOON_S:
            await self._refresh(tokens, tokens.access_token)
        for is_last in (False, True):
            used = tokens.access_token
            async with httpx2.AsyncClient(**self._http) as http:
                try:
                    answer = await http.get(address, headers={"Authorization": f"Bearer {used}"})
                except httpx2.HTTPError as error:
                    raise ServiceAway from error
            if answer.is_success:
                return answer.json()
            if answer.status_code != httpx2.codes.UNAUTHORIZED:
                raise ServiceAway
            if not is_last:
                await self._refresh(tokens, used)
        raise SessionOver

    async def _refresh(self, tokens: Tokens, used: str) -> None:
        """New tokens in place of these, unless somebody has done it meanwhile. Raises SessionOver."""
        async with tokens.lock:
            if tokens.access_token != used:
                return
            await self._metadata()
            try:
                told = await self._authsvc.fetch_access_token(
                    grant_type="refresh_token", refresh_token=tokens.refresh_token, resource=ORDERS
                )
                tokens.access_token, tokens.refresh_token = told["access_token"], told["refresh_token"]
                tokens.ends_at = time.time() + told["expires_in"]
            except OAuthError as error:
                # Any other error is a matter of today, and no reason to log anybody out.
                raise (SessionOver if error.error == "invalid_grant" else ServiceAway) from error
            except (httpx2.HTTPError, ValueError, KeyError) as error:
                raise ServiceAway from error

    async def revoke(self, tokens: Tokens) -> None:
        """With the refresh token dies all that it has brought, everywhere, before this returns."""
        metadata = await self._metadata()
        async with AsyncOAuth2Client(self._client_id, self._secret, **self._http) as client:
            try:
                answer = await client.revoke_token(metadata["revocation_endpoint"], token=tokens.refresh_token)
            except httpx2.HTTPError as error:
                raise ServiceAway from error
        if not answer.is_success:
            raise ServiceAway

    async def build_logout(self, tokens: Tokens, back_to: str) -> str:
        """Where to send the browser so that its user is logged out there too, unasked, and comes back."""
        metadata = await self._metadata()
        asked = {"id_token_hint": tokens.id_token, "post_logout_redirect_uri": back_to}
        return f"{metadata['end_session_endpoint']}?{urlencode(asked)}"

    async def read_logout_token(self, text: str) -> str:
        """The `sid` of a login that is over, as the service says (OpenID Connect Back-Channel Logout §2.6). Raises
        LogoutRefused."""
        metadata = await self._metadata()
        wanted = {"iss": metadata["issuer"], "aud": self._client_id, "events": LOGOUT}
        options: dict[str, Any] = {name: {"essential": True, "value": value} for name, value in wanted.items()}
        options |= {name: {"essential": True} for name in ("iat", "exp", "jti", "sid")}
        try:
            token = await self._verify(text, metadata["id_token_signing_alg_values_supported"])
            jwt.JWTClaimsRegistry(leeway=10, **options).validate(token.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise LogoutRefused from error
        # By these it is told from every other token of the service.
        if token.header.get("typ") != "logout+jwt" or "nonce" in token.claims:
            raise LogoutRefused
        return str(token.claims["sid"])

    async def _verify(self, text: str, algorithms: list[str]) -> jwt.Token:
        """Raises JoseError, ValueError or TypeError."""
        try:
            return jwt.decode(text, await self._keys(), algorithms)
        except InvalidKeyIdError as error:
            if time.time() < self._asked_for_keys + NEW_KEYS_S:
                raise ServiceAway from error  # the service tries again, and then it may be known
        self._asked_for_keys = time.time()
        return jwt.decode(text, await self._keys(force=True), algorithms)

    async def _keys(self, *, force: bool = False) -> KeySet:
        try:
            return KeySet.import_key_set(await self._authsvc.fetch_jwk_set(force=force))
        except httpx2.HTTPError as error:
            raise ServiceAway from error

    async def _metadata(self) -> dict[str, Any]:
        """What the service says of itself, asked once."""
        try:
            metadata: dict[str, Any] = await self._authsvc.load_server_metadata()
        except (httpx2.HTTPError, ValueError) as error:
            raise ServiceAway from error
        if metadata.get("issuer") != self._issuer:
            raise ServiceAway
        return metadata
