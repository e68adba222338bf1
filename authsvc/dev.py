"""`authsvc dev`: the whole service from nothing, with stores of its own, a first user, a first client, and a website
where that user can log in."""

import asyncio
import json
import socket
from collections.abc import MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from errno import EADDRINUSE
from os import strerror
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from authsvc import logs
from authsvc.demo.process import running
from authsvc.demo.registration import Registration
from authsvc.embedded import Embedded, Stores, wipe
from authsvc.entropy import SystemEntropy, mint_id
from authsvc.errors import ConfigurationError, NotFound
from authsvc.flows import Flows
from authsvc.metrics import Metrics
from authsvc.migrate import migrate
from authsvc.models import ApplicationType, GrantType, JsonObject
from authsvc.protocol.clients import ClientChanges, ClientRegistration
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key
from authsvc.settings import Settings, load
from authsvc.supervisor import ServeOptions, listen, serve
from authsvc.welcome import FIRST_EMAIL, FirstSecrets, Made, build_welcome
from authsvc.wiring import open_flows

ENVIRONMENT_FILE = "environment.json"
MASTER_KEY_FILE = "master.key"
WEBSITE_FILE = "website"
FIRST_CLAIMS: JsonObject = {"name": "Demo User", "given_name": "Demo", "family_name": "User", "locale": "en"}
DEMO_CLIENT = "demo"
WEBSITE = "Demo website"
WEBSITE_HOST = "127.0.0.1"
EXAMPLE_APP = "http://127.0.0.1:8091"
"""Where `make spa` is: a page that may ask with the cookie of a session, unless the settings name others."""
WEBSITE_SCOPE = "openid profile email offline_access"


@dataclass(frozen=True, slots=True)
class DevOptions:
    data_dir: Path
    reset: bool
    serving: ServeOptions
    website_port: int | None
    """0: any; None: there is no website."""


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
        for name in (ENVIRONMENT_FILE, MASTER_KEY_FILE, WEBSITE_FILE):
            (options.data_dir / name).unlink(missing_ok=True)
    embedded = Embedded(options.data_dir, say=say)
    with embedded as stores:
        settings = _settings(options, stores, environ)
        for name in asyncio.run(migrate(settings.database_url)):
            say(f"applied migration {name}")
        with ExitStack() as stack:
            website = stack.enter_context(_listen(options)) if options.website_port is not None else None
            logs.configure("error", "console")
            made = asyncio.run(_make_first_things(settings, _find_website(options.data_dir), website))
            logs.configure(settings.log_level, settings.log_format)
            if made.website is not None:
                _write_private(options.data_dir / WEBSITE_FILE, made.website.client_id)

            def welcome() -> None:
                if website is not None and made.website is not None:
                    stack.enter_context(running(website, made.website, settings))
                say(build_welcome(settings, options.serving, made))

            status = serve(replace(options.serving, on_ready=welcome), settings)
        say("stopping PostgreSQL and Valkey")
    return status


def _settings(options: DevOptions, stores: Stores, environ: MutableMapping[str, str]) -> Settings:
    serving = options.serving
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    environ["AUTHSVC_DATABASE_URL"] = stores.database_url
    environ["AUTHSVC_REDIS_URL"] = stores.redis_url
    environ["AUTHSVC_MASTER_KEY"] = _master_key(options.data_dir)
    environ.setdefault("AUTHSVC_ISSUER", f"http://{host}:{serving.port}")
    environ.setdefault("AUTHSVC_APP_ORIGINS", EXAMPLE_APP)
    environ.setdefault("AUTHSVC_LOG_FORMAT", "console")
    environ.setdefault("AUTHSVC_BRAND_NAME", "authsvc")
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


def _listen(options: DevOptions) -> socket.socket:
    """Where the website is to be, or, if that cannot be, anywhere else."""
    port = options.website_port or 0
    try:
        if port and port in {options.serving.port, options.serving.management_port}:
            raise OSError(EADDRINUSE, strerror(EADDRINUSE))
        return listen(WEBSITE_HOST, port)
    except OSError as error:
        say(f"the demo website cannot have port {port}, and takes another: {error.strerror}")
        return listen(WEBSITE_HOST, 0)


def _find_website(data_dir: Path) -> str | None:
    """The id of its client, if it had one at an earlier start."""
    path = data_dir / WEBSITE_FILE
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


async def _make_first_things(settings: Settings, website_id: str | None, website: socket.socket | None) -> Made:
    async with open_flows(settings, Metrics(CollectorRegistry()), keeps_fresh=False, with_jobs=False) as flows:
        secrets = await _first_secrets(flows)
        if website is None:
            return Made(secrets, None)
        redirect_uri = f"http://{WEBSITE_HOST}:{website.getsockname()[1]}/callback"
        client_id, secret = await _register_website(flows, website_id, redirect_uri)
        return Made(secrets, Registration(settings.issuer, client_id, secret, redirect_uri))


async def _first_secrets(flows: Flows) -> FirstSecrets | None:
    """A first user and a demo client, where there is no client but the built-in one."""
    if any(not client.first_party for client in await flows.clients.list_all()):
        return None
    password = mint_id(SystemEntropy())
    await flows.registration.create(FIRST_EMAIL, password, email_verified=True, claims=FIRST_CLAIMS)
    client, secret = await flows.clients.create(
        ClientRegistration(name=DEMO_CLIENT, grant_types=(GrantType.CLIENT_CREDENTIALS,), scope="read write")
    )
    if secret is None:
        raise ConfigurationError(["the demo client has no secret"])
    return FirstSecrets(password, client.client_id, secret)


async def _register_website(flows: Flows, client_id: str | None, redirect_uri: str) -> tuple[str, str]:
    """The website's client, as it has to be today, and a new secret for it: it is kept nowhere but in the website's
    memory."""
    settings = ClientChanges(
        name=WEBSITE,
        redirect_uris=(redirect_uri,),
        application_type=ApplicationType.NATIVE,  # for http on the loopback, which websites do not have for long
        grant_types=(GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN),
        scope=WEBSITE_SCOPE,
    )
    if client_id is not None:
        with suppress(NotFound):  # somebody has deleted it
            await flows.clients.update(client_id, settings)
            rotated = await flows.clients.rotate_secret(client_id, keep_old_for=timedelta(0))
            return client_id, rotated.secret
    client, secret = await flows.clients.create(ClientRegistration(**settings))
    if secret is None:
        raise ConfigurationError(["the client of the demo website has no secret"])
    return client.client_id, secret
