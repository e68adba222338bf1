"""`authsvc doctor`"""

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from authsvc.cli.context import operator_command, read_settings, tell
from authsvc.settings import find_secret_files, unknown_names


@click.command()
@operator_command
def doctor(as_json: bool, data_dir: Path) -> None:
    """Look at everything the service stands on, and say what to mend. Exit status 1 when something fails."""
    settings = read_settings(data_dir)
    from authsvc import logs
    from authsvc.clock import SystemClock
    from authsvc.doctor import Verdict, examine

    logs.configure("error", "console")
    checks = asyncio.run(examine(settings, unknown_names(os.environ), find_secret_files(os.environ), SystemClock()))
    tell(
        as_json,
        [asdict(each) for each in checks],
        "\n".join(f"{each.status:4}  {each.name:16}  {each.text}" for each in checks),
    )
    sys.exit(1 if any(each.status is Verdict.FAIL for each in checks) else 0)
