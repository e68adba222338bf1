"""Settings: where they come from, which one counts, and every fault at once without a word of what was set."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, FrozenInstanceError, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.errors import ConfigurationError
from authsvc.settings import CONFIG_FILE, Settings, environment_name, load, unknown_names

MINIMAL = {
    "AUTHSVC_ISSUER": "https://id.example",
    "AUTHSVC_DATABASE_URL": "postgresql://authsvc:sesame@db/authsvc",
    "AUTHSVC_MASTER_KEY": "kR1f1V9T5jv2g8Gq0yPj3m8bW7c4aZ6xN1oQeUuHsYI",
}
NAMES = [each.name for each in fields(Settings)]
NUMBERS = [each for each in fields(Settings) if each.type is int]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "authsvc.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def faults_of(environ: dict[str, str], **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(environ, **options)
    return list(caught.value.faults)


# --- Defaults and names


def test_three_settings_are_enough_and_the_rest_have_defaults() -> None:
    loaded = load(MINIMAL)
    assert (loaded.issuer, loaded.database_url) == ("https://id.example", MINIMAL["AUTHSVC_DATABASE_URL"])
    assert loaded.redis_url is None
    for each in fields(Settings):
        if each.default is not MISSING:
            assert getattr(loaded, each.name) == each.default
    required = {environment_name(each.name) for each in fields(Settings) if each.default is MISSING}
    assert required == set(MINIMAL)


def test_the_resources_of_the_service_come_of_the_issuer_unless_they_are_named() -> None:
    assert load(MINIMAL).resolved_default_audience == "https://id.example/resources"
    assert load(MINIMAL).api_audience == "https://id.example/api/v1"
    named = load(MINIMAL | {"AUTHSVC_DEFAULT_AUDIENCE": "urn:api"})
    assert named.resolved_default_audience == "urn:api"


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load(MINIMAL).issuer = "https://evil.example"  # type: ignore[misc]


def test_settings_do_not_show_their_secrets() -> None:
    environ = MINIMAL | {"AUTHSVC_REDIS_URL": "redis://:opensesame@cache"}
    shown = f"{load(environ)!r} {load(environ)}"
    for secret in ("sesame", "opensesame", MINIMAL["AUTHSVC_MASTER_KEY"]):
        assert secret not in shown
    assert "https://id.example" in shown


def test_an_empty_value_is_an_unset_one() -> None:
    assert load(MINIMAL | {"AUTHSVC_ACCESS_TOKEN_SECONDS": "", "AUTHSVC_REDIS_URL": ""}) == load(MINIMAL)
    assert len(faults_of(MINIMAL | {"AUTHSVC_ISSUER": ""})) == 1


# --- Faults


def test_every_fault_is_told_at_once() -> None:
    environ = {
        "AUTHSVC_ISSUER": "http://id.example",
        "AUTHSVC_DATABASE_URL": "mysql://db",
        "AUTHSVC_ACCESS_TOKEN_SECONDS": "29",
        "AUTHSVC_LOG_LEVEL": "loud",
        "AUTHSVC_REDIS_URL_FILE": "/nowhere/at/all",
    }
    faults = faults_of(environ)
    named = ["ISSUER", "DATABASE_URL", "MASTER_KEY", "ACCESS_TOKEN_SECONDS", "LOG_LEVEL", "REDIS_URL_FILE"]
    assert len(faults) == len(named)
    for name in named:
        assert len([fault for fault in faults if fault.startswith(f"AUTHSVC_{name} ")]) == 1


def test_every_required_setting_that_is_missing_is_told_with_what_it_is() -> None:
    faults = faults_of({})
    assert len(faults) == 3
    for fault, each in zip(faults, fields(Settings), strict=False):
        assert fault == f"{environment_name(each.name)} is not set: {each.metadata['doc']}"


CANARY = "canary"
WRONG = [
    CANARY,
    f"{CANARY}://{CANARY}",
    f"postgresql://{CANARY}:{CANARY}@[{CANARY}/x",
    f"postgresql://{CANARY}@[{CANARY}]/x",
    f"postgresql://u:{CANARY}℀@host/x",
    f"https://{CANARY}@host",
    f"https://{CANARY}:99999",
    f"https://host/{CANARY}#",
    f"//{CANARY}",
    "9" * 5000 + CANARY,
    f"\0{CANARY}",
    f"{CANARY}\n{CANARY}",
    f"[{CANARY}",
    f"-1 {CANARY}",
]


@pytest.mark.parametrize("value", WRONG)
def test_no_fault_tells_a_value(value: str, write: Write) -> None:
    environ = {environment_name(name): value for name in NAMES}
    for each in (environ, {name + "_FILE": str(write(value)) for name in environ}):
        try:
            load(each)
        except ConfigurationError as error:
            told = f"{error!r} {error} {error.faults} {error.__cause__}"
            assert CANARY not in told
        else:
            raise AssertionError("none of these is good for everything")


@given(value=st.text(min_size=1), name=st.sampled_from(NAMES))
@settings(max_examples=300)
def test_no_text_is_read_otherwise_than_as_a_value_or_as_a_fault(value: str, name: str) -> None:
    try:
        load(MINIMAL | {environment_name(name): value})
    except ConfigurationError as error:
        assert len(error.faults) == 1
        assert error.faults[0].startswith(environment_name(name))


# --- Numbers, choices, URLs


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_a_number_is_whole_and_within_its_bounds(each: Any) -> None:
    name = environment_name(each.name)
    (told,) = faults_of(MINIMAL | {name: "x"})
    low, high = (int(word) for word in told.split() if word.isdigit())
    assert low <= each.default <= high
    for good in (low, high):
        assert getattr(load(MINIMAL | {name: str(good)}), each.name) == good
    for bad in (low - 1, high + 1, f"{low}.0", f" {low}", f"+{low}", f"{low}e0", "0x1F", "１００", "", "9" * 5000):
        if bad != "":
            assert faults_of(MINIMAL | {name: str(bad)}) == [told] or len(str(bad)) > 4000
    assert len(faults_of(MINIMAL | {name: "9" * 5000})) == 1


def test_no_policy_can_be_set_below_what_is_safe() -> None:
    """PWS-01, PWR-01, AT-10, and a timeout that is not for ever."""
    for name, value in [
        ("PASSWORD_HASH_MEMORY_KIB", 19_455),
        ("PASSWORD_HASH_PASSES", 1),
        ("PASSWORD_MIN_LENGTH", 7),
        ("ACCESS_TOKEN_SECONDS", 3601),
        ("DATABASE_TIMEOUT_MS", 30_001),
    ]:
        assert len(faults_of(MINIMAL | {f"AUTHSVC_{name}": str(value)})) == 1


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ACCESS_TOKEN_ALGORITHM", ["ES256", "RS256", "Ed25519"], ["none", "HS256", "es256", "EdDSA", "PS256"]),
        ("REGISTRATION", ["open", "closed"], ["Open", "yes", "true"]),
        ("LOG_LEVEL", ["debug", "info", "warning", "error"], ["INFO", "trace"]),
        ("LOG_FORMAT", ["json", "console"], ["text"]),
        ("BRAND_COLOR", ["#2457c5", "#FFDD00"], ["red", "#fff", "2457c5", "#2457c5ff", "#2457cg", "#2457c5;}"]),
        ("BRAND_NAME", ["Acme & Söhne", "x" * 60], ["x" * 61, "a\nb", "a\u202eb"]),
        (
            "DATABASE_URL",
            ["postgresql://db/x", "postgres://u:p@db:5432/x?sslmode=require", "postgresql:///x?host=/run"],
            ["db", "mysql://db", "http://db", "postgresql+asyncpg://db/x", "postgresql", "postgresql://[db/x"],
        ),
        (
            "REDIS_URL",
            ["redis://cache:6379/0", "rediss://:p@cache", "unix:///run/valkey.sock"],
            ["cache:6379", "http://cache", "valkey://cache", "redis"],
        ),
        (
            "DEFAULT_AUDIENCE",
            ["https://api.example", "urn:api", "https://api.example/a?b=c"],
            ["api", "//api.example", "https://api.example#x", "https://api.example/ x", "https://äpi.example"],
        ),
    ],
)
def test_a_choice_or_a_url_is_one_of_those_that_are_known(name: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        assert getattr(load(MINIMAL | {f"AUTHSVC_{name}": value}), name.lower()) == value
    for value in bad:
        assert len(faults_of(MINIMAL | {f"AUTHSVC_{name}": value})) == 1, value


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("192.0.2.1", ("192.0.2.1/32",)),
        ("10.0.0.0/8, fd00::/8,::1", ("10.0.0.0/8", "fd00::/8", "::1/128")),
    ],
)
def test_trusted_proxies_are_networks(text: str, networks: tuple[str, ...]) -> None:
    loaded = load(MINIMAL | {"AUTHSVC_TRUSTED_PROXIES": text})
    assert loaded.trusted_proxies == tuple(map(ip_network, networks))


@pytest.mark.parametrize("text", ["*", "proxy", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8,", "10.0.0.0/8 ::1", "true"])
def test_what_is_no_network_trusts_nobody(text: str) -> None:
    (fault,) = faults_of(MINIMAL | {"AUTHSVC_TRUSTED_PROXIES": text})
    assert fault.startswith("AUTHSVC_TRUSTED_PROXIES must be networks")


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example",
        "https://id.example:8443",
        "https://id.example/tenant/a",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8000",
        "http://127.9.9.9",
        "http://[::1]:8000",
        "http://localhost:8000/x",
    ],
)
def test_an_issuer_is_https_or_on_loopback(issuer: str) -> None:
    assert load(MINIMAL | {"AUTHSVC_ISSUER": issuer}).issuer == issuer


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://login.example.com", ("https://login.example.com",)),
        ("https://a.example:8443, http://localhost:5173", ("https://a.example:8443", "http://localhost:5173")),
        ("http://127.0.0.1:3000,http://[::1]:3000", ("http://127.0.0.1:3000", "http://[::1]:3000")),
    ],
)
def test_origins_are_taken_as_browsers_send_them(text: str, origins: tuple[str, ...]) -> None:
    assert load(MINIMAL | {"AUTHSVC_CORS_ORIGINS": text}).cors_origins == origins


@pytest.mark.parametrize(
    "origin",
    [
        "*", "https://*.example.com", "null", "login.example.com", "//a.example", "https://a.example/", "https://a.example/x",
        "https://a.example?", "https://a.example#", "https://u@a.example", "https://A.example", "https://a.example:443",
        "https://a.example:", "https://a.example:70000", "https://a.example:08", "https://ä.example", "https://",
        "http://a.example", "http://localhost.example", "http://localhost:80", "ws://localhost", "https://a.example,",
        "https://a.example\nhttps://b.example", "https://a b.example",
    ],
)  # fmt: skip
def test_an_origin_that_no_browser_sends_or_that_anybody_may_fake_is_a_fault(origin: str) -> None:  # ATK-64
    (fault,) = faults_of(MINIMAL | {"AUTHSVC_CORS_ORIGINS": origin})
    assert fault.startswith("AUTHSVC_CORS_ORIGINS must be origins")


def test_a_certificate_and_its_key_belong_together() -> None:
    both = {"AUTHSVC_TLS_CERTIFICATE": "/run/tls.crt", "AUTHSVC_TLS_KEY": "/run/tls.key"}
    taken = load(MINIMAL | both)
    assert (taken.tls_certificate, taken.tls_key) == ("/run/tls.crt", "/run/tls.key")
    for name, value in both.items():
        (fault,) = faults_of(MINIMAL | {name: value})
        assert fault.startswith(name)


@given(st.text(max_size=30))
def test_whatever_is_taken_for_an_origin_is_one(text: str) -> None:
    with suppress(ConfigurationError):
        for origin in load(MINIMAL | {"AUTHSVC_CORS_ORIGINS": "https://a.example," + text}).cors_origins:
            parts = urlsplit(origin)
            assert f"{parts.scheme}://{parts.netloc}" == origin
            assert parts.hostname and "*" not in origin and "@" not in origin


@pytest.mark.parametrize(
    "issuer",
    [
        "id.example",
        "//id.example",
        "ftp://id.example",
        "https://",
        "https:///x",
        "https://id.example/",
        "https://id.example/a/",
        "https://id.example?",
        "https://id.example?a=b",
        "https://id.example#",
        "https://id.example#a",
        "https://user@id.example",
        "https://user:secret@id.example",
        "https://@id.example",
        "https://id.example:99999",
        "https://id.example:x",
        "https://[::1",
        "https://id example",
        "https://id.example\n",
        "https://id.exa\tmple",
        "\x01https://id.example",
        "https://id.example\x7f",
        "https://id\0.example",
        " https://id.example",
        "https://ïd.example",
        "http://id.example",
        "http://127.0.0.1.id.example",
        "http://localhost.id.example",
        "http://127.0.0.1@id.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://0x7f.1",
        "http://2130706433",
        "http://127.1",
        "http://[::ffff:10.0.0.1]",
    ],
)
def test_no_other_issuer_is_taken(issuer: str) -> None:  # MET-05, ISS-02
    (fault,) = faults_of(MINIMAL | {"AUTHSVC_ISSUER": issuer})
    assert fault.startswith("AUTHSVC_ISSUER must")


# --- Files


def test_every_setting_can_stand_in_a_file_of_its_own(write: Write) -> None:
    for name, value in MINIMAL.items():
        others = {each: text for each, text in MINIMAL.items() if each != name}
        for spelled in (value, f"{value}\n", f"  {value}\r\n"):
            assert load(others | {f"{name}_FILE": str(write(spelled))}) == load(MINIMAL)
    loaded = load(MINIMAL | {"AUTHSVC_ACCESS_TOKEN_SECONDS_FILE": str(write("77"))})
    assert loaded.access_token_seconds == 77


def test_a_setting_and_its_file_at_once_are_a_fault(write: Write) -> None:
    environ = MINIMAL | {"AUTHSVC_MASTER_KEY_FILE": str(write("another"))}
    assert faults_of(environ) == ["AUTHSVC_MASTER_KEY and AUTHSVC_MASTER_KEY_FILE are both set: keep one"]


def test_a_file_that_cannot_be_read_is_a_fault(write: Write, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path, write(b"\xff\xfe\x00", "binary")):
        environ = MINIMAL | {"AUTHSVC_DEFAULT_AUDIENCE_FILE": str(path)}
        (fault,) = faults_of(environ)
        assert fault.startswith("AUTHSVC_DEFAULT_AUDIENCE_FILE cannot be read: ")


def test_an_empty_file_is_no_value(write: Write) -> None:
    environ = {name: value for name, value in MINIMAL.items() if name != "AUTHSVC_DATABASE_URL"}
    assert len(faults_of(environ | {"AUTHSVC_DATABASE_URL_FILE": str(write("\n"))})) == 1


# --- The configuration file


def test_settings_can_stand_in_one_toml_file(write: Write) -> None:
    text = "\n".join(f'{name.removeprefix("AUTHSVC_").lower()} = "{value}"' for name, value in MINIMAL.items())
    path = write(f'{text}\naccess_token_seconds = 77\nlog_format = "console"\n')
    loaded = load({}, config_file=path)
    assert (loaded.issuer, loaded.access_token_seconds, loaded.log_format) == ("https://id.example", 77, "console")
    assert load({CONFIG_FILE: str(path)}) == loaded


def test_the_environment_counts_before_the_file_and_the_file_before_the_default(write: Write) -> None:
    path = write("access_token_seconds = 77\nsession_seconds = 300\n")
    for environ in (
        {"AUTHSVC_ACCESS_TOKEN_SECONDS": "88"},
        {"AUTHSVC_ACCESS_TOKEN_SECONDS_FILE": str(write("88", "seconds"))},
    ):
        loaded = load(MINIMAL | environ, config_file=path)
        assert (loaded.access_token_seconds, loaded.session_seconds) == (88, 300)
        assert loaded.jwks_max_age == Settings.__dataclass_fields__["jwks_max_age"].default


def test_the_command_line_names_the_file_that_counts(write: Write) -> None:
    environ = MINIMAL | {CONFIG_FILE: str(write("access_token_seconds = 77", "one.toml"))}
    path = write("access_token_seconds = 88", "two.toml")
    assert load(environ, config_file=path).access_token_seconds == 88


def test_faults_of_the_file_and_of_its_values_are_told_together(write: Write) -> None:
    path = write(
        f'access_token_second = 77\nsession_seconds = "{CANARY}"\nregistration = true\nissuer = ["{CANARY}"]\n'
    )
    environ = {name: value for name, value in MINIMAL.items() if name != "AUTHSVC_ISSUER"}
    faults = faults_of(environ, config_file=path)
    assert len(faults) == 4
    assert "the configuration file has an unknown setting: access_token_second" in faults
    assert CANARY not in str(faults)


@pytest.mark.parametrize("text", [b"no toml", b"\xff\xfe", b'issuer = "a"\nissuer = "b"', None])
def test_a_configuration_file_that_cannot_be_read_is_a_fault(text: bytes | None, write: Write, tmp_path: Path) -> None:
    path = tmp_path / "nothing" if text is None else write(text)
    (fault,) = faults_of(MINIMAL, config_file=path)
    assert fault.startswith("the configuration file cannot be read: ")


# --- What is none


def test_names_that_look_like_settings_and_are_none_are_found() -> None:
    environ = MINIMAL | {
        "AUTHSVC_ISSUER_FILE": "x",
        CONFIG_FILE: "x",
        "AUTHSVC_ISUER": "x",
        "AUTHSVC_issuer": "x",
        "AUTHSVC_": "x",
        "AUTHSVC_MASTERKEY_FILE": "x",
        "PATH": "x",
        "MY_AUTHSVC_ISSUER": "x",
    }
    assert unknown_names(environ) == ["AUTHSVC_", "AUTHSVC_ISUER", "AUTHSVC_MASTERKEY_FILE", "AUTHSVC_issuer"]
    assert unknown_names({environment_name(name): "x" for name in NAMES}) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_no_configuration_file_makes_it_fall_over(text: str, write: Write) -> None:
    try:
        load(MINIMAL, config_file=write(text.encode("utf-8", "surrogatepass")))
    except ConfigurationError as error:
        assert error.faults
