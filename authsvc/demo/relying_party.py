"""A website's half of OpenID Connect, with Authlib: send users to log in, take them back, use what they come back with.

To copy. In production the only things that change are the four values of `Registration`.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc.errors import JoseError

from authsvc.demo.registration import Registration

SCOPE = "openid profile email offline_access"
"""Who the user is, what they are called, where to write to them; and a refresh token, which outlives their visit."""
TIMEOUT_S = 10.0
LEEWAY_S = 10  # clocks differ

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Departure:
    """A user who was sent to log in. Kept in the session of that browser, and used once."""

    state: str
    """Comes back unchanged, or the answer is not one to our question."""
    nonce: str = field(repr=False)
    """Stands in the ID token, or that was made for another login."""
    code_verifier: str = field(repr=False)
    """Without it a code that somebody overhears is worth nothing (PKCE)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login brings. None of it ever leaves the server: the browser has a cookie of ours, and nothing else."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    id_token: Claims
    """Read and checked."""
    scope: str
    expires_in: int


class LoginRefused(Exception):
    """There is no login; says why."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class ServiceAway(Exception):
    """The service does not answer, or not sensibly. It says nothing about the user: nobody is logged out by it."""


class TokenDead(Exception):
    """The service takes this token no longer."""


class RelyingParty:
    """Everything that is asked of the service. Every method raises ServiceAway."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        # A TLS context takes longer to make than most questions take to be answered.
        self._http: dict[str, Any] = {"verify": ssl.create_default_context(), "timeout": TIMEOUT_S}
        self._authsvc = OAuth().register(
            "authsvc",
            client_id=registration.client_id,
            client_secret=registration.client_secret,
            server_metadata_url=f"{registration.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", **self._http},
        )

    async def depart(self) -> tuple[str, Departure]:
        """Where to send the browser, and what to keep until it is back."""
        await self._metadata()
        made = await self._authsvc.create_authorization_url(self._registration.redirect_uri)
        return made["url"], Departure(made["state"], made["nonce"], made["code_verifier"])

    async def arrive(self, departure: Departure, answer: Mapping[str, str]) -> Tokens:
        """The browser is back at the redirect URI with this query, whose `state` was that of the departure.

        Raises:
            LoginRefused: the user has said no, or something is not as it must be.
        """
        if answer.get("iss") != self._registration.issuer:
            # Whoever talks to several services does not hand the code of one to another (RFC 9207).
            raise LoginRefused("wrong_issuer", "the answer comes from another service than the question went to")
        if "error" in answer:
            raise LoginRefused(answer["error"], answer.get("error_description", ""))
        metadata = await self._metadata()
        try:
            told = await self._authsvc.fetch_access_token(
                self._registration.redirect_uri, code=answer.get("code", ""), code_verifier=departure.code_verifier
            )
            return await self._read(told, metadata, nonce=departure.nonce)
        except OAuthError as error:
            raise LoginRefused(error.error, error.description or "") from error
        except httpx2.HTTPError as error:
            raise ServiceAway from error

    async def refresh(self, tokens: Tokens) -> Tokens:
        """New tokens for old. The old refresh token is used up: keep what is returned, and ask once at a time.

        Raises:
            TokenDead: the user has to log in again.
        """
        metadata = await self._metadata()
        try:
            told = await self._authsvc.fetch_access_token(
                grant_type="refresh_token", refresh_token=tokens.refresh_token
            )
            renewed = await self._read(told, metadata, before=tokens)
        except OAuthError as error:
            # Anything else (too many requests, say) is a matter of today, and no reason to log anybody out.
            raise (TokenDead if error.error == "invalid_grant" else ServiceAway) from error
        except LoginRefused as error:
            raise TokenDead from error
        except httpx2.HTTPError as error:
            raise ServiceAway from error
        if renewed.id_token["sub"] != tokens.id_token["sub"]:
            raise TokenDead
        return renewed

    async def _read(
        self, told: Mapping[str, Any], metadata: Claims, *, nonce: str | None = None, before: Tokens | None = None
    ) -> Tokens:
        """The answer of the token endpoint, with the ID token checked: signature, issuer, audience, times, nonce, and
        that it belongs to this access token. Authlib looks at the audience only if it is told what it has to be."""
        wanted = {
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": self._registration.client_id},
        }
        try:
            claims = await self._authsvc.parse_id_token(told, nonce, claims_options=wanted, leeway=LEEWAY_S)
            if claims is None:
                raise ValueError("there is no ID token")
            return Tokens(
                access_token=told["access_token"],
                refresh_token=told.get("refresh_token", None if before is None else before.refresh_token),
                id_token=dict(claims),
                scope=told.get("scope", SCOPE),
                expires_in=int(told["expires_in"]),
            )
        except (JoseError, ValueError, KeyError) as error:
            raise LoginRefused("bad_tokens", str(error)) from error

    async def find_user(self, tokens: Tokens) -> Claims:
        """What the service tells about the user (UserInfo).

        Raises:
            TokenDead: the access token is expired or revoked.
        """
        metadata = await self._metadata()
        bearer = {"Authorization": f"Bearer {tokens.access_token}"}
        async with httpx2.AsyncClient(**self._http) as http:
            answer = await _ask(http.get(metadata["userinfo_endpoint"], headers=bearer))
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            raise TokenDead
        told = _read_json(answer)
        if told.get("sub") != tokens.id_token["sub"]:
            raise TokenDead  # of another user: not to be mixed up with this one (OpenID Connect Core §5.3.4)
        return told

    async def introspect(self, token: str) -> Claims:
        """Whether a token is alive (`active`), and what it is good for; right from the moment a revocation returns."""
        metadata = await self._metadata()
        async with self._as_client() as client:
            return _read_json(await _ask(client.introspect_token(metadata["introspection_endpoint"], token=token)))

    async def revoke(self, token: str) -> None:
        """Dead everywhere when this returns; of a refresh token, all that it has brought."""
        metadata = await self._metadata()
        async with self._as_client() as client:
            answer = await _ask(client.revoke_token(metadata["revocation_endpoint"], token=token))
            if not answer.is_success:
                raise ServiceAway

    def _as_client(self) -> AsyncOAuth2Client:
        ours = self._registration
        return AsyncOAuth2Client(ours.client_id, ours.client_secret, **self._http)

    async def _metadata(self) -> Claims:
        """What the service says of itself, asked once. It has to be the one that was meant."""
        try:
            metadata: Claims = await self._authsvc.load_server_metadata()
        except (httpx2.HTTPError, ValueError) as error:
            raise ServiceAway from error
        if metadata.get("issuer") != self._registration.issuer:
            raise ServiceAway
        return metadata


async def _ask(asking: Any) -> httpx2.Response:
    try:
        answer: httpx2.Response = await asking
    except httpx2.HTTPError as error:
        raise ServiceAway from error
    return answer


def _read_json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        answer.raise_for_status()
        told = answer.json()
        if not isinstance(told, dict):
            raise ValueError("not an object")
    except (httpx2.HTTPError, ValueError) as error:
        raise ServiceAway from error
    return told
