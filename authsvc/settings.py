"""One frozen Settings, read once from a mapping, every fault reported together.

Precedence: command line > environment > file > default. Every setting has a `_FILE` form that names a file holding the
value, so that a secret need not stand in the environment.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from authsvc import setting_parsers as parsers
from authsvc.errors import ConfigurationError

PREFIX = "AUTHSVC_"
FILE_SUFFIX = "_FILE"
CONFIG_FILE = "AUTHSVC_CONFIG_FILE"


def _setting(parse: parsers.Parse, doc: str, default: Any = MISSING, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "doc": doc, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set; the words beside each stand in `docs/settings.md` too."""

    issuer: str = _setting(
        parsers.issuer, "The service's own identity and base URL, in every token and in the metadata."
    )
    database_url: str = _setting(
        parsers.url("postgresql", "postgres"),
        "PostgreSQL, as `postgresql://user:password@host:5432/name`.",
        secret=True,
    )
    master_key: str = _setting(
        parsers.text,
        "32 random bytes, base64url: encrypts the signing keys at rest. Made by `authsvc master-key generate`.",
        secret=True,
    )  # fmt: skip
    master_key_previous: str | None = _setting(
        parsers.text, "The master key before this one, for as long as anything is sealed with it: it only opens.", None,
        secret=True,
    )  # fmt: skip
    redis_url: str | None = _setting(
        parsers.url("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"),
        "Redis 7 or Valkey, the cache in front of PostgreSQL. Optional.",
        None,
        secret=True,
    )  # fmt: skip
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = _setting(
        parsers.networks, "Networks of the proxies in front, comma-separated: their `X-Forwarded-For` is believed.", ()
    )
    default_audience: str | None = _setting(
        parsers.absolute_uri, "The `aud` of tokens asked for without a resource. Default: `<issuer>/resources`.", None
    )
    access_token_algorithm: str = _setting(
        parsers.one_of("ES256", "RS256", "Ed25519"), "Signs the access tokens: `ES256`, `RS256` or `Ed25519`.", "ES256"
    )
    key_rotation_days: int = _setting(
        parsers.whole(0, 3650),
        "How long a key signs before the next one takes over. 0: until `authsvc key rotate`.",
        90,
    )
    access_token_seconds: int = _setting(parsers.whole(30, 3600), "How long an access token lives.", 600)
    session_seconds: int = _setting(parsers.whole(300, 2_592_000), "How long a session lives at most.", 2_592_000)
    session_idle_seconds: int = _setting(
        parsers.whole(300, 2_592_000), "How long a browser stays logged in when nobody uses it.", 259_200
    )
    refresh_idle_seconds: int = _setting(
        parsers.whole(300, 7_776_000), "How long a refresh token lives when it is not used.", 1_209_600
    )
    refresh_absolute_seconds: int = _setting(
        parsers.whole(300, 7_776_000), "How long a family of refresh tokens lives at most.", 7_776_000
    )
    registration: str = _setting(parsers.one_of("open", "closed"), "Whether `POST /api/v1/users` makes users.", "open")
    password_min_length: int = _setting(parsers.whole(8, 64), "Fewest code points of a new password.", 15)
    password_pepper: str | None = _setting(
        parsers.text,
        "32 random bytes, base64url: keys passwords before they are hashed. Made by `authsvc pepper generate`.",
        None, secret=True,
    )  # fmt: skip
    password_pepper_previous: str | None = _setting(
        parsers.text,
        "Another pepper that stored hashes may have: the one before, or the one to come.",
        None,
        secret=True,
    )
    password_hash_memory_kib: int = _setting(
        parsers.whole(19_456, 1_048_576), "Argon2id memory per hash, in KiB.", 19_456
    )
    password_hash_passes: int = _setting(parsers.whole(2, 20), "Argon2id passes over the memory.", 2)
    password_hash_threads: int = _setting(
        parsers.whole(0, 64),
        "Hashes computed at once in one worker. 0: one less than the processors it may use, at least 1.",
        0,
    )
    password_hash_queue: int = _setting(
        parsers.whole(1, 1024), "Hashes that may wait in one worker; beyond it the answer is 503 with Retry-After.", 16
    )
    attempt_window_seconds: int = _setting(
        parsers.whole(60, 86_400),
        "The time that the next five count in: a spent budget takes as long to grow back.",
        900,
    )
    login_attempts: int = _setting(
        parsers.whole(0, 1_000_000),
        "Failed logins at one account from one address; also wrong current passwords of one user. 0: no limit.", 10,
    )  # fmt: skip
    login_attempts_per_account: int = _setting(
        parsers.whole(0, 1_000_000), "Failed logins at one account from all addresses together. 0: no limit.", 100
    )
    login_attempts_per_address: int = _setting(
        parsers.whole(0, 1_000_000), "Failed logins from one address at all accounts together. 0: no limit.", 300
    )
    registrations_per_address: int = _setting(
        parsers.whole(0, 1_000_000), "Attempts to register from one address. 0: no limit.", 100
    )
    client_failures: int = _setting(
        parsers.whole(0, 1_000_000),
        "Failed authentications of one client from one address, in one worker. 0: no limit.",
        100,
    )
    client_requests_per_minute: int = _setting(
        parsers.whole(0, 10_000_000),
        "Token requests of one client in one worker, and as many revocations. 0: no limit.", 60_000,
    )  # fmt: skip
    pushed_requests_per_minute: int = _setting(
        parsers.whole(0, 10_000_000),
        "Requests that one client pushes, a public one from one address, in one worker. 0: no limit.", 600,
    )  # fmt: skip
    introspections_per_minute: int = _setting(
        parsers.whole(0, 10_000_000), "Introspections of one client, in one worker. 0: no limit.", 0
    )
    database_pool: int = _setting(
        parsers.whole(1, 100), "PostgreSQL connections of one worker, besides introspection's.", 8
    )
    introspection_pool: int = _setting(parsers.whole(1, 16), "PostgreSQL connections kept for introspection alone.", 2)
    database_timeout_ms: int = _setting(parsers.whole(100, 30_000), "Longest wait for one PostgreSQL statement.", 3_000)
    audit_retention_days: int = _setting(
        parsers.days_or_never, "Days that security events are kept; 0 keeps them for good.", 400
    )
    token_cache: int = _setting(parsers.whole(0, 10_000_000), "Verified tokens one worker remembers.", 50_000)
    jwks_max_age: int = _setting(parsers.whole(30, 3600), "Seconds a verifier may keep the JWKS.", 300)
    cors_origins: tuple[str, ...] = _setting(
        parsers.origins, "Sites whose scripts may use the API from a browser: exact origins, between commas.", ()
    )
    app_origins: tuple[str, ...] = _setting(
        parsers.origins,
        "Neighbours whose pages may use the session's cookie: exact origins of the issuer's site, between commas.",
        (),
    )
    require_pushed_authorization_requests: bool = _setting(
        parsers.switch, "`true`: every client has to push its authorization requests (RFC 9126).", False
    )
    require_signed_request_object: bool = _setting(
        parsers.switch, "`true`: every client has to sign its authorization requests (RFC 9101).", False
    )
    outbound_ca_file: str | None = _setting(
        parsers.text,
        "A PEM file with authorities that are trusted at addresses of clients, like `jwks_uri`, beside the system's.",
        None,
    )
    outbound_loopback: bool = _setting(
        parsers.switch, "`true`: addresses of clients may be on this machine. For tests alone.", False
    )
    brand_name: str | None = _setting(
        parsers.name, "Whose pages they are, as people know it. Default: the host of the issuer.", None
    )
    brand_color: str = _setting(
        parsers.colour, "The colour of buttons and links, as `#rrggbb`. It is made legible where it is not.", "#2457c5"
    )
    brand_logo: str | None = _setting(
        parsers.text, "A picture for the top of the pages and the browser's tab: SVG, PNG, WebP or JPEG.", None
    )
    pages_dir: str | None = _setting(
        parsers.text, "A folder with the operator's own templates, words and style. See [pages](pages.md).", None
    )
    tls_certificate: str | None = _setting(
        parsers.text, "A PEM file with the certificate and its chain: the service then speaks TLS itself.", None
    )
    tls_key: str | None = _setting(parsers.text, "The PEM file with the key of that certificate.", None)
    log_level: str = _setting(
        parsers.one_of("debug", "info", "warning", "error"), "Least severe message written.", "info"
    )
    log_format: Literal["json", "console"] = _setting(
        parsers.one_of("json", "console"), "`json`, or `console` for people.", "json"
    )

    @property
    def resolved_default_audience(self) -> str:
        """The audience of a token that was asked for without a resource (RFC 9068 §3)."""
        return self.default_audience or f"{self.issuer}/resources"

    @property
    def resolved_brand_name(self) -> str:
        """The name on the pages."""
        return self.brand_name or urlsplit(self.issuer).hostname or self.issuer

    @property
    def api_audience(self) -> str:
        """The audience of this service's own API."""
        return f"{self.issuer}/api/v1"

    @property
    def userinfo_audience(self) -> str:
        """The audience of tokens that UserInfo takes."""
        return f"{self.issuer}/oauth2/userinfo"


