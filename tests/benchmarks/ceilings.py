"""What the service is held against: applications that do next to nothing, each made by a factory."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl

from argon2 import PasswordHasher
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

_ANSWER = b'{"active":true}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))],
}
_BODY = {"type": "http.response.body", "body": _ANSWER}


def raw() -> ASGIApp:
    """The same answer to everything, and nothing read: what the server alone costs."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send(_START)
        await send(_BODY)

    return answer


def raw_verify() -> ASGIApp:
    """As `raw`, and one ES256 signature verified: the difference is what a signature costs at least."""
    signing, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    text = bytes(400)
    signature, verify = signing.sign(text, algorithm), signing.public_key().verify

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        verify(signature, text, algorithm)
        await send(_START)
        await send(_BODY)

    return answer


def argon2() -> ASGIApp:
    """As `raw`, and a password verified, at the cost and on as many threads as the service does it."""
    from authsvc.adapters.processors import count_processors  # not for the others: they hold nothing of ours

    hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
    threads = ThreadPoolExecutor(max(1, count_processors() - 1))
    password = "correct horse battery staple"
    stored = hasher.hash(password)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().run_in_executor(threads, hasher.verify, stored, password)
        await send(_START)
        await send(_BODY)

    return answer


def star_body() -> ASGIApp:
    """Starlette, a body that is read whole, the standard library's parser."""

    async def endpoint(request: Request) -> JSONResponse:
        form = dict(parse_qsl((await request.body()).decode()))
        return JSONResponse({"active": "token" in form})

    return _starlette(endpoint)


def star_form() -> ASGIApp:
    """Starlette as its manual has it."""

    async def endpoint(request: Request) -> JSONResponse:
        form = await request.form()
        return JSONResponse({"active": "token" in form})

    return _starlette(endpoint)


def _starlette(endpoint: object) -> ASGIApp:
    return Starlette(routes=[Route("/oauth2/introspect", endpoint, methods=["POST"])])  # type: ignore[arg-type]
