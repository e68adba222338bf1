"""What is measured. A row here is a case; `stage` says what its requests are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVICE = "authsvc"
RAW, STAR_BODY, STAR_FORM = "raw", "star_body", "star_form"
CEILINGS = (RAW, STAR_BODY, STAR_FORM)


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of one kind, sent to one application over so many connections."""

    name: str
    traffic: str
    connections: int = 64
    app: str = SERVICE
    against: tuple[str, ...] = CEILINGS
    """The ceilings that get the same load in the same round."""
    ceiling_traffic: str = "active"
    """What is sent to them."""
    goals: Mapping[str, float] = field(default_factory=dict)
    """At least this many times as cheap as that ceiling: told in the report, and a failure of nothing."""


# fmt: off
CASES = (
    Case("introspect active, 1 connection", "active", 1),
    Case("introspect active, 16 connections", "active", 16),
    Case("introspect active, 64 connections", "active", 64, goals={STAR_FORM: 1.4}),
    Case("introspect revoked", "revoked"),
    Case("introspect garbage", "garbage"),
    Case("introspect forged", "forged"),
    Case("introspect another's token", "foreign"),
    Case("client_credentials, ES256", "token", goals={STAR_FORM: 0.5}),
    Case("JWKS", "jwks", against=(RAW,), ceiling_traffic="get", goals={RAW: 0.9}),
    Case("metadata", "metadata", against=(RAW,), ceiling_traffic="get", goals={RAW: 0.9}),
)
# fmt: on


def ceiling_of(case: Case, app: str) -> Case:
    """The case that is the measure of `case`."""
    kind = "GET" if case.ceiling_traffic == "get" else "POST"
    name = f"{app}, {kind}, {case.connections} connection{'s' if case.connections > 1 else ''}"
    return Case(name, case.ceiling_traffic, case.connections, app, ())


def with_ceilings(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases, each ceiling once and right before the first case that is held against it."""
    ordered: dict[str, Case] = {}
    for case in cases:
        for app in case.against:
            ceiling = ceiling_of(case, app)
            ordered.setdefault(ceiling.name, ceiling)
        ordered[case.name] = case
    return tuple(ordered.values())