def environment_name(name: str) -> str:
    """`database_url` -> `AUTHSVC_DATABASE_URL`."""
    return PREFIX + name.upper()


def load(environ: Mapping[str, str], *, config_file: Path | None = None) -> Settings:
    """Read every setting.

    Raises:
        ConfigurationError: with every fault found, each naming its setting and never its value.
    """
    faults: list[str] = []
    path = config_file or (Path(environ[CONFIG_FILE]) if environ.get(CONFIG_FILE) else None)
    from_file = _read_toml(path, faults) if path else {}
    values: dict[str, Any] = {}
    for each in fields(Settings):
        text = _find_text(each, environ, from_file, faults)
        if text is None:
            if each.default is MISSING:
                faults.append(f"{environment_name(each.name)} is not set: {each.metadata['doc']}")
            continue
        try:
            values[each.name] = each.metadata["parse"](text)
        except ValueError as error:
            faults.append(f"{environment_name(each.name)} {error}")
    match [name for name in ("tls_certificate", "tls_key") if values.get(name)]:
        case [alone]:
            faults.append(f"{environment_name(alone)} is of no use alone: a certificate and its key belong together")
    if faults:
        raise ConfigurationError(faults)
    return Settings(**values)


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Names that look like settings and are none: most likely misspelt."""
    known = {CONFIG_FILE} | {environment_name(each.name) for each in fields(Settings)}
    known |= {name + FILE_SUFFIX for name in known}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def find_secret_files(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files that secrets are read from, by the name of the variable that says where."""
    names = {environment_name(each.name) + FILE_SUFFIX for each in fields(Settings) if each.metadata["secret"]}
    names.add(environment_name("tls_key"))
    return {name: Path(environ[name]) for name in sorted(names) if environ.get(name)}


def _find_text(
    each: "Field[Any]", environ: Mapping[str, str], from_file: Mapping[str, str], faults: list[str]
) -> str | None:
    name = environment_name(each.name)
    direct, path = environ.get(name), environ.get(name + FILE_SUFFIX)
    if direct and path:
        faults.append(f"{name} and {name + FILE_SUFFIX} are both set: keep one")
    if direct:
        return direct
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{name + FILE_SUFFIX} cannot be read: {type(error).__name__}")
            return None
    return from_file.get(each.name)


def _read_toml(path: Path, faults: list[str]) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"the configuration file cannot be read: {type(error).__name__}")
        return {}
    known = {each.name for each in fields(Settings)}
    faults.extend(f"the configuration file has an unknown setting: {name}" for name in table if name not in known)
    return {name: _toml_text(value) for name, value in table.items() if name in known}


def _toml_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
