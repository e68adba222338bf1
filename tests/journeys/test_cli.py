"""The command line, as operators and their scripts use it."""

import json
import subprocess
from pathlib import Path

import pytest

from authsvc.protocol.jwa import ALGORITHMS
from tests.house_of import ISSUER, MASTER_KEY
from tests.journeys import forked
from tests.journeys.service import AUTHSVC, clean_environment, run_cli


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return clean_environment(AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER=ISSUER, AUTHSVC_MASTER_KEY=MASTER_KEY)


def test_a_service_with_bad_settings_does_not_start_and_names_every_fault() -> None:
    environ = clean_environment(
        AUTHSVC_DATABASE_URL="mysql://x", AUTHSVC_ISSUER="http://auth.example/", AUTHSVC_ACCESS_TOKEN_SECONDS="0"
    )
    done = run_cli(environ, "serve", check=False)
    assert done.returncode == 2
    for name in ("DATABASE_URL", "ISSUER", "ACCESS_TOKEN_SECONDS", "MASTER_KEY"):
        assert f"AUTHSVC_{name} " in done.stderr
    assert "Traceback" not in done.stderr


def test_config_check_says_what_serve_would(environ: dict[str, str]) -> None:
    assert "usable" in run_cli(environ, "config", "check").stdout
    wrong = {"AUTHSVC_MASTER_KEY": "short", "AUTHSVC_ISUER": "x", "AUTHSVC_BRAND_LOGO": "/nowhere/logo.png",
             "AUTHSVC_OUTBOUND_CA_FILE": "/nowhere/ca.pem"}  # fmt: skip
    done = run_cli(environ | wrong, "config", "check", "--json", check=False)
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert "master-key generate" in told["faults"][0]
    assert told["faults"][1].startswith("AUTHSVC_BRAND_LOGO cannot be read")
    assert told["faults"][2].startswith("AUTHSVC_OUTBOUND_CA_FILE cannot be used")
    assert told["unknown"] == ["AUTHSVC_ISUER"]
    assert "short" not in done.stdout


def test_a_service_refuses_a_database_that_is_not_migrated(environ: dict[str, str], empty_database_url: str) -> None:
    environ = environ | {"AUTHSVC_DATABASE_URL": empty_database_url}
    done = run_cli(environ, "serve", "--port", "0", "--management-port", "0", check=False)
    assert done.returncode == 2
    assert "authsvc migrate" in done.stderr
    assert run_cli(environ, "migrate", "--check", check=False).returncode == 1
    assert "applied 0001" in run_cli(environ, "migrate").stdout
    assert run_cli(environ, "migrate", "--check").stdout == "up to date\n"


def test_without_a_database_a_command_says_what_to_do(tmp_path: Path) -> None:
    done = run_cli(clean_environment(), "client", "list", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "authsvc dev" in done.stderr


def test_an_unreachable_database_is_told_in_one_line(environ: dict[str, str]) -> None:
    done = run_cli(
        environ | {"AUTHSVC_DATABASE_URL": "postgresql://x:hidden@127.0.0.1:1/x"}, "client", "list", check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr


def test_a_wrong_master_key_is_told_and_opens_nothing(environ: dict[str, str]) -> None:
    run_cli(environ, "key", "list")
    other = run_cli(environ, "master-key", "generate").stdout.strip()
    done = run_cli(environ | {"AUTHSVC_MASTER_KEY": other}, "key", "list", check=False)
    assert done.returncode == 2
    assert "does not open" in done.stderr


def test_a_made_password_is_long_and_shown_once(environ: dict[str, str]) -> None:
    made = json.loads(
        run_cli(environ, "user", "create", "--email", "a@b.example", "--generate-password", "--json").stdout
    )
    assert made["sub"].startswith("usr_")
    assert len(made["password"]) >= 20
    done = run_cli(environ, "user", "create", "--email", "A@B.example", "--generate-password", check=False)
    assert done.returncode == 1
    assert "taken" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("user", "create", "--email", "a@b.example"), 2, "password"),
        (("user", "create", "--email", "no address", "--generate-password"), 1, "address"),
        (("user", "create", "--email", "a@b.example", "--generate-password", "--claims", "[]"), 2, "JSON object"),
        (("user", "disable", "nobody@b.example"), 1, "no such user"),
        (("client", "create", "--name", "x", "--grant", "password"), 2, "password"),
        (("client", "create", "--name", "x", "--public", "--grant", "client_credentials"), 1, "public"),
        (("client", "create", "--name", "x", "--audience", "not a uri"), 1, ""),
        (("client", "create", "--name", "x", "--scope", 'bad"scope'), 1, "scope"),
        (("client", "disable", "cli_x"), 1, "no such client"),
        (("client", "rotate-secret", "cli_x"), 1, "no such client"),
        (("key", "kill", "x"), 1, "no such signing key"),
        (("token", "revoke-everything"), 2, "--yes"),
        (("token", "revoke"), 2, "standard input"),
    ],
)
def test_a_wrong_use_is_told(environ: dict[str, str], arguments: tuple[str, ...], status: int, word: str) -> None:
    done = run_cli(environ, *arguments, check=False)
    assert done.returncode == status, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_that_is_none_is_no_error(environ: dict[str, str]) -> None:
    assert json.loads(run_cli(environ, "token", "revoke", "--json", stdin="a.b.c").stdout) == {
        "revoked": False,
        "jti": None,
    }


def test_twenty_first_starts_at_once_make_one_set_of_keys(environ: dict[str, str]) -> None:
    starts = [forked.start(environ, "key", "list", "--json") for _ in range(20)]
    told = [json.loads(start.wait(60).stdout) for start in starts]
    assert all(answer == told[0] for answer in told)
    assert sorted((key["algorithm"], key["state"]) for key in told[0]) == [
        (algorithm, state) for algorithm in sorted(ALGORITHMS) for state in ("active", "next")
    ]


def test_no_command_needs_what_another_has_imported(environ: dict[str, str]) -> None:
    """Those above are forked from one process that has imported all of it, and these are not."""
    lines = ("migrate --check", "config check", "doctor", "user list", "client list", "key list", "token revoke",
             "audit verify", "master-key generate", "pepper generate")  # fmt: skip
    run_cli(environ, "key", "list")
    starts = {
        line: subprocess.Popen(
            [*AUTHSVC, *line.split()],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for line in lines
    }
    for line, start in starts.items():
        told, _ = start.communicate(timeout=60)
        assert start.returncode == (2 if line == "token revoke" else 0), told
        assert b"Traceback" not in told
