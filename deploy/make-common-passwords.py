"""Makes authsvc/protocol/common_passwords.txt from the list that Django ships.

    pip download --no-deps --dest /tmp django==5.2.19
    python deploy/make-common-passwords.py /tmp/django-5.2.19-py3-none-any.whl > authsvc/protocol/common_passwords.txt

The same wheel makes the same file. For another version change the three constants with it.
"""

import gzip
import hashlib
import sys
from pathlib import Path
from zipfile import ZipFile

VERSION = "5.2.19"
SHA256 = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"
MIN_LENGTH = 4
"""Shorter ones are no password and no stem of one: every word would begin with something listed."""

_HEADER = """\
# {count} common passwords, one a line: the list of Django {version}, django/contrib/auth/common-passwords.txt.gz,
# from the wheel with SHA-256 {sha256}.
# By Royce Williams, from what Have I Been Pwned saw leaked most often. Made by deploy/make-common-passwords.py.
# Its licence:
#
"""


def main(wheel: Path) -> None:
    data = wheel.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit(f"{wheel} is not the wheel of Django {VERSION}")
    with ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read("django/contrib/auth/common-passwords.txt.gz")).decode()
        licence = archive.read(f"django-{VERSION}.dist-info/licenses/LICENSE").decode()
    passwords = sorted({line.strip().casefold() for line in text.splitlines() if len(line.strip()) >= MIN_LENGTH})
    header = _HEADER.format(count=len(passwords), version=VERSION, sha256=SHA256)
    header += "".join(f"# {line}".rstrip() + "\n" for line in licence.splitlines())
    sys.stdout.buffer.write("\n".join([header, *passwords, ""]).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
