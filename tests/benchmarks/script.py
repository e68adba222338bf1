"""What they say: the requests of every kind of traffic, byte for byte."""

import os
from collections.abc import Collection
from itertools import cycle, islice

import msgspec

from tests.benchmarks.cast import EMAIL, PASSWORD, RESOURCE, SERVICES, Cast, Credentials
from tests.benchmarks.traffic import Connection, Traffic, get, post, post_json

REVOKED = 100
"""Revoked tokens, at most: each is a commit."""
INTROSPECT, TOKEN, REVOKE = "/oauth2/introspect", "/oauth2/token", "/oauth2/revoke"


def write_script(cast: Cast, minting: Connection, ports: Collection[int], tokens: int) -> dict[str, Traffic]:
    """Tokens are minted by one service, and understood by all; those that are to be dead are revoked at each.

    `ports` are those of all."""
    form = {"grant_type": "client_credentials", "scope": "read", "resource": RESOURCE}
    wanted = [post(TOKEN, form, service) for service in cast.services]

    def obtain(service: int) -> str:
        _, body = minting.ask(wanted[service])
        return str(msgspec.json.decode(body)["access_token"])

    turns = list(islice(cycle(range(SERVICES)), tokens))
    active = [obtain(turn) for turn in turns]
    revoked = [(turn, obtain(turn)) for turn in turns[:REVOKED]]
    for port in ports:
        with Connection(port) as connection:
            for turn, token in revoked:
                connection.ask(post(REVOKE, {"token": token}, cast.services[turn]))
    garbage = [os.urandom(32).hex() for _ in turns]
    # Our header and claims, and a signature that is right for another token: as dear as a token that is none can be.
    signatures = [token.rpartition(".")[2] for token in active]
    forged = [
        token.rpartition(".")[0] + "." + signature
        for token, signature in zip(active, signatures[1:] + signatures[:1], strict=True)
    ]

    def introspect(texts: list[str], caller: Credentials) -> list[bytes]:
        return [post(INTROSPECT, {"token": text}, caller) for text in texts]

    asking, inactive = cast.resource_server, b'{"active":false}'
    return {
        "active": Traffic(introspect(active, asking), b'"active":true'),
        "revoked": Traffic(introspect([token for _, token in revoked], asking), inactive),
        "garbage": Traffic(introspect(garbage, asking), inactive),
        "forged": Traffic(introspect(forged, asking), inactive),
        "foreign": Traffic(introspect(active, cast.stranger), inactive),
        "token": Traffic(wanted, b'"access_token":"'),
        "login": Traffic([post_json("/api/v1/login", {"email": EMAIL, "password": PASSWORD})], b'"access_token":"'),
        "jwks": Traffic([get("/.well-known/jwks.json")], b'"keys":[{'),
        "get": Traffic([get("/")], b'"active":true'),
        "metadata": Traffic([get("/.well-known/oauth-authorization-server")], b'"introspection_endpoint":"'),
    }
