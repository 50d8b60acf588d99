"""The shell that runs a command line of a project's settings."""

from __future__ import annotations

import shutil

from builder.node import SYSTEM_PATH

SHELLS = ("bash", "sh")
"""Other hosts have bash, so `set -o pipefail`, `[[` and `&>` stand in the settings of many repositories."""


def shell_command(line: str) -> tuple[str, ...]:
    shell = next((name for name in SHELLS if shutil.which(name, path=SYSTEM_PATH)), "sh")
    return (shell, "-c", line)


def shell_line(argv: tuple[str, ...]) -> str | None:
    """The command line that this runs in a shell; None for a program."""
    return argv[2] if len(argv) == 3 and argv[0] in SHELLS and argv[1] == "-c" else None
