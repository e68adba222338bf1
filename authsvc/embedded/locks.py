"""Advisory locks on files. The kernel drops them with the last process that has the file open: none is ever stale."""

import fcntl
import time
from pathlib import Path
from typing import IO

from authsvc.errors import ConfigurationError

WIND_DOWN_S = 15.0
_PAUSE_S = 0.05


def try_lock(path: Path) -> IO[str] | None:
    """The opened file, locked until it is closed; None when somebody else has it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


def hold_log(log: Path) -> IO[str]:
    """Takes the log of a server over, once no process of an earlier run has it open.

    Every process of a server inherits its log, and the lock with it. So a log that can be locked proves that the
    server is gone, its last child included, where a pid file could only suggest it.
    """
    log.parent.mkdir(mode=0o700, exist_ok=True)
    patience = time.monotonic() + WIND_DOWN_S
    while (file := try_lock(log)) is None:
        if time.monotonic() > patience:
            raise ConfigurationError([f"a server of an earlier run still holds {log}: end it (lsof {log} names it)"])
        time.sleep(_PAUSE_S)
    return file
