"""OpenID Connect Core §3.1.2.3, §3.1.2.4: what has to happen before an authorization request is answered.

One decision, made anew whenever the user comes back to the authorization endpoint; no page sends a user to another.
"""

from datetime import datetime
from enum import StrEnum

from authsvc.errors import ConsentRequired, LoginRequired
from authsvc.models import Client, Consent, ConsentPolicy, Session
from authsvc.protocol.authorization import AuthorizationRequest, Prompt
from authsvc.protocol.claims import asked_for, claims_of_scope
from authsvc.protocol.redirects import is_claimed

_FRESH = frozenset({Prompt.LOGIN, Prompt.SELECT_ACCOUNT})
"""There is one account in a session: the page for logging in is where another is chosen."""


class Step(StrEnum):
    LOGIN = "login"
    CONSENT = "consent"
    ISSUE = "issue"


def next_step(
    asked: AuthorizationRequest,
    client: Client,
    *,
    born_at: datetime,
    session: Session | None,
    consent: Consent | None,
    allowed: bool,
    known_as: str | None,
    hinted_sub: str | None,
    now: datetime,
) -> Step:
    """What comes next for this request, which was first seen at `born_at`, in a browser with this session.

    `consent` is what this user allowed this client before; `allowed`, that the user of this session has now allowed
    this very request, on the page that showed it. `known_as` is what the client calls this user, and `hinted_sub` whom
    it means: the subject of a verified `id_token_hint`.

    Raises:
        LoginRequired: the next step were a login, and the user must not be asked (OID-03); or somebody else has logged
            in than the client knows (OID-05, OID-08).
        ConsentRequired: the next step were consent, and the user must not be asked.
    """
    is_silent = Prompt.NONE in asked.prompt
    if session is None or _wants_fresh_login(asked, session, born_at, now):
        if is_silent:
            raise LoginRequired("the user is not logged in, or not recently enough")
        return Step.LOGIN
    if _is_another(asked, known_as, hinted_sub):
        # Who has just logged in would only be asked again, and be the same.
        if is_silent or session.authenticated_at >= born_at:
            raise LoginRequired("another user is logged in")
        return Step.LOGIN
    if not allowed and _wants_consent(asked, client, consent):
        if is_silent:
            raise ConsentRequired("the user has not consented to this")
        return Step.CONSENT
    return Step.ISSUE


def _wants_fresh_login(asked: AuthorizationRequest, session: Session, born_at: datetime, now: datetime) -> bool:
    """A login since the request came is fresh, or nobody could ever answer a max_age of a second (OID-04)."""
    if session.authenticated_at >= born_at:
        return False
    if asked.prompt & _FRESH:
        return True
    # In whole seconds, as the client will count from `auth_time`.
    age = now - session.authenticated_at.replace(microsecond=0)
    return asked.max_age is not None and age.total_seconds() > asked.max_age


def _is_another(asked: AuthorizationRequest, known_as: str | None, hinted_sub: str | None) -> bool:
    wanted = asked.wanted_values("sub")
    return hinted_sub not in {None, known_as} or (bool(wanted) and known_as not in wanted)


def _wants_consent(asked: AuthorizationRequest, client: Client, consent: Consent | None) -> bool:
    if Prompt.CONSENT in asked.prompt or not is_assured(client, asked.recipient.redirect_uri):
        return True
    match client.consent:
        case ConsentPolicy.NEVER:
            return False
        case ConsentPolicy.REMEMBER:
            return consent is None or not covers(consent, consent_of(asked, client))
        case ConsentPolicy.ALWAYS:
            return True


def is_assured(client: Client, redirect_uri: str) -> bool:
    """Whether it is certain who gets the answer. A public client that is reached by what any program on the device can
    take for itself may be anybody who uses its name (AUZ-14): there nothing is given without asking, unless it is first
    party, by which the operator has decided otherwise."""
    return client.first_party or not client.is_public or is_claimed(redirect_uri)


def consent_of(asked: AuthorizationRequest, client: Client) -> Consent:
    """What a user allows who allows this request. Claims that this client is never told are no matter of consent."""
    return Consent(
        scope=frozenset(asked.scope),
        resources=frozenset(asked.resources),
        claims=asked_for(asked.claims.userinfo | asked.claims.id_token, client.scope),
    )


def covers(consent: Consent, wanted: Consent) -> bool:
    """Whether all that is wanted was allowed; a claim also by a scope that it comes with."""
    claims = consent.claims | claims_of_scope(consent.scope)
    return wanted.scope <= consent.scope and wanted.resources <= consent.resources and wanted.claims <= claims
