"""One server process with one worker: `python -m tests.benchmarks.serve FACTORY LIFESPAN SOCKET_FD PARENT CORE...`.

Every application gets the same uvicorn, with the options of the service's own worker.
"""

import ctypes
import os
import signal
import socket
import sys

import uvicorn

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    factory, lifespan, fd, parent, *cores = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above took effect
        sys.exit(1)
    os.sched_setaffinity(0, {int(core) for core in cores})
    config = uvicorn.Config(
        factory,
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on" if lifespan == "on" else "off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])
