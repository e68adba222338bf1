"""The metrics: closed sets of series, at 0 from the start, and sums over processes that are right (PRO-01..08)."""

import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from authsvc import __version__, exposition
from authsvc.metrics import METHODS, ConnectionMetrics, Metrics

ROOT = Path(__file__).parent.parent
EVERY_NAME = {
    "authsvc_revocation_canaries_total",
    "authsvc_revocation_visible_seconds",
    "authsvc_audit_events_total",
    "authsvc_authorization_requests_total",
    "authsvc_build_info",
    "authsvc_cache_fences_total",
    "authsvc_cache_state",
    "authsvc_cache_warm_up_seconds",
    "authsvc_connections_refused_total",
    "authsvc_db_errors_total",
    "authsvc_db_pool_in_use",
    "authsvc_db_pool_size",
    "authsvc_db_pool_wait_seconds",
    "authsvc_foreign_origin_requests_total",
    "authsvc_http_request_duration_seconds",
    "authsvc_http_requests_in_progress",
    "authsvc_introspection_batch_size",
    "authsvc_introspections_total",
    "authsvc_job_last_success_timestamp_seconds",
    "authsvc_job_runs_total",
    "authsvc_logins_total",
    "authsvc_logout_notice_delivery_seconds",
    "authsvc_logout_notices_oldest_seconds",
    "authsvc_logout_notices_total",
    "authsvc_logout_notices_waiting",
    "authsvc_mark_questions_total",
    "authsvc_password_hash_duration_seconds",
    "authsvc_password_hash_queue_depth",
    "authsvc_purged_rows_total",
    "authsvc_revocations_total",
    "authsvc_rate_limited_total",
    "authsvc_redis_breaker_open",
    "authsvc_redis_errors_total",
    "authsvc_refresh_reuse_total",
    "authsvc_signing_key_created_timestamp_seconds",
    "authsvc_signing_key_not_after_timestamp_seconds",
    "authsvc_token_requests_total",
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def made(registry: CollectorRegistry) -> Metrics:
    ConnectionMetrics(registry)
    return Metrics(registry)


def series(registry: CollectorRegistry) -> dict[str, float]:
    """The exposition, without what the library adds about when each series was made."""
    lines = [line.rpartition(" ") for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in lines if not name.partition("{")[0].endswith("_created")}


def test_what_is_known_is_there_at_zero_before_anything_happens(registry: CollectorRegistry, made: Metrics) -> None:
    shown = series(registry)
    assert shown['authsvc_introspections_total{outcome="error"}'] == 0
    assert shown['authsvc_revocations_total{kind="everything"}'] == 0
    assert shown['authsvc_logins_total{method="password",outcome="shed"}'] == 0
    assert shown['authsvc_token_requests_total{grant="client_credentials",outcome="issued"}'] == 0
    assert shown["authsvc_http_requests_in_progress"] == 0
    assert shown.pop(f'authsvc_build_info{{version="{__version__}"}}') == 1
    made.db_pool("main")
    assert {name: value for name, value in series(registry).items() if value and "build" not in name} == {}


def test_every_name_keeps_the_rules(registry: CollectorRegistry, made: Metrics) -> None:
    types = re.findall(r"^# TYPE (\S+) (\S+)$", generate_latest(registry).decode(), re.MULTILINE)
    ours = {(name, kind) for name, kind in types if not name.endswith("_created")}
    assert {name for name, _ in ours} == EVERY_NAME
    for name, kind in ours:
        assert re.fullmatch(r"authsvc_[a-z_]+", name)
        assert (kind == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent)(_|$)", name)


def test_a_request_is_counted_under_its_route(registry: CollectorRegistry, made: Metrics) -> None:
    for seconds in (0.003, 0.02, 20.0):
        made.request("POST", "/oauth2/token", 200, seconds)
    made.request("POST", "/oauth2/token", 400, 0.5)
    labels = {"method": "POST", "route": "/oauth2/token", "code": "200"}
    name = "authsvc_http_request_duration_seconds"
    assert registry.get_sample_value(f"{name}_count", labels) == 3
    assert registry.get_sample_value(f"{name}_sum", labels) == pytest.approx(20.023)
    assert registry.get_sample_value(f"{name}_bucket", {**labels, "le": "0.025"}) == 2
    assert registry.get_sample_value(f"{name}_count", {**labels, "code": "400"}) == 1


@given(words=st.lists(st.text(max_size=12), max_size=40))
def test_no_word_of_a_client_makes_a_series(words: list[str]) -> None:
    registry = CollectorRegistry()
    made = Metrics(registry)
    made.request("?", "unmatched", 404, 0.1)
    known = series(registry).keys()
    for word in words:
        if word not in METHODS:
            made.request(word, "unmatched", 404, 0.1)
        made.token_request(word, "issued")
        made.token_request("client_credentials", word)
        made.authorization_request(word)
    assert series(registry).keys() == known
    assert len(made._requests) == 1, "nor is it remembered"


def test_a_value_that_the_code_made_up_is_refused(made: Metrics) -> None:
    with pytest.raises(KeyError):
        made.introspections["perhaps"]
    with pytest.raises(KeyError):
        made.logins["password", "perhaps"]


def test_signing_keys_are_shown_as_they_are_now(registry: CollectorRegistry, made: Metrics) -> None:
    def shown(name: str) -> dict[str, float | None]:
        labels = [{"algorithm": "ES256", "state": state} for state in ("active", "next", "retired")]
        return {each["state"]: registry.get_sample_value(name, each) for each in labels}

    made.signing_keys([("ES256", "active", 100.0, 900.0), ("ES256", "next", 200.0, 0.0)])
    made.signing_keys(
        [("ES256", "active", 200.0, 950.0), ("ES256", "retired", 100.0, 300.0), ("ES256", "retired", 50.0, 250.0)]
    )
    created, not_after = (f"authsvc_signing_key_{which}_timestamp_seconds" for which in ("created", "not_after"))
    assert shown(created) == {"active": 200.0, "next": 0.0, "retired": 100.0}
    assert shown(not_after) == {"active": 950.0, "next": 0.0, "retired": 300.0}


def test_pools_have_their_own_series(registry: CollectorRegistry, made: Metrics) -> None:
    pool = made.db_pool("main")
    pool.in_use.set(3)
    pool.size.set(8)
    pool.errors.inc()
    pool.wait.observe(0.02)
    shown = series(registry)
    assert shown['authsvc_db_pool_in_use{pool="main"}'] == 3
    assert shown['authsvc_db_pool_size{pool="main"}'] == 8
    assert shown['authsvc_db_errors_total{pool="main"}'] == 1
    assert shown['authsvc_db_pool_wait_seconds_bucket{le="0.05",pool="main"}'] == 1


# --- Several processes. The library decides when it is imported whether it shares, so these begin as they should.


def run(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    prelude = """
        import os, signal, sys, threading
        from prometheus_client import CollectorRegistry
        from authsvc import exposition, metrics
        made = metrics.Metrics(CollectorRegistry())
        refused = metrics.ConnectionMetrics(CollectorRegistry()).refused
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(script)
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(directory), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def shared(directory: Path) -> dict[str, float]:
    text = exposition.exposition(str(directory))[0].decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_processes_add_up_and_what_a_killed_one_counted_stays(tmp_path: Path) -> None:
    script = """
        made.introspections["active"].inc()
        made.request("GET", "/x", 200, 0.02)
        made.request("GET", "/x", 200, 0.5)
        made.introspection_batch_size.observe(7)
        refused["address"].inc()
        made.requests_in_progress.inc()
        made.requests_in_progress.inc()
        made.requests_in_progress.dec()
        made.signing_keys([("ES256", "active", 5.0, 0.0)])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    for _ in range(2):
        assert run(tmp_path, script).returncode == -signal.SIGKILL
    shown = shared(tmp_path)
    assert shown['authsvc_connections_refused_total{reason="address"}'] == 2
    request = "authsvc_http_request_duration_seconds"
    labels = 'code="200",method="GET",route="/x"'
    assert shown['authsvc_introspections_total{outcome="active"}'] == 2
    assert shown[f"{request}_count{{{labels}}}"] == 4
    assert shown[f"{request}_sum{{{labels}}}"] == pytest.approx(1.04)
    assert shown[f'{request}_bucket{{code="200",le="0.025",method="GET",route="/x"}}'] == 2
    assert shown["authsvc_introspection_batch_size_sum"] == 14
    assert shown["authsvc_http_requests_in_progress"] == 2
    assert shown['authsvc_signing_key_created_timestamp_seconds{algorithm="ES256",state="active"}'] == 5
    assert shown[f'authsvc_build_info{{version="{__version__}"}}'] == 1


def test_threads_lose_no_count(tmp_path: Path) -> None:
    script = """
        sys.setswitchinterval(1e-6)
        counter, histogram = made.introspections["active"], made.password_hash_duration
        gauge = made.requests_in_progress
        def hammer():
            for _ in range(20_000):
                gauge.inc()
                counter.inc()
                histogram.observe(1.0)
                gauge.dec()
        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for each in threads: each.start()
        for each in threads: each.join()
    """
    assert run(tmp_path, script).returncode == 0
    shown = shared(tmp_path)
    assert shown['authsvc_introspections_total{outcome="active"}'] == 80_000
    assert shown["authsvc_password_hash_duration_seconds_sum"] == 80_000
    assert shown["authsvc_password_hash_duration_seconds_count"] == 80_000
    assert shown["authsvc_http_requests_in_progress"] == 0


def test_a_file_that_grows_keeps_what_was_mapped_before(tmp_path: Path) -> None:
    script = """
        made.request("GET", "/first", 200, 0.1)
        for code in range(100, 400):
            made.request("GET", "/many", code, 0.1)
        made.request("GET", "/first", 200, 0.1)
    """
    assert run(tmp_path, script).returncode == 0
    assert max(file.stat().st_size for file in tmp_path.iterdir()) > 2**16
    assert shared(tmp_path)['authsvc_http_request_duration_seconds_count{code="200",method="GET",route="/first"}'] == 2


def test_who_stays_out_writes_no_file(tmp_path: Path) -> None:
    script = """
        exposition.stay_out()
        metrics.Metrics(CollectorRegistry()).introspections["active"].inc()
    """
    done = run(tmp_path, script.replace("made = ", ""))
    assert done.returncode == 0, done.stderr
    assert shared(tmp_path)['authsvc_introspections_total{outcome="active"}'] == 0


def test_a_file_without_content_stops_no_scrape(tmp_path: Path) -> None:
    run(tmp_path, 'made.introspections["active"].inc()')
    (tmp_path / "counter_1.db").touch()
    assert shared(tmp_path)['authsvc_introspections_total{outcome="active"}'] == 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain; version=..;;,,", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_scraper_chooses_the_format(tmp_path: Path, accept: str, content_type: str) -> None:
    run(tmp_path, "")
    body, said = exposition.exposition(str(tmp_path), accept)
    assert said.startswith(content_type)
    assert body.endswith(b"# EOF\n") == ("openmetrics" in said)
