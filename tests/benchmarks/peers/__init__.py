"""Other providers, measured in the same rounds: installed from their registries into a directory of the tool's own.

installation    at the versions of package-lock.json and requirements.lock; a peer that cannot be installed is left out
servers         each on its usual server, with a client and tokens, and what it is asked

A newer one of Python's: requirements.in, then `make lock`. Of Node's: package.json, then in this directory
`npm install --package-lock-only --omit-lockfile-registry-resolved`, so that the lock file names no registry. The page
of performance names the versions, too.
"""
