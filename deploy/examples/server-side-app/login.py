"""What a website says to authsvc, with Authlib: to copy. In production the four values that `Service` is made with
change, and nothing else."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc.errors import JoseError

SCOPE = "openid email offline_access orders"
ORDERS = "https://orders.example"
CLAIMS = '{"id_token": {"email": null}}'
"""To be told in the ID token itself, which saves asking UserInfo."""
SOON_S = 30
"""An access token that ends this soon is renewed before it is used."""


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
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    ends_at: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """A refresh token is used once: of two requests at the same time one waits."""


class LoginRefused(Exception):
    """The user said no, or something is not as it must be."""


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
            return Tokens(dict(claims), told["access_token"], told["refresh_token"], time.time() + told["expires_in"])
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

    async def _metadata(self) -> dict[str, Any]:
        """What the service says of itself, asked once."""
        try:
            metadata: dict[str, Any] = await self._authsvc.load_server_metadata()
        except (httpx2.HTTPError, ValueError) as error:
            raise ServiceAway from error
        if metadata.get("issuer") != self._issuer:
            raise ServiceAway
        return metadata
