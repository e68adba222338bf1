"""What a case and a goal are, and what a case is held against."""

from dataclasses import dataclass

RAW, RAW_VERIFY, STAR_BODY, STAR_FORM, ARGON2 = "raw", "raw_verify", "star_body", "star_form", "argon2"
CEILINGS = (RAW, RAW_VERIFY, STAR_BODY, STAR_FORM, ARGON2)

REDIS, POSTGRESQL, UNCHECKED, FORGETFUL = "on Redis", "on PostgreSQL", "unchecked", "forgetful"
EVERY_CORE, TWO_WORKERS = "every core", "two workers"
LARGE_REDIS, LARGE_POSTGRESQL = "large, on Redis", "large, on PostgreSQL"
SERVICES = (REDIS, POSTGRESQL, UNCHECKED, FORGETFUL, EVERY_CORE, TWO_WORKERS, LARGE_REDIS, LARGE_POSTGRESQL)
"""The service on each path; without the question whether a token is revoked; with no room to remember a token. With one
worker and with two that may use every core, where all others have one. In front of large stores."""

OIDC_PROVIDER, DJANGO = "oidc-provider", "django-oauth-toolkit"
PEERS = (OIDC_PROVIDER, DJANGO)

ON_EVERY_CORE = (EVERY_CORE, TWO_WORKERS, ARGON2)


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
    per_second: float | None = None
    """So many requests are sent, at even distances. None: each connection sends its next as soon as it may."""
    beside: str = ""
    """What the same server has to answer meanwhile."""
    goals: "tuple[Goal, ...]" = ()
    """Told in the report, and a failure of nothing."""


@dataclass(frozen=True, slots=True)
class Goal:
    """How a figure of a case is to compare with those of other cases in the same round: with their sum, less `minus`.

    The ratio is this by those, or the other way round when it is `turned`. With nothing to compare, it is the figure.
    """

    words: str
    than: tuple[Case, ...] = ()
    minus: tuple[Case, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    figure: str = "cpu_us"
    than_figure: str = ""
    """If it is another one."""
    turned: bool = False

    @property
    def compared(self) -> tuple[Case, ...]:
        return (*self.than, *self.minus)


def ceiling(app: str, connections: int = 64, traffic: str = "active") -> Case:
    """What a case is held against."""
    kind = "GET" if traffic == "get" else "POST"
    return Case(f"{app}, {kind}, {over(connections)}", traffic, connections, app, ())


def over(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def ceiling_of(case: Case, app: str) -> Case:
    """The case that is the measure of `case`."""
    return ceiling(app, case.connections, case.ceiling_traffic)


def with_ceilings(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases, each one that another is held against once and before the first that is."""
    ordered: dict[str, Case] = {}
    for case in cases:
        compared = tuple(each for goal in case.goals for each in goal.compared)
        for each in (*(ceiling_of(case, app) for app in case.against), *with_ceilings(compared), case):
            ordered.setdefault(each.name, each)
    return tuple(ordered.values())
