"""A service that is no better than it should be: as ours to begin with, and then it lies where a test wants it to."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsvc.demo.registration import Registration
from authsvc.demo.site import build_site

KEY, FOREIGN_KEY = (ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256"}) for kid in ("ours", "ours"))
HOME = "http://127.0.0.1:8090"
ACCESS, REFRESH, SECRET = "the-access-token", "the-refresh-token", "the-client-secret"


class Liar:
    """`claims`, `user`, `metadata`, `refreshed` and `token_answer` change what is told; None leaves a member out."""

    base = ""

    def __init__(self) -> None:
        self.be_honest()

    def be_honest(self) -> None:
        """And remember nothing."""
        self.nonce = ""
        self.claims: dict[str, Any] = {}
        self.user: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.refreshed: dict[str, Any] = {}
        self.token_answer: dict[str, Any] = {}
        self.key = KEY
        self.is_away = self.is_busy = False
        self.asked: list[dict[str, str]] = []
        """The forms that came to the token endpoint and to revocation."""
        self.revoked: set[str] = set()
        self.answer_slowly = 0.0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/jwks", self._jwks),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/introspect", self._introspect, methods=["POST"]),
                Route("/revoke", self._revoke, methods=["POST"]),
            ]
        )

    async def _configuration(self, _: Request) -> Response:
        told = {
            "issuer": self.base,
            "id_token_signing_alg_values_supported": ["ES256"],
            "jwks_uri": f"{self.base}/jwks",
        } | {
            f"{name}_endpoint": f"{self.base}/{path}"
            for name, path in (
                ("authorization", "authorize"),
                ("token", "token"),
                ("userinfo", "userinfo"),
                ("introspection", "introspect"),
                ("revocation", "revoke"),
            )
        }
        return _json(told | self.metadata)

    async def _jwks(self, _: Request) -> Response:
        return _json({"keys": [KEY.as_dict(private=False)]})

    async def _token(self, request: Request) -> Response:
        form = await self._form(request)
        self.asked.append(form)
        if self.is_away:
            return Response(status_code=503)
        if self.is_busy:
            return _json({"error": "slow_down"}, 429)
        now = int(time.time())
        claims = {"iss": self.base, "sub": "usr_ada", "aud": "website", "iat": now, "exp": now + 60}
        if form["grant_type"] == "refresh_token":
            await asyncio.sleep(self.answer_slowly)
            claims |= self.refreshed
            if form["refresh_token"] in self.revoked:
                return _json({"error": "invalid_grant"}, 400)
            self.revoked.add(form["refresh_token"])
        else:
            claims |= {"nonce": self.nonce} | self.claims
        left = {name: value for name, value in claims.items() if value is not None}
        told = {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 600}
        told["id_token"] = jwt.encode({"alg": "ES256", "kid": "ours"}, left, self.key)
        told["refresh_token"] = f"{REFRESH}-{len(self.asked)}"
        return _json(told | self.token_answer)

    async def _userinfo(self, _: Request) -> Response:
        if ACCESS in self.revoked:
            return Response(status_code=401)
        return _json({"sub": "usr_ada", "name": "Ada"} | self.user)

    async def _introspect(self, request: Request) -> Response:
        form = await self._form(request)
        return _json({"active": form["token"] not in self.revoked})

    async def _revoke(self, request: Request) -> Response:
        form = await self._form(request)
        self.asked.append(form)
        if self.is_away:
            return Response(status_code=503)
        self.revoked.add(form["token"])
        return Response()

    async def _form(self, request: Request) -> dict[str, str]:
        assert request.headers["authorization"].startswith("Basic ")
        return dict(parse_qsl((await request.body()).decode()))


def _json(told: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse({name: value for name, value in told.items() if value is not None}, status)


@asynccontextmanager
async def lying() -> AsyncIterator[Liar]:
    """On the loopback, as the website asks it there."""
    liar = Liar()
    server = uvicorn.Server(uvicorn.Config(liar.app(), port=0, lifespan="off", ws="none", log_level="warning"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    liar.base = f"http://{host}:{port}"
    yield liar
    server.should_exit = True
    await task


class Visit:
    """A browser at the website."""

    def __init__(self, liar: Liar, site: Any = None) -> None:
        self.liar = liar
        self.site = site or build_site(Registration(liar.base, "website", SECRET, f"{HOME}/callback"))
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.site), base_url=HOME)
        self.seen: list[httpx2.Response] = []
        self.http.event_hooks = {"response": [self._see]}

    async def _see(self, answer: httpx2.Response) -> None:
        self.seen.append(answer)

    async def depart(self) -> dict[str, str]:
        """What the service is asked."""
        answer = await self.http.get("/login")
        assert answer.status_code == 303, answer.text
        asked = {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        self.liar.nonce = asked["nonce"]
        return asked

    async def arrive(self, **told: str | None) -> httpx2.Response:
        """Back with this query, but for what it says."""
        query = {"code": "the-code", "iss": self.liar.base} | told
        return await self.http.get("/callback", params={name: value for name, value in query.items() if value})

    async def log_in(self) -> httpx2.Response:
        asked = await self.depart()
        return await self.arrive(state=asked["state"])

    async def page(self) -> str:
        return (await self.http.get("/")).text
