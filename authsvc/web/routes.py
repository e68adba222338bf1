"""Every route, on one screen."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from authsvc.errors import NotFound
from authsvc.flows import Flows
from authsvc.protocol.accounts import (
    AppSession,
    CookieLoginRequest,
    LoginRequest,
    LoginResponse,
    PasswordChangeRequest,
    Profile,
    RegistrationRequest,
)
from authsvc.protocol.discovery import configuration_paths, metadata_paths
from authsvc.protocol.sealed_request import PARAMETERS
from authsvc.web import app_session, assets, forward_auth, introspect, me, token, wellknown
from authsvc.web.account import LOGOUT, show_overview
from authsvc.web.account_connections import end_connection, show_connections
from authsvc.web.account_password import change_password, show_password
from authsvc.web.account_sessions import end_sessions, show_sessions
from authsvc.web.at_once import Taker
from authsvc.web.authorize import CONSENT, LOGIN, authorize
from authsvc.web.consent import give_consent, show_consent
from authsvc.web.cors import Shared, Sites
from authsvc.web.end_session import CONFIRM, confirm, end_session, show_confirm
from authsvc.web.endpoint import ANY_METHOD, Endpoint, Handle, Resource
from authsvc.web.errors import Renderer, render_bearer, render_gateway, render_oauth, render_problem
from authsvc.web.login import login
from authsvc.web.login_page import log_in, show_login
from authsvc.web.logout_page import log_out, show_logout
from authsvc.web.middleware import Observer
from authsvc.web.pages.errors import render_page
from authsvc.web.pages.views import Room
from authsvc.web.par import push
from authsvc.web.request import wants_page
from authsvc.web.revoke import revoke
from authsvc.web.userinfo import userinfo
from authsvc.web.users import register


class Auth(StrEnum):
    """What a caller has to bring."""

    PUBLIC = "public"
    CLIENT = "client"
    """Client authentication; a public client names itself, where that is enough."""
    USER = "user"
    """A user's live access token."""


@dataclass(frozen=True, slots=True)
class Row:
    method: str
    path: str
    handle: Handle
    auth: Auth
    errors: Renderer
    takes: type | tuple[str, ...] | None = None
    """A JSON body of this type, or a form of these parameters."""
    gives: type | str | None = None
    """A JSON body of this type, or of the RFC that is named."""
    status: int = 200
    media_type: str = "application/json"
    """Of what it gives."""
    cors: bool = False
    """Scripts of the sites in `AUTHSVC_CORS_ORIGINS` may use it (GEN-11). Documents are readable from anywhere."""
    at_once: Callable[[Flows, Observer, str], Taker] | None = None
    """Who answers most of its requests without a task."""
    is_safe: bool = True
    """A GET that changes nothing, and goes for HEAD too."""


JSON, BEARER, GATEWAY, PROBLEM, PAGE = render_oauth, render_bearer, render_gateway, render_problem, render_page
CLIENT, USER, PUBLIC = Auth.CLIENT, Auth.USER, Auth.PUBLIC
HINTED = ("token", "token_type_hint")
TOKEN_REQUEST = ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "resource")

