"""`python -m tests.pages [PORT]`: look at every page, on the loopback alone."""

import sys

import uvicorn

from tests.pages.site import build_site

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8100
    uvicorn.run(build_site(), host="127.0.0.1", port=port, lifespan="off", log_level="warning")
