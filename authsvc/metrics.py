"""Every metric of the service, on a registry that is passed in.

Labels come from closed sets only: whoever asks for a value outside its set gets a KeyError, or, where the value comes
from outside, `_OTHER`. What is known beforehand exists at 0 from the start (PRO-04, PRO-07).

How several processes share one set of numbers stands in `exposition.py`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from authsvc import __version__
from authsvc.exposition import adder, observer, share_cheaply
from authsvc.models import CacheState, GrantType, Limiter

OTHER = "_OTHER"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
GRANTS = (*GrantType, OTHER)
TOKEN_OUTCOMES = (
    "issued",
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "too_many_attempts",
    "temporarily_unavailable",
    "server_error",
    OTHER,
)
AUTHORIZATION_OUTCOMES = (
    "issued",
    "access_denied",
    "login_required",
    "consent_required",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_response_type",
    "unmet_authentication_requirements",
    "request_not_supported",
    "invalid_request_object",
    "request_uri_not_supported",
    "registration_not_supported",
    "no_recipient",
    "expired_request",
    "temporarily_unavailable",
    "server_error",
    OTHER,
)
INTROSPECTION_OUTCOMES = ("active", "inactive", "error")
AUDIT_WAYS = ("recorded", "observed", "dropped")
REVOCATION_KINDS = ("token", "session", "grant", "user", "client", "key", "everything")
TASKS = ("rotate_signing_keys", "release_canary", "forget_audit_events", "purge")
TASK_OUTCOMES = ("success", "failure")
PURGED_TABLES = (
    "token_blacklist",
    "authorization_codes",
    "pushed_requests",
    "used_assertions",
    "grants",
    "sessions",
    "signing_keys",
    "logout_notices",
)
LOGOUT_NOTICE_OUTCOMES = ("delivered", "refused", "fault", "away", "given_up")
REFUSALS = ("full", "address")
LOGIN_METHODS = ("password",)
LOGIN_OUTCOMES = ("success", "failure", "limited", "shed")
REDIS_OPS = ("spend_attempts", "give_back_attempts", "rev_get", "rev_put", "rev_warm")
CANARY_OUTCOMES = ("seen", "missed")
MARK_PATHS = ("redis", "postgresql", "doubt")

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_HASH_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
_WAIT_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
_VISIBLE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 6.5, 10.0)
_NOTICE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
_WARM_UP_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class PoolMetrics:
    """The metrics of one pool of PostgreSQL connections."""

    in_use: Gauge
    size: Gauge
    wait: Histogram
    errors: Counter


class Metrics:
    """The metrics of one process. To be made once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        share_cheaply()
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry)
        # The sum over the workers that live: what a dead one held is gone.
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")

        self._request_duration = histogram(
            "authsvc_http_request_duration_seconds",
            "Time from the head of a request to the end of its answer.",
            ["method", "route", "code"],
            buckets=_REQUEST_BUCKETS,
        )
        self._requests: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self.requests_in_progress = gauge("authsvc_http_requests_in_progress", "Requests begun and not yet answered.")
        self.add_in_progress = adder(self.requests_in_progress)

        self.foreign_origin_requests = counter(
            "authsvc_foreign_origin_requests",
            "Requests for a change that a browser sent for a site that is not in `AUTHSVC_CORS_ORIGINS`.",
        )

        token_requests = counter(
            "authsvc_token_requests",
            "Token requests by grant type; the outcome is `issued` or the error code.",
            ["grant", "outcome"],
        )
        self._token_requests = _by_pair(token_requests, GRANTS, TOKEN_OUTCOMES)
        authorizations = counter(
            "authsvc_authorization_requests",
            "Authorization requests that came to an end: `issued`, the error that the client was told, or what a page "
            "said: `no_recipient`, it is not known who is to be answered; `expired_request`, it has waited too long.",
            ["outcome"],
        )
        self.authorization_requests = _by_value(authorizations, AUTHORIZATION_OUTCOMES)
        introspections = counter("authsvc_introspections", "Introspections answered.", ["outcome"])
        self.introspections = _by_value(introspections, INTROSPECTION_OUTCOMES)
        self.introspected = {outcome: adder(child) for outcome, child in self.introspections.items()}
        self.introspection_batch_size = histogram(
            "authsvc_introspection_batch_size",
            "Introspections answered by one question to the store.",
            buckets=_BATCH_BUCKETS,
        )
        self.observe_batch = observer(self.introspection_batch_size)
        revocations = counter("authsvc_revocations", "Revocations committed, by what was revoked.", ["kind"])
        self.revocations = _by_value(revocations, REVOCATION_KINDS)

        logins = counter(
            "authsvc_logins",
            "Login attempts; refused unheard: `limited`, too many of one account or address, `shed`, too many at once.",
            ["method", "outcome"],
        )
        self.logins = _by_pair(logins, LOGIN_METHODS, LOGIN_OUTCOMES)
        self.password_hash_duration = histogram(
            "authsvc_password_hash_duration_seconds",
            "Time to compute one password hash, without the wait for its turn.",
            buckets=_HASH_BUCKETS,
        )
        self.password_hash_queue_depth = gauge(
            "authsvc_password_hash_queue_depth", "Password hashes being computed or waiting for their turn."
        )

        rate_limited = counter("authsvc_rate_limited", "Attempts refused because there were too many.", ["limiter"])
        self.rate_limited = _by_value(rate_limited, Limiter)

        self.refresh_reuse = counter(
            "authsvc_refresh_reuse", "Refresh tokens that came back after they had been used: each ended its family."
        )
        self._key_created = Gauge(
            "authsvc_signing_key_created_timestamp_seconds",
            "When the newest signing key of this algorithm and state was made; 0 where there is none any more.",
            ["algorithm", "state"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._key_not_after = Gauge(
            "authsvc_signing_key_not_after_timestamp_seconds",
            "When that key is to be rotated, or stops verifying; 0 where no time is set.",
            ["algorithm", "state"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._keys_seen: set[tuple[str, str]] = set()

        notices = counter(
            "authsvc_logout_notices",
            "Tries to tell a client that a session has ended: `delivered`; `refused`, `fault` and `away`, which are "
            "tried again; `given_up`: not any more.",
            ["outcome"],
        )
        self.logout_notices = _by_value(notices, LOGOUT_NOTICE_OUTCOMES)
        self.logout_notice_age = histogram(
            "authsvc_logout_notice_delivery_seconds",
            "Time from the end of a session until a client had been told.",
            buckets=_NOTICE_BUCKETS,
        )
        self.logout_notices_waiting = Gauge(
            "authsvc_logout_notices_waiting",
            "Clients yet to be told that a session has ended.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.logout_notices_oldest = Gauge(
            "authsvc_logout_notices_oldest_seconds",
            "For how long the oldest of them has waited; 0 where none does.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

        # Not `job`: Prometheus itself gives each series a label of that name.
        job_runs = counter("authsvc_job_runs", "Runs of the jobs that one worker does for all.", ["task", "outcome"])
        self.job_runs = _by_pair(job_runs, TASKS, TASK_OUTCOMES)
        last_success = Gauge(
            "authsvc_job_last_success_timestamp_seconds",
            "When that job last succeeded, on whatever worker; 0 when it never has.",
            ["task"],
            registry=registry,
            multiprocess_mode="max",
        )
        self.job_last_success = {task: last_success.labels(task) for task in TASKS}
        purged_rows = counter("authsvc_purged_rows", "Rows deleted because their time was over.", ["table"])
        self.purged_rows = _by_value(purged_rows, PURGED_TABLES)

        audit_events = counter(
            "authsvc_audit_events",
            "Security events; `recorded` with a change, `observed` without one, `dropped` for want of room.",
            ["way"],
        )
        self.audit_events = _by_value(audit_events, AUDIT_WAYS)

        self._pool_in_use = gauge("authsvc_db_pool_in_use", "PostgreSQL connections at work.", ["pool"])
        self._pool_size = gauge("authsvc_db_pool_size", "PostgreSQL connections open.", ["pool"])
        self._pool_wait = histogram(
            "authsvc_db_pool_wait_seconds",
            "Time until a PostgreSQL connection was to be had.",
            ["pool"],
            buckets=_WAIT_BUCKETS,
        )
        self._pool_errors = counter("authsvc_db_errors", "Times PostgreSQL could not be asked.", ["pool"])

        redis_errors = counter("authsvc_redis_errors", "Times Redis did not answer, or with an error.", ["op"])
        self.redis_errors = _by_value(redis_errors, REDIS_OPS)
        questions = counter(
            "authsvc_mark_questions",
            "Questions for marks, by who answered; `doubt`: Redis was asked, and PostgreSQL had to answer.",
            ["path"],
        )
        self.mark_questions = _by_value(questions, MARK_PATHS)
        self.revocation_visible = histogram(
            "authsvc_revocation_visible_seconds",
            "Time until a revocation is dead on every worker, tried every few seconds with one that nobody needs.",
            buckets=_VISIBLE_BUCKETS,
        )
        canaries = counter(
            "authsvc_revocation_canaries",
            "Times a worker looked for such a revocation; `missed` must not happen.",
            ["outcome"],
        )
        self.canaries = _by_value(canaries, CANARY_OUTCOMES)
        self.cache_fences = counter("authsvc_cache_fences", "Times Redis was put out of use, to be filled anew.")
        self.cache_warm_up = histogram(
            "authsvc_cache_warm_up_seconds", "Time to fill Redis with every mark.", buckets=_WARM_UP_BUCKETS
        )
        self._cache_state = Gauge(
            "authsvc_cache_state",
            "1 for the state that Redis is in, by PostgreSQL: R trusted, W being filled, G out of use.",
            ["state"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.redis_breaker_open = gauge(
            "authsvc_redis_breaker_open", "Workers that do without Redis until it answers again."
        )

        build = Gauge(
            "authsvc_build_info", "1, and the version.", ["version"], registry=registry, multiprocess_mode="max"
        )
        build.labels(__version__).set(1)

    def request(self, method: str, route: str, code: int, seconds: float) -> None:
        """Count one HTTP request. `route` is the template that it matched, or `unmatched`: never the path."""
        try:
            observe = self._requests[method, route, code]
        except KeyError:
            observe = self._request_observer(method, route, code)
        observe(seconds)

    def _request_observer(self, method: str, route: str, code: int) -> Callable[[float], None]:
        key = (method if method in METHODS else OTHER, route, code)
        observe = self._requests.get(key)
        if observe is None:
            observe = self._requests[key] = observer(self._request_duration.labels(*key))
        return observe

    def token_request(self, grant: str, outcome: str) -> None:
        """Count one token request. `grant` is what the client sent; `outcome` is `issued` or the error code."""
        if grant not in GRANTS:
            grant = OTHER
        if outcome not in TOKEN_OUTCOMES:
            outcome = OTHER
        self._token_requests[grant, outcome].inc()

    def authorization_request(self, outcome: str) -> None:
        """Count the end of one authorization request: `issued`, `no_recipient`, or the error code."""
        self.authorization_requests[outcome if outcome in AUTHORIZATION_OUTCOMES else OTHER].inc()

    def signing_keys(self, keys: Iterable[tuple[str, str, float, float]]) -> None:
        """Show the keys as they are now: of each its algorithm, its state, when it was made and when its time is over
        (Unix time; 0 for an end that is not set)."""
        newest = dict.fromkeys(self._keys_seen, (0.0, 0.0))
        for algorithm, state, created, not_after in keys:
            newest[algorithm, state] = max((created, not_after), newest.get((algorithm, state), (0.0, 0.0)))
        for labels, (created, not_after) in newest.items():
            self._key_created.labels(*labels).set(created)
            self._key_not_after.labels(*labels).set(not_after)
        self._keys_seen.update(newest)

    def cache_mode(self, state: str) -> None:
        """Show the state that the cache is in now."""
        for each in CacheState:
            self._cache_state.labels(each).set(each == state)

    def db_pool(self, pool: str) -> PoolMetrics:
        """The metrics of one pool, at 0. To be kept by who asks; the names are the code's own."""
        return PoolMetrics(
            in_use=self._pool_in_use.labels(pool),
            size=self._pool_size.labels(pool),
            wait=self._pool_wait.labels(pool),
            errors=self._pool_errors.labels(pool),
        )


class ConnectionMetrics:
    """What a worker counts before there is a request. To be made once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        share_cheaply()
        refused = Counter(
            "authsvc_connections_refused",
            "Connections turned away; `full`: the worker holds no more, `address`: no more from that address.",
            ["reason"],
            registry=registry,
        )
        self.refused = _by_value(refused, REFUSALS)


def _by_value(counter: Counter, known: Iterable[str]) -> Mapping[str, Counter]:
    """The children, made and at 0: finding one costs a dictionary lookup, and no other can come into being."""
    return {value: counter.labels(value) for value in known}


def _by_pair(counter: Counter, first: Collection[str], second: Collection[str]) -> Mapping[tuple[str, str], Counter]:
    return {pair: counter.labels(*pair) for pair in product(first, second)}