# fmt: off
OAUTH = (
    Row("POST", "/oauth2/introspect", introspect.introspect, CLIENT, JSON, HINTED, "RFC 7662 §2.2",
        at_once=introspect.AtOnce),
    Row("POST", "/oauth2/token", token.token, CLIENT, JSON, TOKEN_REQUEST, "RFC 6749 §5.1", cors=True,
        at_once=token.AtOnce),
    Row("POST", "/oauth2/revoke", revoke, CLIENT, JSON, HINTED, cors=True),
    Row("POST", "/oauth2/par", push, CLIENT, JSON, PARAMETERS, "RFC 9126 §2.2", 201, cors=True),
    Row("GET", "/oauth2/userinfo", userinfo, USER, BEARER, None, "OpenID Connect Core §5.3.2", cors=True),
    Row("POST", "/oauth2/userinfo", userinfo, USER, BEARER, None, "OpenID Connect Core §5.3.2", cors=True),
)
GATEWAYS = (
    # Proxies ask here, with the method of what they guard if they know no other. No program does, and the API is
    # described without it.
    Row(ANY_METHOD, "/oauth2/forward-auth", forward_auth.forward_auth, CLIENT, GATEWAY, status=204,
        at_once=forward_auth.AtOnce),
)
API = (
    Row("POST", "/api/v1/login", login, PUBLIC, PROBLEM, LoginRequest, LoginResponse, cors=True),
    Row("POST", "/api/v1/logout", me.log_out, USER, PROBLEM, status=204, cors=True),
    Row("POST", "/api/v1/users", register, PUBLIC, PROBLEM, RegistrationRequest, Profile, 201, cors=True),
    Row("GET", "/api/v1/me", me.profile, USER, PROBLEM, None, Profile, cors=True),
    Row("PATCH", "/api/v1/me/claims", me.change_claims, USER, PROBLEM, dict, Profile, cors=True),
    Row("POST", "/api/v1/me/password", me.change_password, USER, PROBLEM, PasswordChangeRequest, LoginResponse,
        cors=True),
    Row("POST", "/api/v1/me/logout-everywhere", me.log_out_everywhere, USER, PROBLEM, status=204, cors=True),
)
DOCUMENTS = (
    Row("GET", "/.well-known/jwks.json", wellknown.jwks, PUBLIC, PROBLEM, None, "RFC 7517 §5", 200, wellknown.JWK_SET,
        at_once=wellknown.jwks_at_once),
    Row("GET", "/openapi.json", wellknown.openapi, PUBLIC, PROBLEM, None, "OpenAPI 3.1"),
)
APPS = (
    # Pages of our own origin and of listed neighbours ask here with the cookie of a session.
    Row("POST", app_session.PATH, app_session.log_in, PUBLIC, PROBLEM, CookieLoginRequest, AppSession),
    Row("GET", app_session.PATH, app_session.show, PUBLIC, PROBLEM, None, AppSession),
    Row("DELETE", app_session.PATH, app_session.log_out, PUBLIC, PROBLEM, status=204),
    Row("POST", app_session.REFRESH, app_session.refresh, PUBLIC, PROBLEM, None, AppSession),
)
BROWSER = (
    # Where people come with a browser. No program asks here, and the API is described without it. For whoever is logged
    # in and has consented, each may answer with a code.
    Row("GET", "/oauth2/authorize", authorize, PUBLIC, PAGE, None, "a page", 200, "text/html", is_safe=False),
    Row("POST", "/oauth2/authorize", authorize, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", LOGIN, show_login, PUBLIC, PAGE, None, "a page", 200, "text/html", is_safe=False),
    Row("POST", LOGIN, log_in, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", CONSENT, show_consent, PUBLIC, PAGE, None, "a page", 200, "text/html", is_safe=False),
    Row("POST", CONSENT, give_consent, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", "/oauth2/logout", end_session, PUBLIC, PAGE, None, "a page", 200, "text/html", is_safe=False),
    Row("POST", "/oauth2/logout", end_session, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", CONFIRM, show_confirm, PUBLIC, PAGE, None, "a page", 200, "text/html", is_safe=False),
    Row("POST", CONFIRM, confirm, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", Room.OVERVIEW, show_overview, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", Room.SESSIONS, show_sessions, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("POST", Room.SESSIONS, end_sessions, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", Room.CONNECTIONS, show_connections, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("POST", Room.CONNECTIONS, end_connection, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", Room.PASSWORD, show_password, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("POST", Room.PASSWORD, change_password, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("GET", LOGOUT, show_logout, PUBLIC, PAGE, None, "a page", 200, "text/html"),
    Row("POST", LOGOUT, log_out, PUBLIC, PAGE, None, "a page", 200, "text/html"),
)
STATIC = (
    # What pages load. It is no part of the API, and not described with it.
    Row("GET", "/static/pages.css", assets.style, PUBLIC, PROBLEM, None, "CSS", 200, "text/css"),
    Row("GET", "/static/pages.js", assets.script, PUBLIC, PROBLEM, None, "JavaScript", 200, "text/javascript"),
    Row("GET", "/static/icon", assets.icon, PUBLIC, PROBLEM, None, "an image", 200, "image/svg+xml"),
)
WELL_KNOWN = "/.well-known/oauth-authorization-server"
METADATA = Row("GET", WELL_KNOWN, wellknown.metadata, PUBLIC, PROBLEM, None, "RFC 8414 §3.2",
               at_once=wellknown.metadata_at_once)
CONFIGURATION = Row("GET", "/.well-known/openid-configuration", wellknown.metadata, PUBLIC, PROBLEM, None,
                    "OpenID Connect Discovery §4.2", at_once=wellknown.metadata_at_once)
# fmt: on

ROWS = (*OAUTH, *API, *DOCUMENTS, METADATA, CONFIGURATION)
"""What programs use: all that `/openapi.json` describes."""


class _Exact(Route):
    """A path and no other. Starlette's own pattern ends in `$`, and so it takes the path with a `%0A` behind it: past
    whoever in front of us guards the path by its name (ATK-99)."""

    def __init__(self, path: str, endpoint: Resource | Shared) -> None:
        super().__init__(path, endpoint)
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z")


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    render = render_page if wants_page(scope) else render_problem
    await render(NotFound("there is nothing here"))(scope, receive, send)


def build_router(issuer_path: str, lifespan: Callable[[Any], Any], sites: Sites, apps: Sites) -> Router:
    """The routes, below the path of the issuer if it has one; the metadata where OAuth and OpenID Connect look. `apps`
    are the sites whose pages may ask with a cookie."""
    placed = _by_path(_place(issuer_path))
    routes = [_Exact(path, _resource([row for _, row in rows], sites, apps)) for path, rows in placed]
    # No redirects for a slash too many: a 307 would send credentials on (GEN-12).
    return Router(routes, redirect_slashes=False, default=_not_found, lifespan=lifespan)


def build_takers(issuer_path: str, flows: Flows, observer: Observer) -> dict[bytes, Taker]:
    """Those who answer at once, by their paths."""
    return {
        path.encode("ascii"): row.at_once(flows, observer, path)
        for path, row in _place(issuer_path)
        if row.at_once is not None
    }


def _place(issuer_path: str) -> list[tuple[str, Row]]:
    placed = [(issuer_path + row.path, row) for row in (*OAUTH, *GATEWAYS, *API, *APPS, *BROWSER, *STATIC, *DOCUMENTS)]
    placed += [(path, METADATA) for path in metadata_paths(issuer_path)]
    return placed + [(path, CONFIGURATION) for path in configuration_paths(issuer_path)]


def _by_path(placed: Sequence[tuple[str, Row]]) -> list[tuple[str, list[tuple[str, Row]]]]:
    return [(path, list(rows)) for path, rows in groupby(placed, key=lambda pair: pair[0])]


def _resource(rows: Sequence[Row], sites: Sites, apps: Sites) -> Resource | Shared:
    resource = Resource({row.method: Endpoint(row.handle, row.errors, row.is_safe) for row in rows})
    if any(row in APPS for row in rows):
        return Shared(resource, apps)
    return Shared(resource, sites) if any(row.cors for row in rows) else resource
