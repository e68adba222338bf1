"""Every page in every state that it has."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from authsvc.web.pages.views import (
    Cause,
    ClientView,
    ConnectionsPage,
    ConnectionView,
    ConsentPage,
    ErrorPage,
    Form,
    FormPostPage,
    LoggedOutPage,
    LoginPage,
    LoginProblem,
    LogoutPage,
    Notice,
    OverviewPage,
    Page,
    PasswordPage,
    PasswordProblem,
    SessionsPage,
    SessionView,
)

LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 64 64'%3E%3Crect width='64' height='64' "
    "fill='%230b7a5b'/%3E%3Cpath d='M16 24h32l-4 24H20z' fill='%23fff'/%3E%3Cpath d='M24 24a8 8 0 0 1 16 0' "
    "fill='none' stroke='%23fff' stroke-width='4'/%3E%3C/svg%3E"
)
FOREIGN_LOGO = "https://cdn.shop.example/logo.png"
SHOP = ClientView(
    name="Corner Shop",
    logo=LOGO,
    homepage="https://shop.example/",
    policy="https://shop.example/privacy",
    terms="https://shop.example/terms",
)
PLAIN = ClientView(name="Notes")
LONG = ClientView(
    name="Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz-Verwaltungsportal der Landesregierung",
    policy="https://landesregierung.example/datenschutz",
)
EMAIL = "ada.lovelace@example.com"
LONG_EMAIL = "augusta-ada.king-countess-of-lovelace.the-first@analytical-engines.department-of-poetical-science.example"
SCOPES = ("openid", "profile", "email", "address", "phone", "offline_access")
OWN_SCOPES = ("orders:read", "https://api.example.com/auth/documents.read_and_write_everything.forever", "a" * 120)
CALLBACK = "https://shop.example/callback"
TOKENS = (("request", "eyJib3JuIjo" + "x" * 200), ("csrf", "q0yPj3m8bW7c4aZ6xN1oQeUuHsYI"))
LOGOUT = Form("/account/logout", TOKENS[1:])


def _at(month: int, day: int, hour: int, minute: int) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def _form(action: str) -> Form:
    return Form(action, TOKENS)


class State(NamedTuple):
    page: Page
    status: int = 200


_login = LoginPage(form=_form("/login"), client=SHOP, returns_to=CALLBACK)
_failed = replace(_login, username=EMAIL, problem=LoginProblem.WRONG)
_consent = ConsentPage(
    form=_form("/consent"), client=SHOP, returns_to=CALLBACK, email=EMAIL, scope=SCOPES[:3], may_switch=True
)
_overview = OverviewPage(
    email=EMAIL, logout=LOGOUT, name="Ada Lovelace", is_verified=True, since=_at(3, 1, 12, 0), sessions=3,
    connections=2, password_changed_at=_at(11, 3, 9, 30),
)  # fmt: skip
_here = SessionView(sid="s1", device="Firefox, Linux", address="203.0.113.7", since=_at(11, 22, 8, 5), is_current=True)
_sessions = SessionsPage(
    email=EMAIL,
    logout=LOGOUT,
    form=_form("/account/sessions"),
    sessions=(
        _here,
        SessionView(
            sid="s2", device="Safari, iPhone", client="Corner Shop", address="2001:db8:85a3::8a2e:370:7334",
            since=_at(11, 2, 21, 14), seen_at=_at(11, 21, 6, 59),
        ),
        SessionView(sid="s3", since=_at(10, 4, 17, 0)),
    ),
)  # fmt: skip
_connections = ConnectionsPage(
    email=EMAIL,
    logout=LOGOUT,
    form=_form("/account/connections"),
    connections=(
        ConnectionView(client_id="c1", name=SHOP.name, scope=SCOPES[:3], since=_at(5, 9, 10, 0)),
        ConnectionView(client_id="c2", name=PLAIN.name, scope=("openid", "offline_access"), since=_at(9, 30, 10, 0)),
    ),
)
_password = PasswordPage(email=EMAIL, logout=LOGOUT, form=_form("/account/password"), min_length=15)
_request_id = "3f2b8c0d9a7e4f61b5c2d8e0a1f3b7c9"

STATES: dict[str, State] = {
    "login": State(_login),
    "login-plain": State(replace(_login, client=None)),
    "login-no-logo": State(replace(_login, client=PLAIN, may_cancel=True)),
    "login-foreign-logo": State(replace(_login, client=replace(SHOP, logo=FOREIGN_LOGO))),
    "login-known": State(replace(_login, username=EMAIL)),
    "login-confirm": State(replace(_login, username=EMAIL, confirms=True, may_cancel=True)),
    "login-empty": State(replace(_failed, username="", problem=LoginProblem.EMPTY)),
    "login-wrong": State(_failed),
    "login-locked": State(replace(_failed, problem=LoginProblem.LOCKED, wait_seconds=840), 429),
    "login-expired": State(replace(_failed, problem=LoginProblem.EXPIRED)),
    "login-interrupted": State(replace(_login, client=None, problem=LoginProblem.INTERRUPTED)),
    "login-busy": State(replace(_failed, problem=LoginProblem.BUSY, wait_seconds=1), 503),
    "login-long": State(replace(_failed, client=LONG, username=LONG_EMAIL, may_cancel=True)),
    "consent": State(_consent),
    "consent-bare": State(replace(_consent, client=PLAIN, scope=(), may_switch=False)),
    "consent-app": State(replace(_consent, client=PLAIN, returns_to="com.example.notes:/callback")),
    "consent-expired": State(replace(_consent, has_expired=True)),
    "consent-long": State(replace(_consent, client=LONG, email=LONG_EMAIL, scope=SCOPES + OWN_SCOPES)),
    "form-post": State(
        FormPostPage(
            client=SHOP,
            form=Form("/callback", (("code", "SplxlOBeZQQYbYS6WxSbIA"), ("state", '"><&'), ("iss", "http://127.0.0.1"))),
        )
    ),
    "logout": State(LogoutPage(form=_form("/logout"), email=EMAIL)),
    "logout-client": State(LogoutPage(form=_form("/logout"), email=LONG_EMAIL, client=SHOP)),
    "logged-out": State(LoggedOutPage()),
    "logged-out-client": State(LoggedOutPage(client=SHOP)),
    "account": State(_overview),
    "account-new": State(
        replace(_overview, email=LONG_EMAIL, name="", is_verified=False, sessions=1, connections=0,
                password_changed_at=None)
    ),
    "account-changed": State(replace(_overview, notice=Notice.PASSWORD_CHANGED)),
    "sessions": State(_sessions),
    "sessions-one": State(replace(_sessions, sessions=(_here,), notice=Notice.OTHERS_ENDED)),
    "sessions-none": State(replace(_sessions, sessions=())),
    "sessions-expired": State(replace(_sessions, has_expired=True), 403),
    "sessions-many": State(
        replace(_sessions, more=51, notice=Notice.SESSION_ENDED, sessions=(_here, *(
            SessionView(sid=f"m{day}", device="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                        "Chrome/156.0.0.0 Safari/537.36", client=LONG.name, since=_at(10, day, 9, day))
            for day in range(1, 26)
        )))
    ),
    "connections": State(_connections),
    "connections-none": State(replace(_connections, connections=(), notice=Notice.DISCONNECTED)),
    "connections-long": State(
        replace(_connections, connections=tuple(
            ConnectionView(client_id=f"l{n}", name=client.name, scope=SCOPES + OWN_SCOPES, since=_at(1, 5, 0, 0))
            for n, client in enumerate((LONG, SHOP))
        ))
    ),
    "password": State(_password),
    **{
        f"password-{problem}": State(
            replace(_password, problem=problem, wait_seconds=61 if problem is PasswordProblem.LOCKED else 0)
        )
        for problem in PasswordProblem
    },
    **{
        f"error-{cause}".replace("_", "-"): State(ErrorPage(cause=cause, request_id=_request_id), status)
        for cause, status in {
            Cause.EXPIRED: 400, Cause.FOREIGN_FORM: 403, Cause.NOT_FOUND: 404, Cause.NOT_ALLOWED: 403, Cause.FAULT: 500,
        }.items()
    },
    "error-request": State(
        ErrorPage(
            cause=Cause.REQUEST, request_id=_request_id, client=SHOP, code="invalid_request",
            description="the redirect_uri is not one that the client has registered",
        ),
        400,
    ),
    "error-limited": State(ErrorPage(cause=Cause.LIMITED, request_id=_request_id, wait_seconds=600), 429),
    "error-busy": State(ErrorPage(cause=Cause.BUSY, request_id=_request_id, wait_seconds=1), 503),
}  # fmt: skip
