"""`authsvc dev`: the whole service from nothing, with stores of its own, a first user and a first client."""

import asyncio
import json
import shutil
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from authsvc import logs
from authsvc.embedded import Embedded, Stores, wipe
from authsvc.entropy import SystemEntropy, mint_id
from authsvc.errors import ConfigurationError
from authsvc.metrics import Metrics
from authsvc.migrate import migrate
from authsvc.models import GrantType
from authsvc.protocol.clients import ClientRegistration
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key
from authsvc.settings import Settings, load
from authsvc.supervisor import ServeOptions, serve
from authsvc.wiring import open_flows

ENVIRONMENT_FILE = "environment.json"
MASTER_KEY_FILE = "master.key"
FIRST_EMAIL = "demo@example.com"
DEMO_CLIENT = "demo"


@dataclass(frozen=True, slots=True)
class DevOptions:
    data_dir: Path
    reset: bool
    serving: ServeOptions


@dataclass(frozen=True, slots=True)
class FirstSecrets:
    """Made at the first start and shown once."""

    password: str
    client_id: str
    client_secret: str


def say(line: str) -> None:
    click.echo(line)


def run(options: DevOptions, environ: MutableMapping[str, str]) -> int:
    """Everything up, until Ctrl-C. `environ` gets the settings, for the workers to read. The exit status.

    Raises:
        ConfigurationError: something is missing or in use; the text says what to do.
    """
    if options.reset:
        say(f"forgetting everything in {options.data_dir}")
        wipe(options.data_dir)
        for name in (ENVIRONMENT_FILE, MASTER_KEY_FILE):
            (options.data_dir / name).unlink(missing_ok=True)
    embedded = Embedded(options.data_dir, say=say)
    with embedded as stores:
        settings = _settings(options, stores, environ)
        for name in asyncio.run(migrate(settings.database_url)):
            say(f"applied migration {name}")
        logs.configure("error", "console")
        secrets = asyncio.run(_first_secrets(settings))
        logs.configure(settings.log_level, settings.log_format)
        welcome = _welcome(settings, options.serving, secrets)
        status = serve(replace(options.serving, on_ready=lambda: say(welcome)), settings)
        say("stopping PostgreSQL and Valkey")
    return status


def _settings(options: DevOptions, stores: Stores, environ: MutableMapping[str, str]) -> Settings:
    serving = options.serving
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    environ["AUTHSVC_DATABASE_URL"] = stores.database_url
    environ["AUTHSVC_REDIS_URL"] = stores.redis_url
    environ["AUTHSVC_MASTER_KEY"] = _master_key(options.data_dir)
    environ.setdefault("AUTHSVC_ISSUER", f"http://{host}:{serving.port}")
    environ.setdefault("AUTHSVC_LOG_FORMAT", "console")
    settings = load(environ)
    # For the commands beside this one: `authsvc client create` and the like find the stores by it.
    ours = {name: value for name, value in environ.items() if name.startswith("AUTHSVC_")}
    _write_private(options.data_dir / ENVIRONMENT_FILE, json.dumps(ours, indent=1))
    return settings


def _master_key(data_dir: Path) -> str:
    path = data_dir / MASTER_KEY_FILE
    if not path.exists():
        _write_private(path, format_master_key(SystemEntropy().bytes(MASTER_KEY_BYTES)))
    return path.read_text(encoding="ascii").strip()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


async def _first_secrets(settings: Settings) -> FirstSecrets | None:
    """A first user and a demo client, where there is no client but the built-in one."""
    async with open_flows(settings, Metrics(CollectorRegistry()), keeps_fresh=False, with_jobs=False) as flows:
        if any(not client.first_party for client in await flows.clients.list_all()):
            return None
        password = mint_id(SystemEntropy())
        await flows.registration.create(FIRST_EMAIL, password, email_verified=True)
        client, secret = await flows.clients.create(
            ClientRegistration(name=DEMO_CLIENT, grant_types=(GrantType.CLIENT_CREDENTIALS,), scope="read write")
        )
        if secret is None:
            raise ConfigurationError(["the demo client has no secret"])
        return FirstSecrets(password, client.client_id, secret)


def _welcome(settings: Settings, serving: ServeOptions, secrets: FirstSecrets | None) -> str:
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [
        "",
        "-" * width,
        f"authsvc     {settings.issuer}",
        f"management  http://{serving.management_host}:{serving.management_port}   /metrics /livez /readyz",
        "",
    ]
    return "\n".join([*lines, *(_introduce(settings.issuer, secrets) if secrets else _remember()), "-" * width])


def _introduce(base: str, secrets: FirstSecrets) -> list[str]:
    basic = f"-u {secrets.client_id}:{secrets.client_secret}"
    return [
        "Made for you, shown this once:",
        f"  user     {FIRST_EMAIL}   password {secrets.password}",
        f"  client   {secrets.client_id}   secret {secrets.client_secret}",
        "",
        "Try it in another terminal: get a token, introspect it, revoke it, introspect it again.",
        "",
        f"TOKEN=$(curl -s {basic} -d grant_type=client_credentials {base}/oauth2/token"
        ' | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\'); echo $TOKEN',
        "",
        f"curl -s {basic} -d token=$TOKEN {base}/oauth2/introspect",
        "",
        f"curl -s {basic} -d token=$TOKEN {base}/oauth2/revoke",
        "",
        f"curl -s {basic} -d token=$TOKEN {base}/oauth2/introspect",
        "",
        "Ctrl-C stops it; the data stays for the next start.",
    ]


def _remember() -> list[str]:
    return [
        "Users, clients and keys of the last run are kept (--reset forgets them). A new client and its secret:",
        '  authsvc client create --name mine --grant client_credentials --scope "read write"',
        "",
        "Ctrl-C stops it; the data stays for the next start.",
    ]
