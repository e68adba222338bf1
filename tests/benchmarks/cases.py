"""What is measured. A row here is a case; `traffic` says what its requests are."""

from dataclasses import dataclass

RAW, RAW_VERIFY, STAR_BODY, STAR_FORM = "raw", "raw_verify", "star_body", "star_form"
CEILINGS = (RAW, RAW_VERIFY, STAR_BODY, STAR_FORM)
REDIS, POSTGRESQL, UNCHECKED, FORGETFUL = "on Redis", "on PostgreSQL", "unchecked", "forgetful"
SERVICES = (REDIS, POSTGRESQL, UNCHECKED, FORGETFUL)
"""The service on each path; without the question whether a token is revoked; with no room to remember a token."""


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of one kind, sent to one application over so many connections."""

    name: str
    traffic: str
    connections: int = 64
    app: str = REDIS
    against: tuple[str, ...] = (RAW, STAR_BODY, STAR_FORM)
    """The ceilings that get the same load in the same round."""
    ceiling_traffic: str = "active"
    """What is sent to them."""
    beside: str = ""
    """What the same server has to answer meanwhile."""
    goals: "tuple[Goal, ...]" = ()
    """Told in the report, and a failure of nothing."""


@dataclass(frozen=True, slots=True)
class Goal:
    """How a figure of a case is to compare with those of other cases in the same round: with their sum, less `minus`.

    `at_least` so many times as good, or `at_most` so many times as much.
    """

    words: str
    than: tuple[Case, ...]
    minus: tuple[Case, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    figure: str = "cpu_us"


def ceiling(app: str, connections: int = 64, traffic: str = "active") -> Case:
    """What a case is held against."""
    kind = "GET" if traffic == "get" else "POST"
    name = f"{app}, {kind}, {connections} connection{'s' if connections > 1 else ''}"
    return Case(name, traffic, connections, app, ())


def _cheaper(ratio: float, app: str, connections: int = 64, traffic: str = "active") -> Goal:
    return Goal(f"{app} / this", (ceiling(app, connections, traffic),), at_least=ratio)


def _introspect(app: str, connections: int, *goals: Goal) -> Case:
    plural = "s" if connections > 1 else ""
    return Case(f"introspect active, {app}, {connections} connection{plural}", "active", connections, app, goals=goals)


def _unchecked(connections: int) -> Case:
    return _introspect(UNCHECKED, connections)


def _as_cheap_as_unchecked(connections: int) -> Goal:
    return Goal("this / unchecked", (_unchecked(connections),), at_most=1.15)


HOT = _introspect(REDIS, 64, _cheaper(1.8, STAR_FORM), _cheaper(0.45, RAW), _as_cheap_as_unchecked(64))
CALM = _introspect(REDIS, 16, _as_cheap_as_unchecked(16))
_DOCUMENTS = Goal("raw / this", (ceiling(RAW, traffic="get"),), at_least=0.9)
_CHEAPER_THAN_ACTIVE = Goal("this / active", (HOT,), at_most=1.0)

# fmt: off
CASES = (
    _introspect(REDIS, 1, Goal("p50: this / raw", (ceiling(RAW, 1),), at_most=2.8, figure="p50_ms")),
    CALM,
    HOT,
    _introspect(REDIS, 256, _as_cheap_as_unchecked(256)),
    _introspect(POSTGRESQL, 64, _cheaper(1.4, STAR_FORM)),
    _unchecked(16),
    _unchecked(64),
    _unchecked(256),
    Case("introspect cold", "active", app=FORGETFUL, goals=(
        Goal("this / (active + a signature)", (HOT, ceiling(RAW_VERIFY)), minus=(ceiling(RAW),), at_most=1.25),
    )),
    Case("introspect revoked", "revoked", goals=(_CHEAPER_THAN_ACTIVE,)),
    Case("introspect garbage", "garbage", goals=(_CHEAPER_THAN_ACTIVE,)),
    Case("introspect forged", "forged"),
    Case("introspect another's token", "foreign", goals=(_CHEAPER_THAN_ACTIVE,)),
    Case("introspect active, beside logins, 16 connections", "active", 16, against=(), beside="login", goals=(
        Goal("p99: this / without", (CALM,), at_most=1.5, figure="p99_ms"),
    )),
    Case("client_credentials, ES256", "token", goals=(_cheaper(0.5, STAR_FORM),)),
    Case("JWKS", "jwks", against=(RAW,), ceiling_traffic="get", goals=(_DOCUMENTS,)),
    Case("metadata", "metadata", against=(RAW,), ceiling_traffic="get", goals=(_DOCUMENTS,)),
)
# fmt: on


def ceiling_of(case: Case, app: str) -> Case:
    """The case that is the measure of `case`."""
    return ceiling(app, case.connections, case.ceiling_traffic)


def with_ceilings(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases, each one that another is held against once and before the first that is."""
    ordered: dict[str, Case] = {}
    for case in cases:
        compared = [each for goal in case.goals for each in (*goal.than, *goal.minus)]
        for each in (*(ceiling_of(case, app) for app in case.against), *with_ceilings(tuple(compared)), case):
            ordered.setdefault(each.name, each)
    return tuple(ordered.values())
