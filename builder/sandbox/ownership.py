"""The account that builds run under when the platform is root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

FIRST_ACCOUNT = 64901
"""Below those that systemd hands out, above those of people. It needs no entry in /etc/passwd."""
ACCOUNT_VARIABLE = "BUILDSPACE_BUILD_ACCOUNT"
TIME_LIMIT_SECONDS = 60.0
_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID = 0, 6, 7


def build_account() -> int | None:
    """None: builds run under the platform's own account, because it cannot take another."""
    if os.geteuid() != 0 or not _has_capabilities(_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID):
        return None
    return int(os.environ.get(ACCOUNT_VARIABLE, FIRST_ACCOUNT))


def give_to(user: int, folder: Path) -> None:
    """Make `user` the owner of what root put into a folder. Links are not followed, no depth is too deep."""
    owner = f"{user}:{user}"
    chown = ["chown", "--recursive", "--no-dereference", "--from=0", owner, "--", str(folder)]
    subprocess.run(chown, check=True, stdin=subprocess.DEVNULL, timeout=TIME_LIMIT_SECONDS)


def _has_capabilities(*numbers: int) -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return all(effective >> number & 1 for number in numbers)
