#!/bin/sh
# Makes .venv: exactly what requirements.lock names, and this checkout. Costs nothing when nothing has changed.
# PYTHON=... chooses the interpreter. pip's and uv's own settings (mirrors, proxies, certificates) are obeyed.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }
give_up() {
    for line in "$@"; do say "$line"; done
    exit 1
}

# What .venv was made from. The directory is part of it: the programs in .venv name it in their first line.
wanted=$(pwd && cksum bootstrap.sh pyproject.toml requirements.lock requirements-uv.lock)
if [ -x .venv/bin/python ] && [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ]; then exit 0; fi
if [ -e .venv/made-from ] && [ "$(head -n 1 .venv/made-from)" != "$(pwd)" ]; then rm -rf .venv; fi

case $(uname -s) in
    Linux | Darwin) ;;
    *) give_up "authsvc runs on Linux and macOS. On Windows: install WSL (wsl --install) and run make in there." ;;
esac

# An interpreter counts only if it runs: what is on the PATH may be a shim for one that is not installed.
is_usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_usable "$PYTHON" || give_up "PYTHON=$PYTHON does not run, or is older than Python 3.11."
        python=$PYTHON
        return
    fi
    for python in python3.13 python3.12 python3.11 python3 python3.14; do
        if is_usable "$python"; then return; fi
    done
    give_up "No Python >= 3.11 was found. Install one:" \
        "    Debian 12, Ubuntu 24.04 or later:  sudo apt-get install python3 python3-venv" \
        "    Fedora:                            sudo dnf install python3" \
        "    macOS:                             brew install python@3.13" \
        "or name one that is not on the PATH:   make PYTHON=/path/to/python3.11 ..."
}

if ! is_usable .venv/bin/python || [ ! -e .venv/bin/pip ]; then
    find_python
    say "making .venv with $("$python" -V)"
    rm -rf .venv
    if ! output=$("$python" -m venv .venv 2>&1); then
        rm -rf .venv # half made, it would pass for whole
        say "$output"
        give_up "" "$python cannot make a virtual environment. On Debian and Ubuntu:" \
            "    sudo apt-get install python3-venv"
    fi
fi

pwd >.venv/made-from # as yet, of nothing
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_SYSTEM_CERTS=1

with_uv() {
    .venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-uv.lock &&
        .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements.lock &&
        .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
}
with_pip() {
    .venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock &&
        .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
}

say "installing the $(grep -c '==' requirements.lock) packages of requirements.lock, once: under a minute on a fast line"
if ! with_uv; then
    say "uv did not manage it; trying pip, which takes longer"
    with_pip || give_up "" "The packages could not be installed; the reason stands above." \
        "They come from the Python package index (pip's and uv's settings and HTTPS_PROXY are obeyed), and are there" \
        "for Linux with glibc 2.28 or later and for macOS, on x86_64 and arm64."
fi
printf '%s\n' "$wanted" >.venv/made-from
say "installed"
