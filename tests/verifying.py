"""A verifier that is not ours: PyJWT, with a JWKS and nothing else."""

from typing import Any

import jwt

from tests.web.forging import claims_of

# The name that PyJWT has for it (RFC 8037); ours is that of RFC 9864.
_NAMES = {"Ed25519": "EdDSA"}


def verified(token: str, jwks: dict[str, Any], algorithm: str, *, typ: str | None = None) -> dict[str, Any]:
    """The claims of a token of this type, signed with this algorithm by one of these keys. Looks at no clock."""
    header = jwt.get_unverified_header(token)
    assert header["alg"] == algorithm
    assert typ is None or header["typ"] == typ
    jwk = next(each for each in jwks["keys"] if each["kid"] == header["kid"])
    assert jwk["alg"] == algorithm
    name = _NAMES.get(algorithm, algorithm)
    signing_input, _, signature = token.rpartition(".")
    key = jwt.PyJWK({**jwk, "alg": name}).key
    raw = jwt.utils.base64url_decode(signature)
    assert jwt.get_algorithm_by_name(name).verify(signing_input.encode(), key, raw)
    return claims_of(token)
