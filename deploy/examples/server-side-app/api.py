"""An API that takes access tokens of authsvc: to copy. It asks about each of them, and so a token that was revoked is
dead here by the next request."""

import os
import ssl

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ADDRESS = f"{os.environ['ORIGIN']}/api/orders"
SCOPE = "orders"
_http = httpx2.AsyncClient(
    auth=(os.environ["API_ID"], os.environ["API_SECRET"]), verify=ssl.create_default_context(), timeout=5
)


async def list_orders(request: Request) -> Response:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        answer = await _http.post(f"{os.environ['ISSUER']}/oauth2/introspect", data={"token": token})
        told = answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError):
        # It cannot be known now. 401 would say that the token is dead, and log the user out.
        return Response(status_code=503, headers={"Retry-After": "1"})
    if not told["active"]:  # or not for this API: this client is told of no other
        return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    if SCOPE not in told.get("scope", "").split():
        challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
        return Response(status_code=403, headers={"WWW-Authenticate": challenge})
    return JSONResponse([f"An order of {told['sub']}"])


app = Starlette(routes=[Route("/orders", list_orders)])
