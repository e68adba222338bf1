"""TLS of the service's own: which files it takes, and what it does with clients that do not speak it (spec: ATK-94)."""

import resource
import select
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from authsvc.errors import ConfigurationError
from authsvc.tls import find_context, open_context
from tests.certificates import write_certificate
from tests.journeys.service import wait_until
from tests.test_guard import GET, HOST, PATIENCE_S, POST, QUICK, Worker, hear, listen, working

NOW = datetime(2026, 3, 1, tzinfo=UTC)


# --- The files


def fault_of(certificate: Path, key: Path, now: datetime = NOW) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_context(certificate, key, now)
    (fault,) = caught.value.faults
    return fault


def test_without_files_there_is_no_tls(tmp_path: Path) -> None:
    assert find_context(None, None, NOW) is None
    certificate, key = write_certificate(tmp_path, begins=NOW)
    assert find_context(str(certificate), str(key), NOW) is not None


def test_a_certificate_is_taken_from_its_first_to_its_last_second(tmp_path: Path) -> None:
    files = write_certificate(tmp_path, begins=NOW, days=2)
    second = timedelta(seconds=1)
    assert open_context(*files, NOW).minimum_version == ssl.TLSVersion.TLSv1_2
    assert open_context(*files, NOW + timedelta(days=2) - second)
    assert fault_of(*files, NOW + timedelta(days=2)) == ("the TLS certificate has expired on 2026-03-03T00:00:00+00:00")
    assert "only from 2026-03-01" in fault_of(*files, NOW - second)


def test_what_is_no_pair_is_told_and_says_which(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "one", begins=NOW)
    _, other = write_certificate(tmp_path, "two", begins=NOW)
    missing, rubbish = tmp_path / "missing", tmp_path / "rubbish"
    rubbish.write_text("canary")
    assert "is not the key of" in fault_of(certificate, other)
    for bad in (missing, rubbish, key):
        assert fault_of(bad, key).startswith("AUTHSVC_TLS_CERTIFICATE is no certificate")
    for bad in (missing, rubbish, certificate):
        assert fault_of(certificate, bad).startswith("AUTHSVC_TLS_KEY is no unencrypted key")
    assert "canary" not in fault_of(certificate, rubbish)


def test_old_protocols_and_weak_ciphers_are_not_spoken(tmp_path: Path) -> None:
    context = open_context(*write_certificate(tmp_path, begins=NOW), NOW)
    for cipher in context.get_ciphers():
        assert cipher["protocol"] in ("TLSv1.2", "TLSv1.3")
        assert cipher["aead"]
        assert cipher["protocol"] == "TLSv1.3" or "ECDHE" in cipher["name"]


# --- The entrance


def connect(worker: Worker, certificate: Path, version: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context.wrap_socket(worker.connect(), server_hostname="127.0.0.1")


def answers(worker: Worker, certificate: Path) -> bool:
    try:
        with connect(worker, certificate) as client:
            client.sendall(GET)
            return hear(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False


def test_with_tls_a_worker_answers_as_without(tmp_path: Path) -> None:
    files = certificate, _ = write_certificate(tmp_path)
    with working(tmp_path / "log", tls=files, **QUICK) as worker:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with connect(worker, certificate, version) as client:
                for _ in range(3):
                    client.sendall(POST + b"Content-Length: 5\r\n\r\nhello")
                    assert hear(client, b"hello").startswith(b"HTTP/1.1 200 ")
        with connect(worker, certificate) as client:  # closed once it is idle
            client.sendall(GET)
            assert listen(client).statuses == [200]
        with connect(worker, certificate) as client:  # refused, and told so
            client.sendall(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            assert listen(client).statuses == [431]
        with connect(worker, certificate) as client:
            client.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert len(listen(client).text) > 8_000_000


def test_who_does_not_finish_the_handshake_is_counted_meanwhile(tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    with working(tmp_path / "log", tls=files, connections=3, head_s=600.0) as worker, ExitStack() as stack:
        silent: list[socket.socket] = []

        def is_full() -> bool:
            closed, _, _ = select.select(silent, [], [], 0)
            inside = len(silent) - len(closed)
            if closed and inside == 3:
                return True
            if inside <= 3:  # else it has not looked at the last one yet
                silent.append(stack.enter_context(worker.connect()))
            return False

        wait_until(is_full, PATIENCE_S)
        for client in select.select(silent, [], [], 0)[0]:
            assert listen(client).text == b""  # there is no room: not even a handshake


def test_who_does_not_finish_the_handshake_is_let_go(tmp_path: Path) -> None:
    files = certificate, _ = write_certificate(tmp_path)
    limits = QUICK | {"connections": 3, "head_s": 1.0}
    with working(tmp_path / "log", tls=files, **limits) as worker, ExitStack() as stack:
        for client in [stack.enter_context(worker.connect()) for _ in range(3)]:
            assert listen(client).text == b""
        wait_until(lambda: answers(worker, certificate), PATIENCE_S)  # they are forgotten a moment later


def test_without_files_left_it_waits_and_then_goes_on(tmp_path: Path) -> None:
    files = certificate, _ = write_certificate(tmp_path)
    with working(tmp_path / "log", tls=files) as worker:
        pid = worker.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = {int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()}
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), hard))
        with worker.connect():
            wait_until(lambda: "a connection cannot be accepted" in worker.log.read_text(), PATIENCE_S)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert answers(worker, certificate)


def test_who_speaks_plain_http_or_rubbish_is_let_go_at_once(tmp_path: Path) -> None:
    files = certificate, _ = write_certificate(tmp_path)
    with working(tmp_path / "log", tls=files, head_s=PATIENCE_S) as worker:
        for text in (GET, b"\x16\x03\x01\xff\xff" + bytes(600), b"\0"):
            with worker.connect() as client:
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                talk = listen(client)
                assert not talk.statuses
                assert talk.seconds < PATIENCE_S / 2
        assert answers(worker, certificate)
