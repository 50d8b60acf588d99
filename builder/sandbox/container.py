"""container: the builder's own container isolates the build; inside it, as much of basic as the kernel supports.

With Landlock (Linux 6.12) it is basic. Older kernels and Fargate lack it. Then the builder's memory and environment are
closed to its children (not dumpable), and the system calls that basic forbids are forbidden. A build can still stop its
own builder, and reach what the container's network allows. The container holds one build and no other secret.
"""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from builder.sandbox import Limits, Sandbox
from builder.sandbox.basic import BasicSandbox
from builder.sandbox.gaps import (
    BUILDER,
    CONTAINER_FILES,
    CONTAINER_NETWORK,
    ONE_PORT,
    OTHER_SOCKETS,
    PUBLIC_DNS,
    TWO_PORTS,
    UDP,
    Gap,
)
from builder.sandbox.inside.notifications import are_available as is_brokered
from builder.sandbox.inside.plan import Plan
from builder.sandbox.seccomp import Openings, compile_filter
from builder.sandbox.supervised import PACKAGE_ROOT, SYSTEM_PATH, SupervisedSandbox

OPENINGS = Openings(unix_sockets=True, ports=True, watches=True)
"""The container holds one build, with a network and files of its own."""
PROBE_SECONDS = 30.0


class WithBasic(BasicSandbox):
    name = "container"
    words = "container, with Landlock and seccomp inside it"

    def _openings(self) -> Openings:
        return Openings(is_brokered=True, watches=True) if is_brokered() else OPENINGS

    def _gaps(self) -> Sequence[Gap]:
        return (UDP, ONE_PORT if is_brokered() else TWO_PORTS, PUBLIC_DNS)

    def _closed(self) -> Sequence[str]:
        return (OTHER_SOCKETS,) if is_brokered() else ()


class Alone(SupervisedSandbox):
    name = "container"

    def __init__(self, work: Path, allow_private_hosts: Sequence[str], why: str) -> None:
        self.words = f"container, with seccomp but without Landlock inside it: {why.rstrip('.')}"
        super().__init__(work, allow_private_hosts)

    def _gaps(self) -> Sequence[Gap]:
        return (BUILDER, CONTAINER_FILES, CONTAINER_NETWORK)

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        environment.setdefault("TMPDIR", str(self._temporary_folder))
        plan = super()._plan(argv, environment, directory, limits, read_only)
        return dataclasses.replace(plan, seccomp=base64.b64encode(compile_filter(OPENINGS)).decode())

    def _make_folders(self) -> None:
        self._temporary_folder.mkdir(exist_ok=True)

    @property
    def _temporary_folder(self) -> Path:
        """In the work folder, so that temporary files count as disk, not as memory."""
        return self.work / "tmp"


def open_container(work: Path, allow_private_hosts: Sequence[str]) -> Sandbox:
    """Takes a second, because it attacks basic to find out whether it holds."""
    why = why_not_basic()
    return Alone(work, allow_private_hosts, why) if why else WithBasic(work, allow_private_hosts)


def why_not_basic() -> str:
    """Runs the probe in a process of its own, which the probe may restrict for good. Empty: basic holds."""
    program = (
        "import sys; sys.path.append(sys.argv[1]); from builder.sandbox.probe import main; sys.exit(main('basic'))"
    )
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-c", program, str(PACKAGE_ROOT)],
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"whether basic holds could not be found out within {PROBE_SECONDS:.0f} s"
    said = (probe.stdout or probe.stderr).decode(errors="replace").strip().splitlines()
    return "" if probe.returncode == 0 else (said[-1] if said else f"its probe ended with {probe.returncode}")
