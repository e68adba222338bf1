"""What the service does: one story per file. This is the table of contents."""

from dataclasses import dataclass

from authsvc.flows.access import Access
from authsvc.flows.account import Account
from authsvc.flows.app_sessions import AppSessions
from authsvc.flows.audit_trail import AuditTrail
from authsvc.flows.authorization import AuthorizationRequests
from authsvc.flows.browser_sessions import BrowserSessions
from authsvc.flows.canary import Canary
from authsvc.flows.clients import Clients
from authsvc.flows.connections import Connections
from authsvc.flows.exchange import Exchange
from authsvc.flows.forward_auth import ForwardAuth
from authsvc.flows.hosted_login import HostedLogin
from authsvc.flows.housekeeping import Housekeeping
from authsvc.flows.introspection import Introspection
from authsvc.flows.keys import SigningKeys
from authsvc.flows.login import Login
from authsvc.flows.logout import LogoutRequests
from authsvc.flows.logout_notices import LogoutNotices
from authsvc.flows.master_key import MasterKeyExchange
from authsvc.flows.own_forms import OwnForms
from authsvc.flows.own_sessions import OwnSessions
from authsvc.flows.pushed_requests import PushedRequests
from authsvc.flows.registration import Registration
from authsvc.flows.revocation import Revocation
from authsvc.flows.service_tokens import ServiceTokens
from authsvc.flows.userinfo import UserInfo
from authsvc.flows.users import Users
from authsvc.flows.visits import Visits


@dataclass(frozen=True, slots=True)
class Flows:
    # Services
    exchange: Exchange
    """Exchange a grant for tokens."""
    service_tokens: ServiceTokens
    """The same for services, without a wait."""
    introspection: Introspection
    """Is this token live?"""
    forward_auth: ForwardAuth
    """The same for a gateway, of a token or a cookie: may this request pass?"""
    revocation: Revocation
    """Kill a token, or all of them."""
    keys: SigningKeys
    """What signs, what verifies, rotate, kill."""

    userinfo: UserInfo
    """Who is the user of this token?"""

    # People
    registration: Registration
    """A new user."""
    login: Login
    """A password opens a session."""
    authorization: AuthorizationRequests
    """A client sends a user: log in, consent, go back with a code."""
    pushed_requests: PushedRequests
    """What a client is going to ask for, told before its user comes."""
    logout: LogoutRequests
    """A client sends a user to be logged out: ask, or not; where to go on."""
    logout_notices: LogoutNotices
    """A session has ended: tell the clients in it."""
    visits: Visits
    """Somebody wants to see a page of ours: log in, go there."""
    forms: OwnForms
    """Is this a form that this browser was given?"""
    hosted_login: HostedLogin
    """A password, on a page of ours, opens a session."""
    browser_sessions: BrowserSessions
    """Whose cookie is this? A new password, logging out."""
    app_sessions: AppSessions
    """What is that cookie worth to an app?"""
    sessions: OwnSessions
    """Where is a user logged in? End it there."""
    connections: Connections
    """Which clients may use a user's account? Take it back."""
    access: Access
    """Whose live token is this, and is it meant for this API?"""
    account: Account
    """Look, change claims and password, log out, log out everywhere."""

    # Operators
    users: Users
    """Change claims, disable, enable, delete, revoke."""
    clients: Clients
    """Create, disable, enable, delete, new secret, revoke."""
    audit_trail: AuditTrail
    """What happened: read, sealed, inspected."""
    master_key: MasterKeyExchange
    """Seal everything with the new one."""
    housekeeping: Housekeeping
    """Delete what is over."""
    canary: Canary
    """Does everybody see what is revoked?"""
