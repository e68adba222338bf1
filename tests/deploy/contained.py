"""The image, built for real without a container engine, and what is run in it.

buildah builds it on a base made by mmdebstrap, because no registry is asked for one. A command runs in it as in a
container: on the image's own files, read-only, with a new /tmp, as the image's user, without any privilege.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.tools import ROOT, missing, run, tool

BASE = "authsvc-test-base"
BASE_SUITE = "trixie"  # with the Python of the base that the Dockerfile names
TAG = "authsvc-test"
# What pip may have been told on this machine to reach its index.
_PIP_SETTINGS = {"cert", "default-timeout", "index-url", "proxy", "timeout", "trusted-host"}

# $1: the files of the image. The rest: the command.
_ENTER = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
for bound in ${BINDS:-}; do mount --rbind "$bound" "$root/mnt"; done
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777,size=64m,noexec,nosuid,nodev tmpfs "$root/tmp"
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all \
    chroot --userspec="$IMAGE_USER" --groups= "$root" env --ignore-environment "$@"
"""


@dataclass(frozen=True)
class Image:
    """The image, and where its files are."""

    config: dict[str, Any]
    root: Path

    def command(self, *command: str, environ: Mapping[str, str] = {}) -> list[str]:
        """What runs the command in the image: as the entrypoint gets it, PATH and all."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environ.items())]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh",
                str(self.root), *variables, *command]  # fmt: skip

    def environ(self, bound: "Path | None" = None) -> dict[str, str]:
        """The environment that `command` is to be started with. `bound` is to be found in the image as /mnt."""
        return os.environ | {"IMAGE_USER": self.config["User"], "BINDS": str(bound or "")}

    def run(
        self,
        *command: str,
        environ: Mapping[str, str] = {},
        bound: "Path | None" = None,
        check: bool = True,
    ) -> "subprocess.CompletedProcess[str]":
        return run(*self.command(*command, environ=environ), check=check, env=self.environ(bound))


@contextmanager
def built_image() -> Iterator[Image]:
    """Build it. Takes a minute or two, most of it for the base."""
    if not (os.environ.get("CI") or os.environ.get("AUTHSVC_TEST_IMAGE")):
        missing("building the image takes minutes: set AUTHSVC_TEST_IMAGE=1")
    if sys.platform != "linux" or os.geteuid() != 0:
        missing("building the image takes root on Linux")
    buildah, mmdebstrap = tool("buildah"), tool("mmdebstrap")
    directory = Path(tempfile.mkdtemp(prefix="authsvc-image-"))
    directory.chmod(0o711)
    store = [buildah, "--storage-driver", "vfs", "--root", f"{directory}/store", "--runroot", f"{directory}/run"]

    def act(*words: "str | Path") -> str:
        return run(*store, *words, timeout=300).stdout.strip()

    try:
        _make_base(mmdebstrap, directory / "base.tar")
        base = act("from", "scratch")
        act("add", "--quiet", base, directory / "base.tar", "/")
        act("commit", "--quiet", base, BASE)
        act("rm", base)
        (directory / "base.tar").unlink()

        (directory / "pip.conf").write_text(_pip_configuration())
        act("bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--tag", TAG,
            "--secret", f"id=pip,src={directory}/pip.conf", "--build-arg", f"PYTHON_IMAGE=localhost/{BASE}",
            "--build-arg", "VERSION=test", "--build-arg", "REVISION=none", ROOT)  # fmt: skip
        config = json.loads(act("inspect", "--type", "image", f"localhost/{TAG}"))["Docker"]["config"]
        container = act("from", "--pull-never", f"localhost/{TAG}")
        yield Image(config, Path(act("mount", container)))
    finally:
        subprocess.run([*store, "umount", "--all"], capture_output=True, check=False)
        shutil.rmtree(directory)


def _make_base(mmdebstrap: str, target: Path) -> None:
    # The certificates of this machine: whatever pip has to pass on its way is in there.
    bundle = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt").resolve()
    run(mmdebstrap, "--quiet", "--variant=minbase", "--include=python3,python3-venv,ca-certificates",
        "--dpkgopt=force-unsafe-io",
        f"--customize-hook=upload {bundle} /etc/ssl/certs/ca-certificates.crt", BASE_SUITE, target,
        timeout=300)  # fmt: skip


def _pip_configuration() -> str:
    """What pip has been told on this machine, by files or by the environment, as one file."""
    lines = run(sys.executable, "-m", "pip", "config", "list").stdout.splitlines()
    told = [line.partition("=") for line in lines]
    settings = {name.rpartition(".")[2]: value.strip("'") for name, _, value in told}
    settings = {name: value for name, value in settings.items() if name in _PIP_SETTINGS}
    if "cert" in settings:
        settings["cert"] = "/etc/ssl/certs/ca-certificates.crt"
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
