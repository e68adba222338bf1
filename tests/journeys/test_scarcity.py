"""A machine that runs short of everything: few files, a full disk for the log, and the kernel kills whom it likes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from authsvc.embedded import Stores
from tests.faults.line import Line, Lost, get
from tests.house_of import MASTER_KEY
from tests.journeys.service import Service, _is_ready, children_of, clean_environment, free_port, is_alive, wait_until

FILES = 256
FULL = Path("/dev/full")


@pytest.fixture
def service(database_url: str, stores: Stores) -> Iterator[Service]:
    """Two workers that may open 256 files each, and whose every line of log fails for want of room."""
    port, management_port = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    environ = clean_environment(
        AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER=base, AUTHSVC_MASTER_KEY=MASTER_KEY, AUTHSVC_LOG_LEVEL="debug"
    )
    program = [sys.executable, "-m", "authsvc", "serve", "--port", str(port), "--management-port", str(management_port)]
    command = ["sh", "-c", f'ulimit -n {FILES} && exec "$@"', "sh", *program, "--workers", "2", "--drain-seconds", "0"]
    with FULL.open("w") as full:
        process = subprocess.Popen(command, env=environ, stderr=full, text=True)
    service = Service(process, base, f"http://127.0.0.1:{management_port}", environ, Path(os.devnull))
    try:
        wait_until(lambda: _is_ready(service), 60)
        yield service
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
async def test_it_serves_and_revokes_without_files_log_and_one_of_its_workers(service: Service) -> None:
    """FLT-26. More connections than there are files: the longest idle ones make room."""
    auth = service.client()
    live, dead = service.token(auth), service.token(auth)
    lines = [Line("", int(service.base.rpartition(":")[2])) for _ in range(5 * FILES // 2)]
    request = get("/.well-known/jwks.json", {})
    try:
        for start in range(0, len(lines), 64):
            await asyncio.gather(*(_answered(line, request) for line in lines[start : start + 64]))
        _patiently(lambda: service.revoke(auth, dead))
        management, *_ = sorted(children_of(service.process.pid))
        victim = max(children_of(service.process.pid) - {management})
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_alive(victim), 10)
        for _ in range(10):
            assert _patiently(lambda: service.introspect(auth, live)).json()["active"] is True
            assert _patiently(lambda: service.introspect(auth, dead)).json() == {"active": False}
    finally:
        for line in lines:
            line.close()


def _patiently(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """A worker may say "try again" at first: of so many connections none may have been idle when it last looked."""
    answers = []
    wait_until(lambda: answers.append(ask()) or answers[-1].status_code != 503, 20)  # type: ignore[func-returns-value]
    assert answers[-1].status_code == 200, answers[-1].text
    return answers[-1]


async def _answered(line: Line, request: bytes) -> None:
    """Or turned away: what matters is who comes afterwards."""
    with suppress(Lost):
        await line.ask(request)
