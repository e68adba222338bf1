"""`python -I launch.py PARENT CORE,CORE COMMAND...`: a command, on these cores, and for no longer than its parent."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, cores, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)  # outlives the line at the end
    if os.getppid() != int(parent):  # it died before the line above took effect
        sys.exit(1)
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    os.execvp(command[0], command)
