"""Token texts that are not live tokens of ours, at every door that takes one (spec: ATK-01 to ATK-19, JWT-*).

Where it is the content that is wrong and not the signature, our own key has signed: so nothing but the content is left
to refuse it for.
"""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

import asyncpg
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authsvc.models import Client
from tests.house_of import ISSUER, House
from tests.web.forging import Forge, claims_of, decode, encode

Make = Callable[[Forge], str | bytes]

INACTIVE = b'{"active":false}'
EMAIL = "eve@example.com"


def mac(forge: Forge, key: bytes, algorithm: str = "HS256") -> str:
    """Signed with an HMAC, the key being whatever a library might be talked into."""
    signing_input = forge.signing_input({**forge.header, "alg": algorithm})
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return f"{signing_input}.{encode(hmac.digest(key, signing_input.encode(), digest))}"


def public(forge: Forge, encoding: Encoding, form: PublicFormat) -> bytes:
    return forge.public_key.public_bytes(encoding, form)


def pem(forge: Forge) -> bytes:
    return public(forge, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def cut(start: int, stop: int | None) -> Make:
    return lambda f: f.token[start:stop]


def segments(forge: Forge) -> tuple[str, str, str]:
    header, payload, signature = forge.token.split(".")
    return header, payload, signature


def flipped(forge: Forge, at: int) -> str:
    letter = "A" if forge.token[at] != "A" else "B"
    return forge.token[:at] + letter + forge.token[at + 1 :]


def der(forge: Forge) -> str:
    header, payload, signature = segments(forge)
    raw = decode(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{header}.{payload}.{encode(encode_dss_signature(r, s))}"


def loose_bits(forge: Forge) -> str:
    """The last letter of the signature with its unused bits set: the same bytes in a lax decoder."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(forge.token[-1]) + 1]
    return forge.token[:-1] + last


def nested(depth: int, opening: str, closing: str) -> Make:
    return lambda f: f.with_raw_claim("extra", f"{opening * depth}1{closing * depth}")


def header(**changes: Any) -> Make:
    return lambda f: f.with_header(**changes)


def claim(name: str, text: str) -> Make:
    return lambda f: f.with_raw_claim(name, text)


def unsigned(alg: str, *, kept: bool) -> Make:
    return lambda f: f"{f.signing_input({**f.header, 'alg': alg})}.{segments(f)[2] if kept else ''}"


def crit(value: Any) -> Make:
    return lambda f: f.ours(header=json.dumps({**f.header, "crit": value}).encode())


def twice(name: str, value: str) -> Make:
    """A payload that has a claim twice; a lax parser takes the last."""

    def make(forge: Forge) -> str:
        raw = json.dumps(forge.claims, separators=(",", ":"))
        return forge.ours(payload=f'{{"{name}":{value},{raw[1:]}'.encode())

    return make


def jwe(header: dict[str, Any], ciphertext: bytes) -> str:
    head = encode(json.dumps(header).encode())
    return f"{head}.{encode(bytes(40))}.{encode(bytes(12))}.{encode(ciphertext)}.{encode(bytes(16))}"


ATTACKER_JWK = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}

HOSTILE: dict[str, Make] = {
    # ATK-01, JWT-02: no algorithm
    **{
        f"alg {alg!r}, signature {'kept' if kept else 'empty'}": unsigned(alg, kept=kept)
        for alg in ("none", "None", "NONE", "nOnE", "", " none")
        for kept in (True, False)
    },
    "alg none and no kid": lambda f: f"{f.signing_input({'alg': 'none', 'typ': 'at+jwt'})}.",
    "alg none, two segments": lambda f: f.signing_input({"alg": "none", "typ": "at+jwt"}),
    "alg null": lambda f: f.with_header(alg=[None]),
    "alg a list": lambda f: f.with_header(alg=["ES256"]),
    "alg absent": lambda f: f.with_header(alg=None),
    "alg in lower case": lambda f: f.with_header(alg="es256"),
    "the signature left out": lambda f: f"{f.signing_input()}.",
    "a signature of zeros": lambda f: f"{f.signing_input()}.{encode(bytes(64))}",  # CVE-2022-21449
    "a signature of 63 bytes": lambda f: f"{f.signing_input()}.{encode(decode(segments(f)[2])[:63])}",
    "a signature of 65 bytes": lambda f: f"{f.signing_input()}.{encode(decode(segments(f)[2]) + bytes(1))}",
    "a signature in DER: JWT-14": der,
    # ATK-02, JWT-03: our public key as a secret
    "HS256 with our PEM": lambda f: mac(f, pem(f)),
    "HS256 with our PEM, stripped": lambda f: mac(f, pem(f).strip()),
    "HS256 with our PEM behind a blank": lambda f: mac(f, b" " + pem(f)),
    "HS256 with our PEM behind a BOM": lambda f: mac(f, b"\xef\xbb\xbf" + pem(f)),
    "HS256 with our DER": lambda f: mac(f, public(f, Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    "HS256 with our point": lambda f: mac(f, public(f, Encoding.X962, PublicFormat.UncompressedPoint)),
    "HS256 with our OpenSSH text": lambda f: mac(f, public(f, Encoding.OpenSSH, PublicFormat.OpenSSH)),
    "HS256 with our JWK": lambda f: mac(f, json.dumps(f.jwk).encode()),
    "HS256 with our JWK, compact": lambda f: mac(f, json.dumps(f.jwk, separators=(",", ":")).encode()),
    "HS256 with our x": lambda f: mac(f, decode(f.jwk["x"])),
    "HS384 with our PEM": lambda f: mac(f, pem(f), "HS384"),
    "HS512 with our PEM": lambda f: mac(f, pem(f), "HS512"),
    # ATK-03
    "HS256 with an empty key": lambda f: mac(f, b""),
    "HS256 with zeros": lambda f: mac(f, bytes(32)),
    "HS256 with our kid": lambda f: mac(f, f.signer.kid.encode()),
    "HS256 with a known word": lambda f: mac(f, b"secret"),
    # JWT-01: one key, one algorithm
    **{
        f"signed by us, and called {alg}": header(alg=alg)
        for alg in ("RS256", "PS256", "ES384", "ES256K", "EdDSA", "Ed25519", "HS256")
    },
    # ATK-04, JWT-04: a key of their own
    "signed by nobody we know": lambda f: f.theirs(),
    "their key in jwk": lambda f: f.theirs({**f.header, "jwk": ATTACKER_JWK}),
    "their key in jwk, and no kid": lambda f: f.theirs({"alg": "ES256", "typ": "at+jwt", "jwk": ATTACKER_JWK}),
    "their key in x5c": lambda f: f.theirs({**f.header, "x5c": ["MIIB"]}),
    "our key in jwk": lambda f: f.with_header(jwk=f.jwk),
    "our signature, and x5c": lambda f: f.with_header(x5c=["MIIB"]),
    "our signature, and x5t": lambda f: f.with_header(**{"x5t#S256": "AAAA"}),
    # JWT-05: the kid is a name and nothing else
    **{
        f"kid {str(kid)[:20]!r}": header(kid=kid)
        for kid in (
            "../../x",
            "' OR 1=1",
            "",
            " ",
            "x" * 129,
            "a\0b",
            "\ud800",
            "kïd",
            "__class__",
            5,
            True,
            ["kid"],
            {"kid": 1},
            1.5,
        )
    },
    "kid absent": lambda f: f.with_header(kid=None),
    "kid null": lambda f: f.ours(header=json.dumps({**f.header, "kid": None}).encode()),
    "kid in lower case": lambda f: f.with_header(kid=f.signer.kid.lower()),
    "kid and a letter more": lambda f: f.with_header(kid=f.signer.kid + "A"),
    "kid without its last letter": lambda f: f.with_header(kid=f.signer.kid[:-1]),
    # ATK-07, JWT-08: critical headers
    **{
        f"crit {json.dumps(value)}": crit(value)
        for value in (["bork"], [], "exp", 5, None, [["b64"]], {"b64": 1}, ["exp"], ["alg"], ["b64"])
    },
    "crit and what it names": lambda f: f.with_header(crit=["bork"], bork=True),
    # ATK-08: an unencoded payload
    "b64 false": lambda f: f.with_header(b64=False),
    "b64 true": lambda f: f.with_header(b64=True),
    "b64 false and crit": lambda f: f.with_header(b64=False, crit=["b64"]),
    "b64 false, the payload detached": lambda f: f"{encode(json.dumps({**f.header, 'b64': False}).encode())}..AAAA",
    "the payload detached": lambda f: f"{segments(f)[0]}..{segments(f)[2]}",
    "an unknown header": lambda f: f.with_header(zzz=1),
    "cty": lambda f: f.with_header(cty="JWT"),
    # JWT-06: names twice
    "alg twice": lambda f: f.ours(header=json.dumps(f.header)[:-1].encode() + b',"alg":"ES256"}'),
    "kid twice": lambda f: f.ours(header=b'{"kid":"x",' + json.dumps(f.header)[1:].encode()),
    "sub twice": twice("sub", '"usr_x"'),
    "exp twice": twice("exp", "1"),
    "aud twice": twice("aud", '"https://other.example"'),
    "gen twice": twice("gen", '{"c":0,"g":0}'),
    "an unknown claim twice": lambda f: f.with_raw_claim("extra", '{"a":1,"a":1}'),
    "a name twice, once escaped": twice("s\\u0075b", '"usr_x"'),
    # ATK-10: texts
    "a word": lambda f: "garbage",
    "one letter": lambda f: "a",
    "a blank": lambda f: " ",
    "two dots": lambda f: "..",
    "three letters": lambda f: "a.b.c",
    "a lone surrogate": lambda f: f.token.encode() + b"\xed\xa0\x80",
    "bytes that are no UTF-8": lambda f: f.token.encode() + b"\xff",
    "NUL in front": lambda f: "\0" + f.token,
    "NUL behind": lambda f: f.token + "\0",
    "a letter outside of ASCII": lambda f: f.token + "é",
    "letters that look like ours": lambda f: f.token.replace("e", "е"),
    "letters in full width": lambda f: f.token.translate({ord("e"): "ｅ"}),
    "a zero-width space": lambda f: f.token + "\u200b",
    "a line feed inside": lambda f: f.token.replace(".", ".\n", 1),
    "CRLF behind": lambda f: f.token + "\r\n",
    "CRLF in front": lambda f: "\r\n" + f.token,
    "a tab behind": lambda f: f.token + "\t",
    "a blank inside": lambda f: f.token.replace(".", ". ", 1),
    "four segments": lambda f: f.token + ".AAAA",
    "an empty fourth segment": lambda f: f.token + ".",
    "a dot in front": lambda f: "." + f.token,
    "the header alone": lambda f: segments(f)[0],
    "two segments": lambda f: ".".join(segments(f)[:2]),
    "JSON": lambda f: json.dumps({"payload": segments(f)[1], "signature": segments(f)[2]}),
    "the JSON serialization: JWT-09": lambda f: json.dumps(
        {"protected": segments(f)[0], "payload": segments(f)[1], "signature": segments(f)[2]}
    ),
    "in quotes": lambda f: f'"{f.token}"',
    "behind its scheme": lambda f: f"Bearer {f.token}",
    "twice": lambda f: f.token + f.token,
    "twice, with a comma": lambda f: f"{f.token},{f.token}",
    "percent-encoded twice": lambda f: f.token.replace(".", "%2E"),
    # JWT-09: one spelling of base64url
    "padding behind": lambda f: f.token + "=",
    "two paddings behind": lambda f: f.token + "==",
    "padding in the header": lambda f: f.token.replace(".", "=.", 1),
    "padding in the payload": lambda f: ".".join([*segments(f)[:2], ""]).removesuffix(".") + "=." + segments(f)[2],
    "the other alphabet": lambda f: f.token.replace("-", "+").replace("_", "/") + "+",
    "unused bits set": loose_bits,
    # ATK-11: sizes
    "a header over its length": lambda f: f.with_header(zzz="x" * 513),
    "a header of 8 KB": lambda f: f.with_header(zzz="x" * 8192),
    "a header of 64 KB": lambda f: f.with_header(zzz="x" * 65_536),
    "a payload of 8 KB": lambda f: f.with_claims(extra="x" * 8192),
    "a payload of 1 MB": lambda f: f.with_claims(extra="x" * 1_000_000),
    "60 thousand dots": lambda f: "." * 60_000,
    "4 million dots": lambda f: "." * 4_000_000,
    "one segment of 60 KB": lambda f: "A" * 60_000,
    "one segment of 16 MB": lambda f: "A" * 16_000_000,
    "a signature of 6 KB": lambda f: f"{f.signing_input()}.{'A' * 6000}",
    "8193 bytes": lambda f: f.token + "A" * (8193 - len(f.token)),
    # ATK-12: encrypted tokens
    "PBES2 with 2^31 rounds": lambda f: jwe(
        {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31, "p2s": "AAAA"}, bytes(64)
    ),
    "a zip bomb": lambda f: jwe({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}, bytes(4000)),
    "a JWE with our kid": lambda f: jwe({**f.header, "alg": "ECDH-ES", "enc": "A128GCM"}, bytes(64)),
    # ATK-14, of a token that can be read
    **{f"{n} letters too short": cut(0, -n) for n in (1, 2, 3, 4, 20)},
    "the first letter missing": cut(1, None),
    "a letter more": lambda f: f.token + "A",
    "a letter in front": lambda f: "A" + f.token,
    "in upper case": lambda f: f.token.upper(),
    "in lower case": lambda f: f.token.lower(),
    "a letter of the header changed": lambda f: flipped(f, 10),
    "a letter of the payload changed": lambda f: flipped(f, len(segments(f)[0]) + 30),
    "a letter of the signature changed": lambda f: flipped(f, len(f.token) - 20),
    "the segments reversed": lambda f: ".".join(reversed(segments(f))),
    "another payload under our signature": lambda f: (
        f"{f.signing_input(payload=f.claims | {'sub': 'usr_x'})}.{segments(f)[2]}"
    ),
    # ATK-16: payloads
    **{
        f"exp {text[:30]}": claim("exp", text)
        for text in (
            '"str"',
            '"9999999999"',
            "1e400",
            "-1e400",
            "Infinity",
            "-Infinity",
            "NaN",
            "true",
            "null",
            "[]",
            "{}",
            "-1",
            "0",
            "9" * 5000,
            "9007199254740993",
            "1e15",
            "0x7fffffff",
            "+1",
            "١",
        )
    },
    "exp absent": lambda f: f.with_claims(exp=None),
    **{f"iat {text}": claim("iat", text) for text in ('"1"', "NaN", "1e400", "true", "null", "-1", "[]")},
    "iat absent": lambda f: f.with_claims(iat=None),
    **{
        f"sub {text}": claim("sub", text)
        for text in (
            "5",
            "true",
            "null",
            '""',
            "[]",
            '["usr_x"]',
            '{"a":1}',
            '"\\ud800"',
            '"a\\u0000b"',
            '"\\n"',
            '"usr_ü"',
            '"' + "x" * 2049 + '"',
        )
    },
    "sub absent": lambda f: f.with_claims(sub=None),
    "sub is the client's: neither a user's token nor a client's": lambda f: f.with_claims(sub=f.claims["client_id"]),
    **{
        f"aud {text}": claim("aud", text)
        for text in ("5", "null", "[]", "[1,2]", '""', '[""]', '{"a":1}', '[["x"]]', f'["{ISSUER}/api/v1",1]')
    },
    "aud absent": lambda f: f.with_claims(aud=None),
    **{f"jti {text}": claim("jti", text) for text in ("5", "null", '""', "[]", '"a\\u0000b"', '"\\ud800"')},
    "jti absent": lambda f: f.with_claims(jti=None),
    "client_id absent": lambda f: f.with_claims(client_id=None),
    "client_id a number": lambda f: f.with_claims(client_id=5),
    **{
        f"gen {text}": claim("gen", text)
        for text in (
            "null",
            "{}",
            "[]",
            "5",
            '{"c":0,"g":0}',
            '{"c":0,"u":0}',
            '{"g":0,"u":0}',
            '{"c":"0","g":0,"u":0}',
            '{"c":-1,"g":0,"u":0}',
            '{"c":true,"g":0,"u":0}',
            '{"c":1e400,"g":0,"u":0}',
            '{"c":0.5,"g":0,"u":0}',
            '{"c":9007199254740993,"g":0,"u":0}',
            '{"c":0,"g":0,"u":null}',
            '{"c":0,"g":0,"u":0,"x":0}',
            '{"c":0,"c":9,"g":0,"u":0}',
        )
    },
    "gen absent": lambda f: f.with_claims(gen=None),
    "sid and grant_id absent": lambda f: f.with_claims(sid=None, grant_id=None),
    "sid null": lambda f: f.with_raw_claim("sid", "null"),
    "sid a number": lambda f: f.with_claims(sid=5),
    "scope malformed": lambda f: f.with_claims(scope="a  b"),
    "scope a list": lambda f: f.with_claims(scope=["profile"]),
    "auth_time a text": lambda f: f.with_claims(auth_time="1"),
    "amr a text": lambda f: f.with_claims(amr="pwd"),
    "the payload a list": lambda f: f.ours(payload=b"[]"),
    "the payload a list of our claims": lambda f: f.ours(payload=json.dumps([f.claims]).encode()),
    "the payload a number": lambda f: f.ours(payload=b"5"),
    "the payload null": lambda f: f.ours(payload=b"null"),
    "the payload a text": lambda f: f.ours(payload=b'"x"'),
    "the payload empty": lambda f: f.ours(payload=b""),
    "the payload no object": lambda f: f.ours(payload=b"{}"),
    "the payload behind a BOM": lambda f: f.ours(payload=b"\xef\xbb\xbf" + json.dumps(f.claims).encode()),
    "the payload in UTF-16: JWT-17": lambda f: f.ours(payload=json.dumps(f.claims).encode("utf-16")),
    "the payload no UTF-8": lambda f: f.ours(payload=json.dumps(f.claims).encode()[:-1] + b',"a":"\xff"}'),
    "the payload not ended": lambda f: f.ours(payload=json.dumps(f.claims).encode()[:-1]),
    "something behind the payload": lambda f: f.ours(payload=json.dumps(f.claims).encode() + b"{}"),
    "a comment in the payload": lambda f: f.ours(payload=b"/**/" + json.dumps(f.claims).encode()),
    "NUL behind the payload": lambda f: f.ours(payload=json.dumps(f.claims).encode() + b"\0"),
    "the header behind a BOM": lambda f: f.ours(header=b"\xef\xbb\xbf" + json.dumps(f.header).encode()),
    "the header a list": lambda f: f.ours(header=b"[]"),
    "the header nested": lambda f: f.ours(header=b"[" * 1500 + b"]" * 1500),
    "lists nested: a recursion": nested(1500, "[", "]"),
    "objects nested: a recursion": nested(1000, '{"":', "}"),
    "lists nested, not ended": lambda f: f.ours(payload=b"[" * 5000),
    "objects nested, not ended": lambda f: f.ours(payload=b'{"a":' * 1000),
    # ATK-17: times
    "exp five seconds ago": lambda f: f.with_claims(iat=f.claims["iat"] - 605, exp=f.claims["iat"] - 5),
    "exp an hour ago": lambda f: f.with_claims(iat=f.claims["iat"] - 4200, exp=f.claims["iat"] - 3600),
    "exp in 100 years": lambda f: f.with_claims(exp=f.claims["exp"] + 100 * 365 * 86400),
    "exp over the longest life": lambda f: f.with_claims(exp=f.claims["iat"] + 3601),
    "exp before iat": lambda f: f.with_claims(iat=f.claims["exp"], exp=f.claims["iat"]),
    "exp at iat": lambda f: f.with_claims(exp=f.claims["iat"]),
    "iat in the year 1970": lambda f: f.with_claims(iat=0),
    # ATK-18, JWT-12, JWT-13: other kinds of token
    **{
        f"typ {typ!r}": header(typ=typ)
        for typ in (
            "JWT",
            "jwt",
            "logout+jwt",
            "secevent+jwt",
            "token-introspection+jwt",
            "statuslist+jwt",
            "dpop+jwt",
            "oauth-authz-req+jwt",
            "client-authentication+jwt",
            "rt+jwt",
            "at+jwt ",
            "at",
            "",
            "application/",
            "application/jwt",
            "text/at+jwt",
            "x/application/at+jwt",
            "at+jwt; charset=utf-8",
            "at\u212bjwt",
            5,
            ["at+jwt"],
        )
    },
    "typ absent": lambda f: f.with_header(typ=None),
    "typ null": lambda f: f.ours(header=json.dumps({**f.header, "typ": None}).encode()),
    "an ID token": lambda f: f.ours(
        {**f.header, "typ": "JWT"},
        {k: f.claims[k] for k in ("iss", "sub", "exp", "iat", "auth_time")} | {"aud": "first-party", "nonce": "n"},
    ),
    "an ID token that is called an access token": lambda f: f.ours(
        payload={k: f.claims[k] for k in ("iss", "sub", "exp", "iat")} | {"aud": f.claims["client_id"]}
    ),
    "a client assertion": lambda f: f.ours(
        payload={"iss": "first-party", "sub": "first-party", "aud": ISSUER, "jti": "x", "exp": f.claims["exp"]}
    ),
    "a logout token": lambda f: f.ours(
        {**f.header, "typ": "logout+jwt"},
        f.claims | {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ),
    # ATK-19: issuers
    **{
        f"iss {iss!r}": claim("iss", json.dumps(iss))
        for iss in (
            f"{ISSUER}/",
            f"{ISSUER}/tenant",
            ISSUER[:-1],
            f"{ISSUER}0",
            ISSUER.upper(),
            ISSUER.replace("http", "https"),
            ISSUER.replace("127.0.0.1", "localhost"),
            f" {ISSUER}",
            f"{ISSUER}\0",
            f"{ISSUER}?x",
            "http://127.0.0.1",
            "8000",
            "http",
            "",
            "https://other.example",
            [ISSUER],
            5,
        )
    },
    "iss absent": lambda f: f.with_claims(iss=None),
}


@dataclass(frozen=True)
class Doors:
    """A user's live token, and all that may be done with it."""

    house: House
    gateway: Client
    forge: Forge
    connection: Any

    async def introspect(self, token: str | bytes) -> httpx2.Response:
        return await self._post("/oauth2/introspect", token, self.gateway)

    async def revoke(self, token: str | bytes) -> httpx2.Response:
        """By the client that the token was issued to: what is recognised is revoked."""
        return await self._post("/oauth2/revoke", token)

    async def me(self, token: str | bytes) -> httpx2.Response:
        value = b"Bearer " + _encoded(token)
        return await self.house.http.get("/api/v1/me", headers={b"authorization": value})

    async def _post(self, path: str, token: str | bytes, caller: Client | None = None) -> httpx2.Response:
        body = f"token={quote_from_bytes(_encoded(token), safe='')}"
        if caller is None:
            body += "&client_id=first-party"
        else:
            client_id, secret = self.house.basic(caller)
            body += f"&client_id={client_id}&client_secret={secret}"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await self.house.http.post(path, content=body, headers=headers)

    async def marks(self) -> int:
        """But those of the canary, which flies every fifteen seconds."""
        return int(
            await self.connection.fetchval("SELECT count(*) FROM auth.token_blacklist WHERE mark NOT LIKE 'j:canary%'")
        )


def _encoded(token: str | bytes) -> bytes:
    return token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
async def doors(shared: House) -> AsyncIterator[Doors]:
    gateway = await shared.client(introspection="any")
    await shared.user(EMAIL)
    token = await shared.log_in(EMAIL)
    keys = (await shared.http.get("/.well-known/jwks.json")).json()["keys"]
    signer = shared.flows.keys.ring.signer
    assert signer is not None
    forge = Forge(token, signer, next(key for key in keys if key["kid"] == signer.kid))
    connection = await asyncpg.connect(shared.settings.database_url)
    yield Doors(shared, gateway, forge, connection)
    await connection.close()


@pytest.mark.parametrize("case", HOSTILE)
async def test_no_door_takes_a_token_with(doors: Doors, case: str) -> None:
    token = HOSTILE[case](doors.forge)
    text = _encoded(token)

    introspected = await doors.introspect(token)
    if len(text) > 60_000:
        assert introspected.status_code == 413  # BIG
    elif b"\0" in text or _is_not_utf8(text):
        assert introspected.status_code == 400  # GEN-05: it never was a parameter
    else:
        assert (introspected.status_code, introspected.content) == (200, INACTIVE)

    revoked = await doors.revoke(token)
    assert revoked.status_code == introspected.status_code
    assert await doors.marks() == 0  # ATK-32, ATK-35: nothing is written

    if text.strip(b" "):
        refused = await doors.me(token)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def _is_not_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f.token,
        lambda f: f.ours(),
        lambda f: f.with_header(typ="AT+JWT"),
        lambda f: f.with_header(typ="application/at+jwt"),
        lambda f: f.with_header(typ="Application/At+Jwt"),
        lambda f: f.with_claims(extra={"a": [1, {"b": None}]}),
        lambda f: f.with_claims(exp=f.claims["iat"] + 3600),
        lambda f: f.with_claims(exp=f.claims["exp"] + 0.5),
        lambda f: f.with_claims(iat=f.claims["iat"] + 5),
        lambda f: f.with_claims(iat=f.claims["exp"] - 3600),
        lambda f: f.ours(payload=json.dumps(f.claims, indent=2).encode()),
    ],
    ids=[
        "as it was minted",
        "signed anew",
        "typ in upper case: JWT-13",
        "typ in full: JWT-13",
        "typ in full, in another case",
        "an unknown claim",
        "the longest life: ATK-17",
        "a broken exp: JWT-07",
        "iat five seconds ahead: a neighbour's clock",
        "iat as long ago as can be",
        "another layout of the JSON",
    ],
)
async def test_the_doors_are_open_for_what_is_right(doors: Doors, make: Callable[[Forge], str]) -> None:
    """Without this the refusals above would prove nothing."""
    token = make(doors.forge)
    assert (await doors.introspect(token)).json()["active"] is True
    assert (await doors.me(token)).status_code == 200


