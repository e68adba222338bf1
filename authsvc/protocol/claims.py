"""OpenID Connect Core §5: the claims about a user: what they look like, who may change them, and who is told of them.

What a scope shares and what may be asked for claim by claim (§5.5) are the same claims. Which of them a client can get
at all is bounded by the scopes that it is registered for, however it asks.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from authsvc.errors import InvalidValue
from authsvc.models import ClaimAsk, ClaimsRequest, JsonObject, User
from authsvc.protocol import claim_values
from authsvc.protocol.claim_values import Fault

MAX_BYTES = 4096
"""Of all that is kept about one user: a token that holds it stays below `jwt.MAX_TOKEN_BYTES`."""

SCOPES: Mapping[str, tuple[str, ...]] = {
    "profile": (
        "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
        "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}  # fmt: skip
"""Which claims a scope shares (§5.4)."""

USER_CLAIMS = tuple(claim for claims in SCOPES.values() for claim in claims)

_OF_ACCOUNT = frozenset({"sub", "email", "email_verified", "updated_at"})
_OF_OPERATOR = frozenset({"phone_number_verified"})


# --- Kept


def change_claims(kept: JsonObject, changes: JsonObject, *, by_user: bool) -> JsonObject:
    """What is kept about a user after a JSON merge patch (RFC 7396): null takes a claim away.

    A new telephone number is not verified, whatever the old one was.

    Raises:
        InvalidValue: no such claim, not a value for it, not to be changed by this way or by this person; or all of it
            together is too long. The pointer says which.
    """
    claims = dict(kept)
    for name, change in changes.items():
        if (fault := _find_refusal(name, by_user=by_user)) is not None:
            raise _refuse(name, fault)
        value = _merge_address(kept.get(name), change) if name == "address" else change
        if value is None:
            claims.pop(name, None)
        elif (fault := claim_values.find_fault(name, value)) is not None:
            raise _refuse(name, fault)
        else:
            claims[name] = value
    if claims.get("phone_number") != kept.get("phone_number") and "phone_number_verified" not in changes:
        claims.pop("phone_number_verified", None)
    if "phone_number_verified" in claims and "phone_number" not in claims:
        raise InvalidValue("phone_number_verified is said of a phone_number", pointer="/phone_number_verified")
    if len(msgspec.json.encode(claims)) > MAX_BYTES:
        raise InvalidValue(f"the claims are longer than {MAX_BYTES} bytes together")
    return claims


def _find_refusal(name: str, *, by_user: bool) -> Fault:
    if name in _OF_ACCOUNT:
        return "is not changed here"
    if name not in USER_CLAIMS:
        return "is no claim that is kept here"
    return "is for the operator to say" if by_user and name in _OF_OPERATOR else None


def _refuse(name: str, fault: str) -> InvalidValue:
    """A name that came is told again only if it could be one."""
    if not (name.isidentifier() and name.isascii() and len(name) <= 40):
        return InvalidValue(f"a member {fault}")
    return InvalidValue(f"{name} {fault}", pointer=f"/{name}")


def _merge_address(kept: object, change: object) -> object:
    if not isinstance(change, dict):
        return change
    merged = (kept if isinstance(kept, dict) else {}) | change
    return {name: value for name, value in merged.items() if value is not None} or None


# --- Told


def claims_of_scope(scope: Collection[str]) -> frozenset[str]:
    """The claims that these scopes share."""
    return frozenset(claim for name, claims in SCOPES.items() if name in scope for claim in claims)


def asked_for(asks: Mapping[str, ClaimAsk], allowed: Collection[str]) -> frozenset[str]:
    """The claims among those asked for that a client with these scopes may get. Whether they are essential and which
    value is wanted makes no difference to what is told of a user: it is the truth, or nothing (§5.5.1)."""
    return claims_of_scope(allowed) & asks.keys()


def scopes_behind(names: Collection[str], allowed: Collection[str]) -> tuple[str, ...]:
    """The scopes that share these claims, as far as they are allowed: in their words people are told what is asked for
    claim by claim."""
    return tuple(scope for scope, claims in SCOPES.items() if scope in allowed and not set(claims).isdisjoint(names))


def tell(user: User, names: Iterable[str]) -> JsonObject:
    """Those of the named claims that are known of the user, in the types of §5.1. What was kept before it was held to
    them is not told if it has another."""
    known = {name: value for name, value in user.claims.items() if claim_values.find_fault(name, value) is None}
    known |= {
        "email": user.email,
        "email_verified": user.email_verified,
        "updated_at": int((user.updated_at or user.created_at).timestamp()),
    }
    return {name: known[name] for name in sorted(names) if name in known}


# --- Remembered with a grant


def build_document(asked: ClaimsRequest) -> JsonObject | None:
    """What of a claims request is kept with its grant: that which matters later on. None when nothing does."""
    document = {
        place: {
            name: {"essential": ask.essential, "values": list(ask.values)}
            for name, ask in asks.items()
            if name in USER_CLAIMS
        }
        for place, asks in (("userinfo", asked.userinfo), ("id_token", asked.id_token))
    }
    return document if any(document.values()) else None


def read_document(document: JsonObject | None) -> ClaimsRequest:
    """What `build_document` wrote."""
    return msgspec.convert(document or {"userinfo": {}, "id_token": {}}, ClaimsRequest)
