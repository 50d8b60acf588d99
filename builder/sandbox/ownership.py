"""The account that builds run under when the platform is root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from builder.sandbox import SandboxError
from builder.sandbox.inside.account import can_hide_processes

FIRST_ACCOUNT = 64901
"""Below systemd's dynamic users, above those of people. It needs no entry in /etc/passwd."""
SLOT_VARIABLE = "BUILDSPACE_SLOT"
"""A small number that no other running builder has, so that concurrent builds get different accounts."""
TIME_LIMIT_SECONDS = 60.0
_NEEDED_CAPABILITIES = (0, 6, 7, 21)
"""CHOWN, SETGID, SETUID, and SYS_ADMIN, because the work folder is below folders that are closed to others."""


def build_account() -> int | None:
    """None: builds run under the platform's own account, because it cannot change to another."""
    account = FIRST_ACCOUNT + int(os.environ.get(SLOT_VARIABLE, "0"))
    is_able = os.geteuid() == 0 and _has_capabilities(*_NEEDED_CAPABILITIES)
    return account if is_able and _is_mapped(account, "uid") and _is_mapped(account, "gid") else None


def hides_processes() -> bool:
    """Whether builds can have a /proc that shows only their own processes."""
    return build_account() is not None and can_hide_processes()


def account_files(number: int, home: str) -> dict[str, str]:
    """The files that name the build's account, for programs such as ssh that end if it has no name."""
    return {
        "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\nbuild:x:{number}:{number}:build:{home}:/bin/sh\n",
        "/etc/group": f"root:x:0:\nbuild:x:{number}:\n",
    }


def give_to(user: int, folder: Path) -> None:
    """Make `user` the owner of root's files in a folder. Follows no links; works at any depth.

    Raises SandboxError if that fails.
    """
    owner = f"{user}:{user}"
    chown = ["chown", "--recursive", "--no-dereference", "--from=0", owner, "--", str(folder)]
    try:
        subprocess.run(chown, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIME_LIMIT_SECONDS)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()[-300:]
        raise SandboxError(f"The work folder cannot be given to the build's account: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise SandboxError("The work folder cannot be given to the build's account: it takes too long.") from error


def _is_mapped(number: int, kind: str) -> bool:
    """A container that is not run by root may have few accounts."""
    ranges = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
    return any(int(first) <= number < int(first) + int(count) for first, _, count in ranges)


def _has_capabilities(*numbers: int) -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return all(effective >> number & 1 for number in numbers)
