"""What they say: the requests of every kind of traffic, byte for byte."""

import os
from collections.abc import Collection
from functools import partial
from itertools import chain, cycle, islice
from time import time

import msgspec

from authsvc.models import AccessToken, Generations
from authsvc.protocol import access_token
from authsvc.protocol import keys as key_rules
from authsvc.protocol.jwt import Signer
from tests.benchmarks.cast import EMAIL, PASSWORD, RESOURCE, SERVICES, Cast, Credentials
from tests.benchmarks.traffic import Chains, Connection, Load, Traffic, WrongAnswer, basic, get, post, post_json

REVOKED = 100
"""Revoked tokens, at most: each is a commit."""
FAMILIES = 16
"""Of refresh tokens: each is a login."""
INTROSPECT, TOKEN, REVOKE = "/oauth2/introspect", "/oauth2/token", "/oauth2/revoke"
FORWARD_AUTH = "/oauth2/forward-auth"
JWKS, METADATA = "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"
LOGIN = post_json("/api/v1/login", {"email": EMAIL, "password": PASSWORD})
MIXED = 100
"""Requests of the mixed load before the first comes again: 90 introspections, 4 tokens, 2 revocations, 3 JWKS, 1
metadata."""


def write_script(cast: Cast, minting: Connection, ports: Collection[int], tokens: int, issuer: str) -> dict[str, Load]:
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
    live = introspect(active, asking)
    # The same ones each time, for each has to be minted. A revocation that is repeated does all that it did before.
    revoke = [post(REVOKE, {"token": obtain(turn)}, cast.services[turn]) for turn in turns]
    mixed = islice(_mixed(live, wanted, revoke), MIXED * -(-len(live) // 90))
    return {
        "active": Traffic(live, b'"active":true'),
        "revoked": Traffic(introspect([token for _, token in revoked], asking), inactive),
        "unknown": Traffic(introspect(_unknown(len(turns), cast, issuer), asking), inactive),
        "garbage": Traffic(introspect(garbage, asking), inactive),
        "forged": Traffic(introspect(forged, asking), inactive),
        "foreign": Traffic(introspect(active, cast.stranger), inactive),
        "forward_auth": Traffic([_forward_auth(token, asking) for token in active], b"", 204),
        "token": Traffic(wanted, b'"access_token":"'),
        "revoke": Traffic(revoke, b""),
        "mixed": Traffic(list(mixed), b""),
        "login": Traffic([LOGIN], b'"access_token":"'),
        "get": Traffic([get("/")], b'"active":true'),
        **_document(minting, "jwks", JWKS, b'"keys":[{'),
        **_document(minting, "metadata", METADATA, b'"introspection_endpoint":"'),
    }


def begin_refreshing(connection: Connection) -> Chains:
    """Families of refresh tokens, of which each answer holds the next."""

    def follow(client_id: str, body: bytes) -> bytes:
        form = {"grant_type": "refresh_token", "client_id": client_id}
        return post(TOKEN, {**form, "refresh_token": msgspec.json.decode(body)["refresh_token"]}, None)

    answers = [connection.ask(LOGIN) for _ in range(FAMILIES)]
    if any(status != 200 for status, _ in answers):
        raise WrongAnswer("a login was refused")
    client_id = str(msgspec.json.decode(answers[0][1])["client_id"])
    return Chains([follow(client_id, body) for _, body in answers], partial(follow, client_id), b'"refresh_token":"')


def _mixed(live: list[bytes], wanted: list[bytes], revoke: list[bytes]) -> "chain[bytes]":
    """Each tenth request is no introspection."""
    asked, obtained, revoked = cycle(live), cycle(wanted), cycle(revoke)
    others = cycle("tjtrtjtrjm")

    def other(kind: str) -> bytes:
        match kind:
            case "t":
                return next(obtained)
            case "r":
                return next(revoked)
        return get(JWKS if kind == "j" else METADATA)

    return chain.from_iterable((*islice(asked, 9), other(kind)) for kind in others)


def _document(connection: Connection, name: str, path: str, needle: bytes) -> dict[str, Load]:
    """A document, and the question whether it is still the same."""
    _, headers, _ = connection.ask_for_all(get(path))
    unchanged = Traffic([get(path, f"If-None-Match: {headers['etag']}")], b"", 304)
    return {name: Traffic([get(path)], needle), f"{name}_304": unchanged}


def _forward_auth(token: str, gateway: Credentials) -> bytes:
    return get(
        FORWARD_AUTH, f"Authorization: Bearer {token}", f"Gateway-Authorization: {basic(gateway)}",
        f"Gateway-Audience: {RESOURCE}", "Gateway-Scope: read",
    )  # fmt: skip


def _unknown(many: int, cast: Cast, issuer: str) -> list[str]:
    """What another deployment under our name would have signed."""
    key, now = key_rules.generate("ES256"), int(time())
    signer = Signer.from_private_bytes(key.kid, key.private_bytes)

    def token(client_id: str) -> AccessToken:
        return AccessToken(
            jti=os.urandom(16).hex(), sub=client_id, client_id=client_id, kid="", audience=(RESOURCE,), scope=("read",),
            issued_at=now, expires_at=now + 3600, generations=Generations(0, 0),
        )  # fmt: skip

    clients = islice(cycle(client_id for client_id, _ in cast.services), many)
    return [signer.sign(access_token.TYP, access_token.build_claims(token(each), issuer)) for each in clients]
