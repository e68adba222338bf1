"""RFC 6749 §3.2: the token request, parsed once, and the checks every grant needs."""

from dataclasses import dataclass, field

from authsvc.errors import InvalidRequest, UnauthorizedClient, UnsupportedGrantType
from authsvc.models import Client, GrantType, JsonObject
from authsvc.protocol.forms import Form
from authsvc.protocol.resources import parse_resource
from authsvc.protocol.scopes import format_scope, parse_scope

EXCHANGED = (GrantType.AUTHORIZATION_CODE, GrantType.CLIENT_CREDENTIALS, GrantType.REFRESH_TOKEN)
"""The grant types that the token endpoint serves, and no other is advertised. A client may be allowed more."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    grant_type: GrantType
    scope: tuple[str, ...] | None
    """None: not asked, so all the client's."""
    resources: tuple[str, ...]
    refresh_token: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    code_verifier: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None

    def required_code(self) -> str:
        """Raises InvalidRequest when there is none."""
        if self.code is None:
            raise InvalidRequest("the parameter code is missing")
        return self.code

    def required_refresh_token(self) -> str:
        """Raises InvalidRequest when there is none."""
        if self.refresh_token is None:
            raise InvalidRequest("the parameter refresh_token is missing")
        return self.refresh_token


@dataclass(frozen=True, slots=True)
class TokenResponse:
    access_token: str
    expires_in: int
    scope: tuple[str, ...]
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)


def parse_grant_type(form: Form) -> GrantType:
    """What follows client authentication (TOK-03).

    Raises:
        InvalidRequest: `grant_type` is missing.
        UnsupportedGrantType: it is none of ours.
    """
    asked = form.required("grant_type")
    for grant_type in EXCHANGED:
        if grant_type == asked:
            return grant_type
    raise UnsupportedGrantType("this grant type is not supported")


def parse(form: Form) -> TokenRequest:
    """Read the whole request. That the client may use the grant type is looked at before (TOK-03).

    Raises:
        InvalidRequest, UnsupportedGrantType: as `parse_grant_type`.
        InvalidScope, InvalidTarget: `scope` or `resource` is malformed.
    """
    scope = form.one("scope")
    return TokenRequest(
        grant_type=parse_grant_type(form),
        scope=None if scope is None else parse_scope(scope),
        resources=tuple(parse_resource(each) for each in form.many("resource")),
        refresh_token=form.one("refresh_token"),
        code=form.one("code"),
        code_verifier=form.one("code_verifier"),
        redirect_uri=form.one("redirect_uri"),
    )


def check_grant_allowed(client: Client, grant_type: GrantType) -> None:
    """Raises UnauthorizedClient. Client credentials are for confidential clients alone (RFC 6749 §4.4)."""
    if grant_type not in client.grant_types or (grant_type is GrantType.CLIENT_CREDENTIALS and client.is_public):
        raise UnauthorizedClient("the client may not use this grant type")


def build_response(response: TokenResponse) -> JsonObject:
    """The members of RFC 6749 §5.1; the scope is always named (TOK-01)."""
    body: JsonObject = {
        "access_token": response.access_token,
        "token_type": "Bearer",
        "expires_in": response.expires_in,
        "scope": format_scope(response.scope),
    }
    if response.refresh_token is not None:
        body["refresh_token"] = response.refresh_token
    if response.id_token is not None:
        body["id_token"] = response.id_token
    return body
