"""Registers an example at the service that `make dev` runs here, and runs it: `make spa`, `make website`.

A team does this part by hand, once: the commands stand in the README of each example.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLES = {"single-page-app": 8091, "server-side-app": 8092}
ORDERS = "https://orders.example"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("--issuer", default="http://127.0.0.1:8000", help="where `make dev` is")
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    port = options.port or EXAMPLES[options.example]
    try:
        settings = register(options.example, options.issuer, f"http://127.0.0.1:{port}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stderr}Is `make dev` running, in this directory?")
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE / options.example), "--port", str(port),
               "--log-level", "warning", "--no-proxy-headers", "app:app"]  # fmt: skip
    print(f"{options.example}: http://127.0.0.1:{port}", flush=True)  # noqa: T201
    os.execve(sys.executable, command, {**os.environ, **settings})  # noqa: S606


def register(example: str, issuer: str, origin: str) -> dict[str, str]:
    """What the example has to know of the service, and of itself."""
    if example == "single-page-app":
        gateway = client("Example gateway", "--serves", f"{issuer}/resources")
        return {"ISSUER": issuer, "ORIGIN": origin, **named("GATEWAY", gateway)}
    api = client("Example API", "--serves", ORDERS)
    website = client(
        "Example website", "--grant", "authorization_code", "--grant", "refresh_token",
        "--redirect-uri", f"{origin}/callback", "--post-logout-redirect-uri", f"{origin}/",
        "--application-type", "native",  # for http on the loopback
        "--scope", "openid email offline_access orders", "--audience", ORDERS,
    )  # fmt: skip
    return {"ISSUER": issuer, "ORIGIN": origin, **named("WEBSITE", website), **named("API", api)}


def named(name: str, credentials: tuple[str, str]) -> dict[str, str]:
    return dict(zip((f"{name}_ID", f"{name}_SECRET"), credentials, strict=True))


def client(name: str, *settings: str) -> tuple[str, str]:
    """The client of this name, as it has to be today, with a new secret: it is kept in the memory of the example."""
    for each in known():
        if each["client_name"] == name:
            authsvc("update", each["client_id"], *settings)
            made = authsvc("rotate-secret", each["client_id"], "--drop-old")
            break
    else:
        made = authsvc("create", "--name", name, *settings)
    return made["client_id"], made["client_secret"]


@cache
def known() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = authsvc("list")
    return found


def authsvc(*words: str) -> Any:
    command = [sys.executable, "-m", "authsvc", "client", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
