"""RFC 8414 and OpenID Connect Discovery §3: the metadata, built from the same sets the endpoints enforce (MET-11)."""

from collections.abc import Sequence

from authsvc.models import AuthMethod, JsonObject, SubjectType
from authsvc.protocol import id_token
from authsvc.protocol.authorization import DISPLAYS, RESPONSE_TYPES, Prompt
from authsvc.protocol.claims import SCOPES, USER_CLAIMS
from authsvc.protocol.client_keys import ALGORITHMS as CLIENT_ALGORITHMS
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.pkce import METHODS
from authsvc.protocol.recipients import ResponseMode
from authsvc.protocol.scopes import OFFLINE_ACCESS, OPENID
from authsvc.protocol.token_request import EXCHANGED

CONFIDENTIAL_METHODS = (AuthMethod.BASIC, AuthMethod.POST, AuthMethod.PRIVATE_KEY_JWT)
"""What authenticates a client that has something to prove itself by."""


def build_metadata(
    issuer: str, languages: Sequence[str], *, requires_pushed: bool = False, requires_signed: bool = False
) -> JsonObject:
    """Only what is built and enforced, and nothing empty (RFC 8414 §3.2). One document for OAuth and OpenID Connect, so
    that they cannot say different things (MET-08). `languages` are those of the pages; the rest is what every client
    has to do."""
    confidential = [str(method) for method in CONFIDENTIAL_METHODS]
    # A public client redeems and refreshes, and takes back what it has; it introspects nothing.
    all_methods = [*confidential, str(AuthMethod.NONE)]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth2/authorize",
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "response_types_supported": list(RESPONSE_TYPES),
        "response_modes_supported": [str(mode) for mode in ResponseMode],
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": list(METHODS),
        "prompt_values_supported": [str(prompt) for prompt in Prompt],
        "display_values_supported": list(DISPLAYS),
        "ui_locales_supported": list(languages),
        "grant_types_supported": [str(grant) for grant in EXCHANGED],
        "token_endpoint_auth_methods_supported": all_methods,
        "token_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "introspection_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": all_methods,
        "revocation_endpoint_auth_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "end_session_endpoint": f"{issuer}/oauth2/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "userinfo_endpoint": f"{issuer}/oauth2/userinfo",
        "userinfo_signing_alg_values_supported": list(ALGORITHMS),
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "subject_types_supported": [str(each) for each in SubjectType],
        "scopes_supported": [OPENID, *SCOPES, OFFLINE_ACCESS],
        "claim_types_supported": ["normal"],
        "claims_supported": [*id_token.CLAIMS, *USER_CLAIMS],
        "acr_values_supported": list(id_token.ACR_VALUES),
        "claims_parameter_supported": True,
        "pushed_authorization_request_endpoint": f"{issuer}/oauth2/par",
        "require_pushed_authorization_requests": requires_pushed,
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": list(CLIENT_ALGORITHMS),
        "require_signed_request_object": requires_signed,
        # Said, because readers take it for true where it is not (ODI-03). A name of what was pushed is no address.
        "request_uri_parameter_supported": False,
    }


def metadata_paths(issuer_path: str) -> tuple[str, ...]:
    """Where the OAuth metadata stands: the well-known part is inserted before the issuer's path (RFC 8414 §3)."""
    return (f"/.well-known/oauth-authorization-server{issuer_path}",)


def configuration_paths(issuer_path: str) -> tuple[str, ...]:
    """Where OpenID Connect looks: behind the issuer's path (Discovery §4), or as OAuth does (RFC 8414 §5)."""
    name = "/.well-known/openid-configuration"
    return tuple(dict.fromkeys((issuer_path + name, name + issuer_path)))
