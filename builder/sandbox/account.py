"""account: an account of the build's own, seccomp and the broker. Needs root, and no Landlock.

For kernels before basic. The account separates environment, memory, signals and files, the broker loopback TCP and Unix
sockets. Folders that every account may write to are covered, because a later build has the same account. Landlock adds
what it can from its version 2 on, without which no file can be moved between folders.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePath

from builder.sandbox import Limits
from builder.sandbox.basic import BasicSandbox
from builder.sandbox.inside import kernel
from builder.sandbox.inside.landlock import MOVES_VERSION
from builder.sandbox.inside.plan import Plan

SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/var/crash")  # noqa: S108 - to be closed


class AccountSandbox(BasicSandbox):
    name = "account"

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        plan = super()._plan(argv, environment, directory, limits, read_only)
        landlock = plan.landlock if closes_files() else None
        return dataclasses.replace(plan, landlock=landlock, covered=[*SHARED_FOLDERS])


def closes_files() -> bool:
    """Whether Landlock leaves open only the files that the plan names."""
    return kernel.landlock_version() >= MOVES_VERSION
