"""One frozen Settings, read once from a mapping, every fault reported together.

Precedence: command line > environment > file > default. Every setting has a `_FILE` form that names a file holding the
value, so that a secret need not stand in the environment.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from authsvc.errors import ConfigurationError

PREFIX = "AUTHSVC_"
FILE_SUFFIX = "_FILE"
CONFIG_FILE = "AUTHSVC_CONFIG_FILE"

Parse = Callable[[str], Any]


def _setting(parse: Parse, doc: str, default: Any = MISSING, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "doc": doc, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


# --- Parsers: text -> value, or ValueError with a text for the operator


def _whole(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _url(*schemes: str) -> Parse:
    def parse(text: str) -> str:
        if _scheme_of(text) not in schemes:
            raise ValueError(f"must be a URL that starts with {' or '.join(scheme + '://' for scheme in schemes)}")
        return text

    return parse


def _scheme_of(text: str) -> str:
    try:
        return urlsplit(text).scheme
    except ValueError:  # whose words may quote the text, and that holds a password
        return ""


def _issuer(text: str) -> str:
    """MET-05, ISS-02: https, no query, no fragment; http on loopback alone."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if not host or not (text.isascii() and text.isprintable()) or " " in text or "@" in parts.netloc:
        raise ValueError("must be a URL with a host and no credentials")
    if "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment (RFC 8414 §2)")
    if parts.path.endswith("/"):
        raise ValueError("must not end in a slash: it is compared character for character")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must start with https:// (http:// is accepted on loopback only)")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _absolute_uri(text: str) -> str:
    if not _scheme_of(text) or "#" in text or not text.isascii() or any(c.isspace() for c in text):
        raise ValueError("must be an absolute URI without fragment (RFC 8707 §2)")
    return text


def _text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set; the words beside each stand in `docs/settings.md` too."""

    issuer: str = _setting(_issuer, "The service's own identity and base URL, in every token and in the metadata.")
    database_url: str = _setting(
        _url("postgresql", "postgres"), "PostgreSQL, as `postgresql://user:password@host:5432/name`.", secret=True
    )
    master_key: str = _setting(
        _text, "32 random bytes, base64url: encrypts the signing keys at rest. Made by `authsvc master-key generate`.",
        secret=True,
    )  # fmt: skip
    redis_url: str | None = _setting(
        _url("redis", "rediss", "unix"), "Redis 7 or Valkey, the cache in front of PostgreSQL. Optional.", None,
        secret=True,
    )  # fmt: skip
    default_audience: str | None = _setting(
        _absolute_uri, "The `aud` of tokens asked for without a resource. Default: `<issuer>/resources`.", None
    )
    access_token_algorithm: str = _setting(
        _one_of("ES256", "RS256", "Ed25519"), "Signs the access tokens: `ES256`, `RS256` or `Ed25519`.", "ES256"
    )
    access_token_seconds: int = _setting(_whole(30, 3600), "How long an access token lives.", 600)
    session_seconds: int = _setting(_whole(300, 2_592_000), "How long a session lives at most.", 2_592_000)
    refresh_idle_seconds: int = _setting(
        _whole(300, 7_776_000), "How long a refresh token lives when it is not used.", 1_209_600
    )
    refresh_absolute_seconds: int = _setting(
        _whole(300, 7_776_000), "How long a family of refresh tokens lives at most.", 7_776_000
    )
    registration: str = _setting(_one_of("open", "closed"), "Whether `POST /api/v1/users` makes users.", "open")
    password_min_length: int = _setting(_whole(8, 64), "Fewest code points of a new password.", 15)
    password_hash_memory_kib: int = _setting(_whole(19_456, 1_048_576), "Argon2id memory per hash, in KiB.", 19_456)
    password_hash_passes: int = _setting(_whole(2, 20), "Argon2id passes over the memory.", 2)
    password_hash_threads: int = _setting(
        _whole(0, 64), "Hashes computed at once in one worker. 0: one less than the processors, at least 1.", 0
    )
    password_hash_queue: int = _setting(
        _whole(1, 1024), "Hashes that may wait in one worker; beyond it the answer is 503 with Retry-After.", 16
    )
    database_pool: int = _setting(_whole(1, 100), "PostgreSQL connections of one worker, besides introspection's.", 8)
    introspection_pool: int = _setting(_whole(1, 16), "PostgreSQL connections kept for introspection alone.", 2)
    database_timeout_ms: int = _setting(_whole(100, 30_000), "Longest wait for one PostgreSQL statement.", 3_000)
    token_cache: int = _setting(_whole(0, 10_000_000), "Verified tokens one worker remembers.", 50_000)
    jwks_max_age: int = _setting(_whole(30, 3600), "Seconds a verifier may keep the JWKS.", 300)
    log_level: str = _setting(_one_of("debug", "info", "warning", "error"), "Least severe message written.", "info")
    log_format: Literal["json", "console"] = _setting(
        _one_of("json", "console"), "`json`, or `console` for people.", "json"
    )

    @property
    def resolved_default_audience(self) -> str:
        """The audience of a token that was asked for without a resource (RFC 9068 §3)."""
        return self.default_audience or f"{self.issuer}/resources"

    @property
    def api_audience(self) -> str:
        """The audience of this service's own API."""
        return f"{self.issuer}/api/v1"


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
    if faults:
        raise ConfigurationError(faults)
    return Settings(**values)


def unknown_names(environ: Mapping[str, str]) -> list[str]:
    """Names that look like settings and are none: most likely misspelt."""
    known = {CONFIG_FILE} | {environment_name(each.name) for each in fields(Settings)}
    known |= {name + FILE_SUFFIX for name in known}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


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