async def test_a_token_of_another_deployment_is_nothing_here(doors: Doors, house: House) -> None:  # ATK-20, JWT-11
    """The same issuer, the same audience, the same algorithm; even the same user and client. Another key."""
    await house.user(EMAIL)
    token = await house.log_in(EMAIL)
    assert claims_of(token)["iss"] == doors.forge.claims["iss"]
    assert (await doors.introspect(token)).content == INACTIVE
    assert (await doors.revoke(token)).status_code == 200
    assert (await doors.me(token)).status_code == 401
    assert await doors.marks() == 0


# The neighbour's clock may see these as current, so they can be revoked; here and now they are dead.
NOT_CURRENT: dict[str, Make] = {
    "exp now": lambda f: f.with_claims(jti="x", iat=f.claims["iat"] - 600, exp=f.claims["iat"]),
    "exp now, broken": lambda f: f.with_claims(jti="x", iat=f.claims["iat"] - 600, exp=f.claims["iat"] + 0.9),
    "iat in six seconds": lambda f: f.with_claims(jti="x", iat=f.claims["iat"] + 6),
    "iat in an hour": lambda f: f.with_claims(jti="x", iat=f.claims["iat"] + 3600, exp=f.claims["iat"] + 4200),
}


@pytest.mark.parametrize("case", NOT_CURRENT)
async def test_a_token_is_dead_before_and_after_its_time(doors: Doors, case: str) -> None:  # ATK-17, JWT-10
    token = NOT_CURRENT[case](doors.forge)
    assert (await doors.introspect(token)).content == INACTIVE
    assert (await doors.me(token)).status_code == 401


async def test_a_token_that_has_not_begun_is_dead(doors: Doors) -> None:  # INT-03, INT-05, JWT-10, ATK-17
    token = doors.forge.with_claims(nbf=doors.forge.claims["iat"] + 3600)
    assert (await doors.introspect(token)).content == INACTIVE
    assert (await doors.me(token)).status_code == 401


@pytest.mark.parametrize("member", ["jku", "x5u", "jwks_uri", "url"])
async def test_nobody_is_called_because_a_header_says_so(doors: Doors, member: str) -> None:  # ATK-05
    called: list[object] = []
    server = await asyncio.start_server(lambda reader, writer: called.append(writer), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"):
            for make in (doors.forge.ours, doors.forge.theirs):
                token = make({**doors.forge.header, member: f"http://{host}:{port}/jwks.json"})
                assert (await doors.introspect(token)).content == INACTIVE
                assert (await doors.revoke(token)).status_code == 200
                assert (await doors.me(token)).status_code == 401
        await asyncio.sleep(0.05)
        assert called == []


async def test_after_all_that_the_live_token_is_live(doors: Doors) -> None:
    assert (await doors.introspect(doors.forge.token)).json()["active"] is True
    assert (await doors.me(doors.forge.token)).status_code == 200
