"""RFC 8414: the metadata document, built from the same sets the endpoints enforce (MET-11)."""

from authsvc.models import AuthMethod, JsonObject
from authsvc.protocol.token_request import EXCHANGED

CONFIDENTIAL_METHODS = (AuthMethod.BASIC, AuthMethod.POST)
"""What authenticates a client that has a secret."""


def build_metadata(issuer: str) -> JsonObject:
    """Only what is built and enforced, and nothing empty (§3.2): `response_types_supported` comes with its first."""
    confidential = [str(method) for method in CONFIDENTIAL_METHODS]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "grant_types_supported": [str(grant) for grant in EXCHANGED],
        "token_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_methods_supported": confidential,
        "revocation_endpoint_auth_methods_supported": [*confidential, str(AuthMethod.NONE)],
    }


def metadata_paths(issuer_path: str) -> tuple[str, ...]:
    """Where the OAuth metadata stands: the well-known part is inserted before the issuer's path (RFC 8414 §3)."""
    return (f"/.well-known/oauth-authorization-server{issuer_path}",)
