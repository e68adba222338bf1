"""One server process: started so that it cannot outlive its parent, watched until it answers, asked to end."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from authsvc.embedded.locks import hold_log
from authsvc.errors import ConfigurationError

START_S = 15.0
STOP_S = 10.0
QUOTED_LINES = 12
_PAUSE_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: nothing may be loaded after a fork

# No PGDATA, PGPORT, LD_LIBRARY_PATH or locale of the caller reaches a server.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class Answer(Enum):
    """What a server says to a knock."""

    NOTHING = "nothing"
    BUSY = "alive, and not ready: it recovers from a crash"
    READY = "ready"


def run(command: Sequence[str | Path], uid: int | None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end as that account, with no group of ours; None: as we are."""
    return subprocess.run(command, text=True, check=False, **{**_manner(uid), **options})  # noqa: S603 - ours alone


class Server:
    """A server and its log, which is held from here on until `stop`."""

    def __init__(self, name: str, log: Path, uid: int | None) -> None:
        self.name = name
        self._path = log
        self._uid = uid
        self._log = hold_log(log)
        self._log.truncate(0)
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, command: Sequence[str | Path], words: str = "") -> None:
        """Runs a command to its end as the server would run, with these words as its input."""
        done = run(command, self._uid, input=words, **self._bonds(signal.SIGTERM))
        if done.returncode != 0:
            raise self._fault(f"{Path(command[0]).name} failed with status {done.returncode}")

    def launch(
        self,
        command: Sequence[str | Path],
        ask: Callable[[], Answer],
        *,
        parting: signal.Signals,
        directory: Path = Path("/"),
    ) -> None:
        """Starts the server and returns when it answers. `parting` is the signal it gets when we die."""
        manner = {**_manner(self._uid), **self._bonds(parting), "cwd": directory}
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **manner)  # noqa: S603 - ours alone
        patience = time.monotonic() + START_S
        while (answer := ask()) is not Answer.READY:
            if (status := self._process.poll()) is not None:
                raise self._fault(f"{self.name} ended with status {status} before it answered")
            if answer is Answer.BUSY:
                patience = time.monotonic() + START_S
            elif time.monotonic() > patience:
                raise self._fault(f"{self.name} did not answer within {START_S:.0f} s")
            time.sleep(_PAUSE_S)

    def stop(self, *signals: signal.Signals) -> None:
        """Asks the server to end with each signal in turn, then ends it. Gives the log back."""
        if self._process is not None:
            for asking in (*signals, signal.SIGKILL):
                self._process.send_signal(asking)  # none is sent to a process that has already ended
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_S)
                    break
        self._process = None
        self._log.close()

    def _bonds(self, parting: signal.Signals) -> dict[str, Any]:
        """What ties a child to us: our log, and `parting` when we die. Not the terminal: we stop it, in order."""
        parent = os.getpid()

        def before_exec() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(parting), 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above took effect
                os._exit(1)

        return {"stdout": self._log, "stderr": self._log, "start_new_session": True, "preexec_fn": before_exec}

    def _fault(self, what: str) -> ConfigurationError:
        lines = self._path.read_text(errors="replace").splitlines()[-QUOTED_LINES:]
        quoted = "\n".join(f"    {line}" for line in lines) or "    (empty)"
        return ConfigurationError([f"{what}. The end of {self._path}:\n{quoted}"])


def _manner(uid: int | None) -> dict[str, Any]:
    account = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    return {"cwd": "/", "env": _ENVIRONMENT, **account}
