"""What is measured. A row here is a case; `script` says what its requests are."""

from dataclasses import replace

from tests.benchmarks.case import (
    ARGON2,
    DJANGO,
    EVERY_CORE,
    FORGETFUL,
    LARGE_POSTGRESQL,
    LARGE_REDIS,
    OIDC_PROVIDER,
    POSTGRESQL,
    RAW,
    RAW_VERIFY,
    REDIS,
    STAR_FORM,
    TWO_WORKERS,
    UNCHECKED,
    Case,
    Goal,
    ceiling,
    over,
)

STORMERS = 8
"""Connections on which a storm of logins comes: each logs in again as soon as it has."""
PACE = 200.0
"""Introspections a second beside it. Few, so that what is measured is how long one waits for the storm."""


def _cheaper(ratio: float, app: str) -> Goal:
    return Goal(f"{app} / this", (ceiling(app),), at_least=ratio, turned=True)


def _introspect(app: str, connections: int, *goals: Goal) -> Case:
    return Case(f"introspect active, {app}, {over(connections)}", "active", connections, app, goals=goals)


def _as_cheap_as_unchecked(connections: int) -> Goal:
    return Goal("this / unchecked", (_introspect(UNCHECKED, connections),), at_most=1.15)


def _paced(name: str, *goals: Goal, beside: str = "") -> Case:
    return Case(name, "active", 16, EVERY_CORE, (), per_second=PACE, beside=beside, goals=goals)


def _document(name: str, traffic: str) -> Case:
    goal = Goal("raw / this", (ceiling(RAW, traffic="get"),), at_least=0.9, turned=True)
    return Case(name, traffic, against=(RAW,), ceiling_traffic="get", goals=(goal,))


def _peer(name: str, times: float) -> Case:
    return Case(f"introspect active, {name}", "active", 64, name, goals=(Goal("this / ours", (HOT,), at_least=times),))


HOT = _introspect(REDIS, 64, _cheaper(1.8, STAR_FORM), _cheaper(0.45, RAW), _as_cheap_as_unchecked(64))
_HOT_POSTGRESQL = _introspect(POSTGRESQL, 64, _cheaper(1.4, STAR_FORM))
_CHEAPER_THAN_ACTIVE = Goal("this / active", (HOT,), at_most=1.0)
_ASKS_NOTHING = Goal("questions to a store, a request", at_most=0.01, figure="questions")
"""Rounded: a worker asks one by itself each second."""
_CALM = _paced("introspect active, 200 a second")

# fmt: off
_REVOKED = Case("introspect revoked", "revoked", goals=(_CHEAPER_THAN_ACTIVE,))
_UNKNOWN = Case("introspect unknown", "unknown", goals=(_CHEAPER_THAN_ACTIVE, _ASKS_NOTHING))
_GARBAGE = Case("introspect garbage", "garbage", goals=(_CHEAPER_THAN_ACTIVE, _ASKS_NOTHING))
_TOKEN = Case("client_credentials, ES256", "token", goals=(_cheaper(0.5, STAR_FORM),))
_REFRESH = Case("refresh, 16 connections", "refresh", 16, against=())
_REVOKE = Case("revoke, 16 connections", "revoke", 16, against=())
_LOGIN = Case("login, 8 connections", "login", STORMERS, EVERY_CORE, (), goals=(
    Goal("a second: this / Argon2 alone", (ceiling(ARGON2, STORMERS),), at_least=0.9, figure="per_second"),
))

CASES = (
    _introspect(REDIS, 1, Goal("p50: this / raw", (ceiling(RAW, 1),), at_most=2.8, figure="p50_ms")),
    _introspect(REDIS, 16, _as_cheap_as_unchecked(16)),
    HOT,
    _introspect(REDIS, 256, _as_cheap_as_unchecked(256)),
    _introspect(POSTGRESQL, 1),
    _introspect(POSTGRESQL, 16),
    _HOT_POSTGRESQL,
    _introspect(POSTGRESQL, 256),
    _introspect(UNCHECKED, 1),
    _introspect(UNCHECKED, 16),
    _introspect(UNCHECKED, 64),
    _introspect(UNCHECKED, 256),
    Case("introspect cold", "active", app=FORGETFUL, goals=(
        Goal("this / (active + a signature)", (HOT, ceiling(RAW_VERIFY)), minus=(ceiling(RAW),), at_most=1.25),
    )),
    _REVOKED,
    _UNKNOWN,
    _GARBAGE,
    Case("introspect forged", "forged", goals=(_ASKS_NOTHING,)),
    Case("introspect another's token", "foreign", goals=(_CHEAPER_THAN_ACTIVE,)),
    Case("forward-auth active", "forward_auth", against=(), goals=(Goal("this / introspect", (HOT,), at_most=1.1),)),
    _TOKEN,
    _REFRESH,
    _REVOKE,
    Case("mixed, 90 % introspection", "mixed"),
    _document("JWKS", "jwks"),
    _document("JWKS, not modified", "jwks_304"),
    _document("metadata", "metadata"),
    _document("metadata, not modified", "metadata_304"),
    _LOGIN,
    _CALM,
    _paced(
        "introspect active, 200 a second, beside logins",
        Goal("p99: this / without", (_CALM,), at_most=1.5, figure="p99_ms"),
        Goal("logins a second: beside this / Argon2 alone", (ceiling(ARGON2, STORMERS),), at_least=0.9,
             figure="beside_per_second", than_figure="per_second"),
        beside="login",
    ),
    Case("introspect active, one worker, every core", "active", 64, EVERY_CORE, ()),
    Case("introspect active, two workers, every core", "active", 64, TWO_WORKERS, ()),
    _peer(OIDC_PROVIDER, 3),
    _peer(DJANGO, 20),
)
# fmt: on


def _large(case: Case, app: str = LARGE_REDIS) -> Case:
    goal = Goal("this / empty", (case,), at_most=1.1)
    return replace(case, name=f"{case.name}, large", app=app, against=(), goals=(goal,))


LARGE_CASES = (
    _large(HOT),
    _large(_HOT_POSTGRESQL, LARGE_POSTGRESQL),
    *(_large(case) for case in (_REVOKED, _UNKNOWN, _GARBAGE, _TOKEN, _REFRESH, _REVOKE)),
)
"""The same before stores with much in them."""
