"""Clients that ask for authorization, and what they ask."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from authsvc.models import Client, GrantType, IntrospectionRight
from authsvc.protocol.authorization import AuthorizationRequest, parse_request
from authsvc.protocol.forms import Form, parse_query
from authsvc.protocol.recipients import find_recipient

CALLBACK = "https://client.example/cb"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
AUDIENCE = "https://api.example"
PASSWORD_LOGIN = "urn:example:password"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

CLIENT = Client(
    client_id="cli_1",
    name="a client",
    secret_digests=(bytes(32),),
    auth_method=None,
    grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
    scope=("openid", "profile", "email", "offline_access", "read"),
    audiences=(),
    serves=frozenset(),
    introspection=IntrospectionRight.OWN,
    first_party=False,
    created_at=NOW,
    disabled_at=None,
    redirect_uris=(CALLBACK,),
)
PARAMETERS = {
    "client_id": CLIENT.client_id,
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid",
    "state": "the state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def a_client(**changes: Any) -> Client:
    return replace(CLIENT, **changes)


def a_form(**changes: str | list[str] | None) -> Form:
    """A good request, but for the changes; None leaves a parameter out."""
    named = {name: value for name, value in (PARAMETERS | changes).items() if value is not None}
    return parse_query(urlencode(named, doseq=True).encode())


def parsed(form: Form, client: Client = CLIENT) -> AuthorizationRequest:
    """Both stages."""
    recipient = find_recipient(form, client)
    return parse_request(form, client, recipient, default_audience=AUDIENCE, acr_offered=(PASSWORD_LOGIN,))


def asked(client: Client = CLIENT, **changes: str | list[str] | None) -> AuthorizationRequest:
    return parsed(a_form(**changes), client)
