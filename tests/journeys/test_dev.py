"""`authsvc dev`: what a new user does first."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import Browser, Tab
from tests.journeys.judging import find_faults_at_both_widths
from tests.journeys.service import (
    children_of,
    clean_environment,
    free_port,
    is_alive,
    run_cli,
    wait_until,
)
from tests.stores import passable_directory


@pytest.fixture
def home() -> Iterator[Path]:
    with passable_directory() as directory:
        yield directory


@contextmanager
def developing(home: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`authsvc dev` in this directory, welcoming when the block begins; its words are in `home/said`."""
    said = home / "said"
    command = [
        sys.executable,
        "-m",
        "authsvc",
        "dev",
        "--port",
        str(free_port()),
        "--management-port",
        str(free_port()),
        "--demo-port",
        str(free_port()),
    ]
    with said.open("w") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=home,
            env=clean_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or "Ctrl-C stops it" in said.read_text(), 60)
        assert process.poll() is None, said.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _press_ctrl_c(process: "subprocess.Popen[bytes]") -> int:
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(30)


def test_the_data_stays_until_it_is_reset(home: Path) -> None:
    with developing(home) as process:
        first = (home / "said").read_text()
        run_cli(clean_environment(), "user", "create", "--email", "me@b.example", "--generate-password", cwd=home)
        assert _press_ctrl_c(process) == 0
    with developing(home) as process:
        again = (home / "said").read_text()
        names = [client["client_name"] for client in json.loads(_list_clients(home))]
        assert sorted(names) == ["Built-in login client", "Demo website", "demo"], "each once"
        assert "secret" not in re.sub(r"and its secret", "", again)
        assert "taken" in _create_again(home).stderr
        assert _press_ctrl_c(process) == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with developing(home, "--reset", "--demo-port", str(port)) as process:
            fresh = (home / "said").read_text()
            assert f"cannot have port {port}, and takes another" in fresh
            assert _website_in(fresh) != f"http://127.0.0.1:{port}"
            assert _secret_in(fresh) != _secret_in(first)
            assert _create_again(home).returncode == 0
            assert _press_ctrl_c(process) == 0


def _create_again(home: Path) -> "subprocess.CompletedProcess[str]":
    return run_cli(
        clean_environment(),
        "user", "create", "--email", "me@b.example", "--generate-password",
        cwd=home,
        check=False,
    )  # fmt: skip


def _list_clients(home: Path) -> str:
    return run_cli(clean_environment(), "client", "list", "--json", cwd=home).stdout


def _secret_in(said: str) -> str:
    return _find(r"secret (as_\S+)", said)


def _website_in(said: str) -> str:
    return _find(r"website +(http://\S+)", said)


def _find(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    assert found
    return found[1]


def test_a_killed_start_leaves_no_orphan_and_the_next_start_works(home: Path) -> None:
    with developing(home) as process:
        family = children_of(process.pid)
        assert len(family) >= 4
        process.kill()
        process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in family), 15)
    with developing(home, "--no-demo") as process:
        assert "website" not in (home / "said").read_text()
        assert _press_ctrl_c(process) == 0


# --- While one runs


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """The directory of one that has welcomed its user. It ends in order, and nothing is left of it."""
    with passable_directory() as home, developing(home) as process:
        yield home
        family = children_of(process.pid)
        started = time.monotonic()
        assert _press_ctrl_c(process) == 0
        assert time.monotonic() - started < 15
        assert "Traceback" not in (home / "said").read_text()
        # multiprocessing's own helper goes when it notices that its parent has.
        wait_until(lambda: not any(is_alive(pid) for pid in family), 20)


@pytest.mark.skipif(shutil.which("curl") is None and "CI" not in os.environ, reason="curl is not installed")
def test_the_four_lines_print_token_active_nothing_inactive(running: Path) -> None:
    lines = re.findall(r"^.*curl -s.*$", (running / "said").read_text(), re.MULTILINE)
    assert len(lines) == 4
    script = "\n".join(f"{line}\necho; echo ---" for line in lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)
    token, active, nothing, inactive, _ = (part.strip() for part in done.stdout.split("---\n"))
    assert token.count(".") == 2
    assert '"active":true' in active
    assert nothing == ""
    assert inactive == '{"active":false}'


def test_the_website_is_clicked_through(running: Path, browser: Browser) -> None:
    said = (running / "said").read_text()
    website = _website_in(said)
    with browser.open_tab() as tab:

        def look() -> None:
            assert find_faults_at_both_widths(tab) == []
            assert tab.complaints() == []

        tab.open(website)
        look()
        tab.click("log-in")
        tab.js("document.getElementById('username').focus()")
        tab.type("demo@example.com")
        tab.js("document.getElementById('password').focus()")
        tab.type(_find(r"demo@example.com   password (\S+)", said))
        tab.click("login-submit")
        tab.click("consent-deny")
        assert "You told authsvc not to" in tab.js("document.body.innerText")
        tab.complaints()  # of the status
        assert find_faults_at_both_widths(tab) == []
        tab.click("log-in")  # where the password is no longer asked for
        tab.click("consent-allow")
        assert tab.js("location.href") == f"{website}/", "with nothing of the answer in it"
        assert tab.js("document.getElementById('who').innerText") == "Demo User"
        assert tab.js("JSON.parse(document.getElementById('id-token').innerText).iss") == _find(
            r"authsvc +(http://\S+)", said
        )
        assert tab.js("JSON.parse(document.getElementById('userinfo').innerText).email") == "demo@example.com"
        look()
        for button, title in (
            ("introspect", "The access token is alive"),
            ("revoke", "The access token is dead"),
            ("introspect", "The access token is dead"),
            ("ask-userinfo", "UserInfo was refused"),
            ("refresh", "The tokens are new"),
            ("introspect", "The access token is alive"),
            ("ask-userinfo", "UserInfo has answered"),
        ):
            tab.click(button)
            assert _notice(tab) == title, button
        look()
        assert tab.js("document.cookie") == ""
        tab.go_back()
        assert tab.js("document.getElementById('who').innerText") == "Demo User"

        tab.click("log-out")
        assert _notice(tab) == "You are logged out here"
        look()
        tab.click("log-in")
        assert tab.js("document.getElementById('who').innerText") == "Demo User", "single sign-on"
        assert tab.complaints() == []


def _notice(tab: Tab) -> str:
    return str(tab.js("document.querySelector('#notice h2').innerText"))


def test_a_second_start_in_the_same_directory_is_refused(running: Path) -> None:
    port, management_port = str(free_port()), str(free_port())
    done = run_cli(
        clean_environment(), "dev", "--port", port, "--management-port", management_port, cwd=running, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_secrets_on_disk_are_for_their_owner_alone(running: Path) -> None:
    for name in ("master.key", "environment.json"):
        assert (running / ".authsvc" / name).stat().st_mode & 0o077 == 0


def test_a_taken_port_is_told_in_one_line_and_nothing_stays(running: Path) -> None:
    port = re.search(r"^authsvc +http://127.0.0.1:(\d+)", (running / "said").read_text(), re.MULTILINE)
    assert port
    done = run_cli(
        clean_environment(), "dev", "--port", port[1], "--management-port", str(free_port()),
        "--data-dir", "other", cwd=running, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"port {port[1]}" in done.stderr
    assert "Traceback" not in done.stderr
