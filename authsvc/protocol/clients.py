"""RFC 7591 §2, OpenID Connect Registration §2: what a client may be registered as."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict

from authsvc.errors import InvalidRedirectUri, InvalidScope, InvalidTarget, InvalidValue
from authsvc.models import (
    ApplicationType,
    AuthMethod,
    Client,
    ConsentPolicy,
    GrantType,
    IntrospectionRight,
    JsonObject,
    SubjectType,
)
from authsvc.protocol import client_keys
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.next_step import is_assured
from authsvc.protocol.outbound import is_outbound_uri
from authsvc.protocol.redirects import check_redirect_uri, is_web_page
from authsvc.protocol.resources import parse_resource
from authsvc.protocol.scopes import format_scope, parse_scope
from authsvc.protocol.sectors import check_sector

MAX_NAME = 200
MAX_REDIRECT_URIS = 50
MAX_MAX_AGE = 10 * 365 * 86400
_DEFAULT_GRANTS: dict[bool, tuple[GrantType, ...]] = {True: (GrantType.REFRESH_TOKEN,), False: ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """What an operator asks for."""

    name: str
    public: bool = False
    first_party: bool = False
    auth_method: AuthMethod | None = None
    grant_types: tuple[GrantType, ...] = ()
    scope: str = ""
    audiences: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    introspection: IntrospectionRight = IntrospectionRight.AUDIENCE
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = False
    application_type: ApplicationType = ApplicationType.WEB
    require_pkce: bool = True
    id_token_algorithm: str = "RS256"  # noqa: S105 - a name
    userinfo_algorithm: str | None = None
    introspection_algorithm: str = "RS256"
    consent: ConsentPolicy = ConsentPolicy.REMEMBER
    logo_uri: str | None = None
    client_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    default_max_age: int | None = None
    require_auth_time: bool = False
    jwks: JsonObject | None = None
    jwks_uri: str | None = None
    assertion_algorithm: str | None = None
    request_object_algorithm: str | None = None
    require_pushed_request: bool = False
    require_signed_request: bool = False
    subject_type: SubjectType = SubjectType.PUBLIC
    sector_identifier_uri: str | None = None


class SignInSettings(TypedDict, total=False):
    """What matters for a client that sends its users to the authorization endpoint, and its keys."""

    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    backchannel_logout_uri: str | None
    backchannel_logout_session_required: bool
    application_type: ApplicationType
    require_pkce: bool
    id_token_algorithm: str
    userinfo_algorithm: str | None
    introspection_algorithm: str
    consent: ConsentPolicy
    logo_uri: str | None
    client_uri: str | None
    policy_uri: str | None
    tos_uri: str | None
    default_max_age: int | None
    require_auth_time: bool
    jwks: JsonObject | None
    jwks_uri: str | None
    assertion_algorithm: str | None
    request_object_algorithm: str | None
    require_pushed_request: bool
    require_signed_request: bool
    subject_type: SubjectType
    sector_identifier_uri: str | None


class ClientChanges(SignInSettings, total=False):
    """What an operator may change later; what is not named stays."""

    name: str
    auth_method: AuthMethod | None
    grant_types: tuple[GrantType, ...]
    scope: str
    audiences: tuple[str, ...]
    serves: tuple[str, ...]
    introspection: IntrospectionRight


def build_client(
    registration: ClientRegistration, *, client_id: str, secret_digests: tuple[bytes, ...], now: datetime
) -> Client:
    """Raises InvalidValue: the registration contradicts itself, or names what is none of its kind."""
    if not registration.name.isprintable() or not 0 < len(registration.name) <= MAX_NAME:
        raise InvalidValue("the name must be printable text", pointer="/client_name")
    if registration.public and GrantType.CLIENT_CREDENTIALS in registration.grant_types:
        raise InvalidValue("a public client has no credentials to be granted tokens for", pointer="/grant_types")
    if registration.public != (registration.auth_method is AuthMethod.NONE) and (
        registration.public is False or registration.auth_method is not None
    ):
        raise InvalidValue(
            "public clients, and they alone, have the authentication method none",
            pointer="/token_endpoint_auth_method",
        )
    try:
        scope = parse_scope(registration.scope) if registration.scope else ()
        audiences = tuple(dict.fromkeys(parse_resource(each) for each in registration.audiences))
        serves = frozenset(parse_resource(each) for each in registration.serves)
    except (InvalidScope, InvalidTarget) as error:
        raise InvalidValue(error.description) from error
    _check_names(registration)
    made = Client(
        client_id=client_id,
        name=registration.name,
        secret_digests=secret_digests,
        auth_method=AuthMethod.NONE if registration.public else registration.auth_method,
        # Who logs users in wants to keep them logged in, unless it was told what it may do.
        grant_types=frozenset(registration.grant_types or _DEFAULT_GRANTS[registration.first_party]),
        scope=scope,
        audiences=audiences,
        serves=serves,
        introspection=registration.introspection,
        first_party=registration.first_party,
        created_at=now,
        disabled_at=None,
        secret_created_at=now if secret_digests else None,
        redirect_uris=tuple(dict.fromkeys(registration.redirect_uris)),
        post_logout_redirect_uris=tuple(dict.fromkeys(registration.post_logout_redirect_uris)),
        backchannel_logout_uri=registration.backchannel_logout_uri,
        backchannel_logout_session_required=registration.backchannel_logout_session_required,
        application_type=registration.application_type,
        require_pkce=registration.require_pkce,
        id_token_algorithm=registration.id_token_algorithm,
        userinfo_algorithm=registration.userinfo_algorithm,
        introspection_algorithm=registration.introspection_algorithm,
        consent=registration.consent,
        logo_uri=registration.logo_uri,
        client_uri=registration.client_uri,
        policy_uri=registration.policy_uri,
        tos_uri=registration.tos_uri,
        default_max_age=registration.default_max_age,
        require_auth_time=registration.require_auth_time,
        jwks=_check_keys(registration),
        jwks_uri=registration.jwks_uri,
        assertion_algorithm=registration.assertion_algorithm,
        request_object_algorithm=registration.request_object_algorithm,
        require_pushed_request=registration.require_pushed_request,
        require_signed_request=registration.require_signed_request,
        subject_type=registration.subject_type,
        sector_identifier_uri=registration.sector_identifier_uri,
    )
    _check_sign_in(made)
    _check_logout(made)
    check_sector(made)
    return made


def _check_names(registration: ClientRegistration) -> None:
    """What is named by letters: algorithms, pages, a number of seconds."""
    for algorithm, pointer in (
        (registration.id_token_algorithm, "/id_token_signed_response_alg"),
        (registration.userinfo_algorithm, "/userinfo_signed_response_alg"),
        (registration.introspection_algorithm, "/introspection_signed_response_alg"),
    ):
        if algorithm is not None and algorithm not in ALGORITHMS:
            raise InvalidValue(f"the algorithm is one of {', '.join(ALGORITHMS)}", pointer=pointer)
    for uri, pointer in (
        (registration.logo_uri, "/logo_uri"),
        (registration.client_uri, "/client_uri"),
        (registration.policy_uri, "/policy_uri"),
        (registration.tos_uri, "/tos_uri"),
    ):
        if uri is not None and not is_web_page(uri):
            raise InvalidValue("a page or picture of a client has an https URI", pointer=pointer)
    max_age = registration.default_max_age
    if max_age is not None and not 0 <= max_age <= MAX_MAX_AGE:
        raise InvalidValue("the age of a login is a number of seconds", pointer="/default_max_age")


def _check_keys(registration: ClientRegistration) -> JsonObject | None:
    """The keys as they are kept. Who proves itself by them, or is to sign with them, needs some."""
    for algorithm, pointer in (
        (registration.assertion_algorithm, "/token_endpoint_auth_signing_alg"),
        (registration.request_object_algorithm, "/request_object_signing_alg"),
    ):
        if algorithm is not None and algorithm not in client_keys.ALGORITHMS:
            raise InvalidValue(f"the algorithm is one of {', '.join(client_keys.ALGORITHMS)}", pointer=pointer)
    has_keys = registration.jwks is not None or registration.jwks_uri is not None
    if registration.public and has_keys:
        raise InvalidValue("a public client has no keys: it cannot keep one to itself", pointer="/jwks")
    if registration.jwks is not None and registration.jwks_uri is not None:
        raise InvalidValue("a client has either its keys or the address where they are", pointer="/jwks_uri")
    if registration.auth_method is AuthMethod.PRIVATE_KEY_JWT and not has_keys:
        raise InvalidValue("a client with the method private_key_jwt has keys", pointer="/jwks")
    if registration.require_signed_request and not has_keys:
        raise InvalidValue("a client that is to sign its requests has keys", pointer="/require_signed_request_object")
    if registration.jwks_uri is not None and not is_outbound_uri(registration.jwks_uri):
        raise InvalidValue("the keys of a client are at an https URI", pointer="/jwks_uri")
    try:
        return None if registration.jwks is None else client_keys.check_keys(registration.jwks)
    except ValueError as cause:
        raise InvalidValue(str(cause), pointer="/jwks") from cause


def _check_sign_in(client: Client) -> None:
    """What sends its users to the authorization endpoint needs somewhere to get them back."""
    _check_redirect_uris(client, client.redirect_uris, "/redirect_uris")
    if GrantType.AUTHORIZATION_CODE in client.grant_types and not client.redirect_uris:
        raise InvalidValue("a client with the grant authorization_code has a redirect URI", pointer="/redirect_uris")
    if client.is_public and not client.require_pkce:
        raise InvalidValue("a public client uses PKCE", pointer="/require_pkce")  # PKC-02
    if client.consent is ConsentPolicy.NEVER and not all(is_assured(client, uri) for uri in client.redirect_uris):
        raise InvalidValue(  # AUZ-14
            "users are asked for consent to a public client with a redirect URI that is not https, "
            "unless it is first party",
            pointer="/consent",
        )


def _check_logout(client: Client) -> None:
    """RP-Initiated Logout §3.1, Back-Channel Logout §2.2."""
    _check_redirect_uris(client, client.post_logout_redirect_uris, "/post_logout_redirect_uris")
    uri = client.backchannel_logout_uri
    if uri is not None and not is_web_page(uri):
        raise InvalidValue("a client is told of logouts at an https URI", pointer="/backchannel_logout_uri")  # BCL-03
    if client.backchannel_logout_session_required and uri is None:
        raise InvalidValue(
            "only a client that is told of logouts may want to be told of which session",
            pointer="/backchannel_logout_session_required",
        )


def _check_redirect_uris(client: Client, uris: tuple[str, ...], pointer: str) -> None:
    if len(uris) > MAX_REDIRECT_URIS:
        raise InvalidValue(f"a client has at most {MAX_REDIRECT_URIS} redirect URIs", pointer=pointer)
    for uri in uris:
        try:
            check_redirect_uri(uri, client.application_type)
        except InvalidRedirectUri as error:
            raise InvalidValue(error.description, pointer=pointer) from error


def change_client(client: Client, changes: ClientChanges) -> Client:
    """The client with what an operator changes of it. What it is, public or confidential, it stays.

    Raises:
        InvalidValue: as `build_client`, of the client as it would be.
    """
    present = ClientRegistration(
        name=client.name,
        public=client.is_public,
        first_party=client.first_party,
        auth_method=client.auth_method,
        grant_types=tuple(client.grant_types),
        scope=format_scope(client.scope),
        audiences=client.audiences,
        serves=tuple(client.serves),
        introspection=client.introspection,
        redirect_uris=client.redirect_uris,
        post_logout_redirect_uris=client.post_logout_redirect_uris,
        backchannel_logout_uri=client.backchannel_logout_uri,
        backchannel_logout_session_required=client.backchannel_logout_session_required,
        application_type=client.application_type,
        require_pkce=client.require_pkce,
        id_token_algorithm=client.id_token_algorithm,
        userinfo_algorithm=client.userinfo_algorithm,
        introspection_algorithm=client.introspection_algorithm,
        consent=client.consent,
        logo_uri=client.logo_uri,
        client_uri=client.client_uri,
        policy_uri=client.policy_uri,
        tos_uri=client.tos_uri,
        default_max_age=client.default_max_age,
        require_auth_time=client.require_auth_time,
        jwks=client.jwks,
        jwks_uri=client.jwks_uri,
        assertion_algorithm=client.assertion_algorithm,
        request_object_algorithm=client.request_object_algorithm,
        require_pushed_request=client.require_pushed_request,
        require_signed_request=client.require_signed_request,
        subject_type=client.subject_type,
        sector_identifier_uri=client.sector_identifier_uri,
    )
    asked = build_client(
        replace(present, **changes), client_id=client.client_id, secret_digests=(), now=client.created_at
    )
    return replace(
        asked,
        secret_digests=client.secret_digests,
        secret_created_at=client.secret_created_at,
        old_secret_expires_at=client.old_secret_expires_at,
        disabled_at=client.disabled_at,
    )
