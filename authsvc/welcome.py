"""What `authsvc dev` says when everything is up: addresses, secrets that are shown once, and what to try."""

import shutil
from dataclasses import dataclass

from authsvc.demo.registration import Registration
from authsvc.settings import Settings
from authsvc.supervisor import ServeOptions

FIRST_EMAIL = "demo@example.com"


@dataclass(frozen=True, slots=True)
class FirstSecrets:
    """Made at the first start and shown once."""

    password: str
    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Made:
    """What stands ready when the service does. The secrets only at the first start."""

    secrets: FirstSecrets | None
    website: Registration | None


def build_welcome(settings: Settings, serving: ServeOptions, made: Made) -> str:
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [
        "",
        "-" * width,
        f"authsvc     {settings.issuer}   where users look after themselves: {settings.issuer}/account",
        f"management  http://{serving.management_host}:{serving.management_port}   /metrics /livez /readyz",
    ]
    if made.website is not None:
        address = made.website.redirect_uri.removesuffix("/callback")
        lines.append(f"website     {address}   log in there as {FIRST_EMAIL}")
    lines += ["", *(_introduce(settings.issuer, made.secrets) if made.secrets else _remember())]
    return "\n".join([*lines, "", "Ctrl-C stops it; the data stays for the next start.", "-" * width])


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
    ]


def _remember() -> list[str]:
    return [
        "Users, clients and keys of the last run are kept (--reset forgets them). A new client and its secret:",
        '  authsvc client create --name mine --grant client_credentials --scope "read write"',
    ]
