"""The container image: built and run, where that can be done."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from authsvc import __version__
from tests.deploy.contained import Image, built_image
from tests.deploy.test_locks import RUNTIME, pins
from tests.deploy.tools import ROOT, run, tool
from tests.house_of import MASTER_KEY
from tests.journeys.service import free_port, wait_until
from tests.stores import running_stores

SETTINGS = {
    "AUTHSVC_ISSUER": "https://auth.example",
    "AUTHSVC_DATABASE_URL": "postgresql://authsvc@127.0.0.1:1/authsvc",
    "AUTHSVC_MASTER_KEY": MASTER_KEY,
}


def test_the_dockerfile_is_without_reproach() -> None:
    run(tool("hadolint"), "--failure-threshold", "style", ROOT / "Dockerfile")


def test_nothing_gets_into_the_build_but_what_it_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"
    for path in (line[1:] for line in lines if line.startswith("!")):
        assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image() as image:
        yield image


pytestmark = pytest.mark.timeout(600)


def test_the_image_says_how_it_is_to_be_run(image: Image) -> None:
    config = image.config
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["authsvc"]
    assert config["Cmd"] == ["serve", "--host", "0.0.0.0", "--management-host", "0.0.0.0"]
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"8000/tcp", "9000/tcp"}
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.version"] == "test"
    assert not [line for line in config["Env"] if line.startswith(("AUTHSVC_", "PIP_"))]


def test_it_runs_as_nobody_in_particular_and_can_write_to_tmp_alone(image: Image) -> None:
    assert image.run("authsvc", "--version").stdout == f"authsvc, version {__version__}\n"
    assert "usable" in image.run("authsvc", "config", "check", environ=SETTINGS).stdout
    assert image.run("id", "-u").stdout == "10001\n"
    for place in ("/", "/opt/authsvc", "/etc", "/var/tmp", "/mnt"):
        assert image.run("touch", f"{place}/x", check=False).returncode != 0, place
    image.run("touch", "/tmp/x")


def test_a_secret_may_come_from_a_file(image: Image, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "key").write_text(MASTER_KEY + "\n")
    settings = {name: value for name, value in SETTINGS.items() if name != "AUTHSVC_MASTER_KEY"}
    environ = settings | {"AUTHSVC_MASTER_KEY_FILE": "/mnt/key"}
    assert "usable" in image.run("authsvc", "config", "check", environ=environ, bound=tmp_path).stdout


def test_there_is_nothing_in_it_to_build_or_install_with(image: Image) -> None:
    for module in ("pip", "ensurepip", "setuptools", "hatchling", "pytest"):
        assert image.run("python", "-m", module, "--version", check=False).returncode != 0, module
        assert image.run("python3", "-m", module, "--version", check=False).returncode != 0, module
    for program in ("pip", "pip3", "uv", "cc", "gcc", "make", "git", "curl"):
        assert image.run("sh", "-c", f"command -v {program}", check=False).returncode != 0, program


def test_it_holds_the_packages_of_the_lock_and_no_other(image: Image) -> None:
    script = (
        "import json, sys; from importlib.metadata import distributions; "
        "print(json.dumps([[d.metadata['Name'].lower().replace('_', '-'), d.version] for d in distributions()]))"
    )
    there = dict(json.loads(image.run("python", "-c", script).stdout))
    assert there.pop("authsvc") == __version__
    locked = {name: pin.removeprefix("==").partition(";")[0].strip() for name, pin in pins(RUNTIME).items()}
    assert {name: locked[name] for name in there} == there
    # These are for another Python, or another platform.
    assert set(locked) - set(there) <= {"async-timeout", "httpx2-jsfetch", "typing-extensions"}


def test_nothing_is_left_of_the_build(image: Image) -> None:
    for path in ("build", "root/.cache", "etc/pip.conf", "opt/authsvc/bin/pip"):
        assert not (image.root / path).exists(), path


def test_the_service_runs_in_it(image: Image, tmp_path: Path) -> None:
    """The whole of it: two workers, a migration, a token, the health check, the end."""
    with running_stores(durable=False) as stores:
        sockets = Path(parse_qs(urlsplit(stores.database_url).query)["host"][0])
        sockets.chmod(0o711)
        next(sockets.glob(".s.PGSQL.*[0-9]")).chmod(0o777)
        port, management_port = free_port(), free_port()
        base, management = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{management_port}"
        database_url = stores.database_url.replace(str(sockets), "/mnt")
        environ = SETTINGS | {"AUTHSVC_DATABASE_URL": database_url, "AUTHSVC_ISSUER": base}
        options = ["--port", str(port), "--management-port", str(management_port), "--drain-seconds", "0"]
        command = image.command("authsvc", "serve", "--workers", "2", "--migrate", *options, environ=environ)
        log = tmp_path / "log"
        with log.open("w") as stderr:
            process = subprocess.Popen(command, env=image.environ(sockets), stderr=stderr)
        try:

            def is_ready() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return httpx2.get(f"{management}/readyz").status_code == 200
                except httpx2.TransportError:
                    return False

            wait_until(is_ready, 60)
            check = [word.replace("9000", str(management_port)) for word in image.config["Healthcheck"]["Test"][1:]]
            image.run(*check)

            made = json.loads(
                image.run(
                    "authsvc", "client", "create", "--name", "x", "--grant", "client_credentials", "--json",
                    environ=environ, bound=sockets,
                ).stdout
            )  # fmt: skip
            auth = (made["client_id"], made["client_secret"])
            token = httpx2.post(f"{base}/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth).json()
            told = httpx2.post(f"{base}/oauth2/introspect", data={"token": token["access_token"]}, auth=auth).json()
            assert told["active"] is True
            assert "authsvc_introspections_total" in httpx2.get(f"{management}/metrics").text

            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
            assert image.run(*check, check=False).returncode != 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
