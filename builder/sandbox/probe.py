"""Finds out by attacking it whether a grade holds on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path, PurePath

from builder.sandbox import Limits, SandboxError, open_sandbox
from builder.sandbox.decoys import set_up_decoys
from builder.sandbox.gaps import closed_in, gaps_of, listed
from builder.sandbox.inside import kernel, landlock, notifications
from builder.sandbox.ownership import build_account

TIME_LIMIT_SECONDS = 20.0
ATTACKS = Path(__file__).with_name("attacks.py")
PACKAGES = {"bwrap": "bubblewrap", "pasta": "passt", "ip": "iproute2", "unshare": "util-linux", "prlimit": "util-linux"}
_SYSLOG_NOISE = re.compile(r"Failed to send \d+ bytes to syslog")
TUN = "/dev/net/tun"
HOLDS = {
    "strong": "strong holds: builds run in namespaces (bubblewrap) and reach nothing but the public network (pasta).",
    "basic": "basic holds: Landlock and seccomp close files, processes, loopback TCP and Unix sockets.",
    "account": "account holds: each build has an account of its own, seccomp closes loopback TCP and Unix sockets.",
}
_NAMESPACES = (
    "namespaces are closed here: sysctl kernel.unprivileged_userns_clone=1 or"
    " kernel.apparmor_restrict_unprivileged_userns=0 opens them, in a container another seccomp profile"
)
HINTS = {
    "disable-userns": "bubblewrap 0.8 or newer is needed",
    "routable interface": "pasta needs a default route",
    "tun socket": f"{TUN} must be open to every account, as udev makes it: chmod 0666 {TUN}",
    "namespace": _NAMESPACES,
    "not permitted": _NAMESPACES,
}
"""The remedies for known errors."""


async def probe(grade: str) -> str:
    """What the grade holds, in a sentence. Raises SandboxError with what it does not hold and what to do."""
    if grade not in HOLDS:
        raise SandboxError(f"There is nothing to probe in {grade!r}; strong, basic and account can be probed.")
    {"strong": check_strong, "basic": check_basic, "account": check_account}[grade]()
    gaps = gaps_of(grade)
    if reached := sorted(await attack(grade) - {gap.attack for gap in gaps}):
        raise SandboxError(
            f"{grade} does not hold on this machine, a build reached: {', '.join(reached)}.{_advice(grade)}"
        )
    closed = ", ".join(closed_in(grade))
    return f"{HOLDS[grade]} Not held: {listed(gaps)}.{f' Closed to builds: {closed}.' if closed else ''}"


async def attack(grade: str) -> set[str]:
    """Run all attacks in a sandbox of this grade. Returns the names of those that succeeded."""
    with tempfile.TemporaryDirectory(prefix="buildspace-probe-") as folder, set_up_decoys(Path(folder)) as decoys:
        work = Path(folder) / "work"
        work.mkdir()
        sandbox = open_sandbox(grade, work=work)
        python, read_only = this_python()
        process = await sandbox.start(
            [python, "-I", "-S", "-c", ATTACKS.read_text(), json.dumps(decoys.targets)],
            environment={"PATH": "/usr/bin:/bin"},
            directory=PurePath(),
            limits=Limits(memory_bytes=1024**3, processes=64, time_limit_seconds=TIME_LIMIT_SECONDS),
            read_only=read_only,
        )
        output, errors = await process.communicate()
        await sandbox.kill_all()
        if process.returncode != 0:
            raise SandboxError(_not_started(grade, process.returncode, errors))
        return {*json.loads(output), *decoys.reached()}


def this_python() -> tuple[str, list[Path]]:
    """The interpreter of a virtual environment, and the folder that it needs."""
    base = Path(sys.base_prefix)
    python = base / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(python), [] if base.is_relative_to("/usr") else [base]


def check_strong() -> None:
    missing = {name: package for name, package in PACKAGES.items() if shutil.which(name) is None}
    if missing:
        are = "is" if len(missing) == 1 else "are"
        packages = " ".join(sorted(set(missing.values())))
        raise SandboxError(f"{_joined(sorted(missing))} {are} not installed: apt-get install {packages}")
    if not os.access(TUN, os.R_OK | os.W_OK):
        raise SandboxError(f"{TUN} cannot be opened: modprobe tun, or start the container with --device {TUN}")
    check_libseccomp()


def check_basic() -> None:
    version = kernel.landlock_version()
    if version == 0:
        raise SandboxError("The kernel has no Landlock: Linux 6.12 or newer with lsm=landlock,... is needed.")
    if version < landlock.TCP_VERSION:
        raise SandboxError(f"Landlock has version {version} here; Linux 6.12 is needed (6.7 if the gateway is root).")
    check_libseccomp()


def check_account() -> None:
    if build_account() is None:
        raise SandboxError("Builds have no account of their own, because the gateway is not root: start it as root.")
    if not notifications.are_available():
        raise SandboxError(
            "Sockets of builds cannot be told apart: Linux 5.9 with seccomp user notification is needed, and"
            " kernel.yama.ptrace_scope 0 or 1."
        )
    check_libseccomp()


def check_libseccomp() -> None:
    try:
        from builder.sandbox.seccomp import Openings, compile_filter

        compile_filter(Openings())
    except (ImportError, RuntimeError) as error:
        raise SandboxError(f"libseccomp is not installed: apt-get install libseccomp2 ({error})") from error


def _advice(grade: str) -> str:
    if grade == "basic" and kernel.landlock_version() < 6:
        return " Linux 6.12 or newer closes this, so does starting the gateway as root."
    return ""


def _not_started(grade: str, code: int | None, errors: bytes) -> str:
    if code == 124:
        return f"{grade} cannot be started here: no answer within {TIME_LIMIT_SECONDS:.0f} s."
    said = " ".join(_SYSLOG_NOISE.sub(" ", errors.decode(errors="replace")).split())[-400:] or f"exit code {code}"
    return f"{grade} cannot be started here: {said}{_hint(said)}"


def _hint(said: str) -> str:
    return next((f" ({hint})" for words, hint in HINTS.items() if words in said), "")


def _joined(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def main(grade: str) -> int:
    try:
        sys.stdout.write(asyncio.run(probe(grade)) + "\n")
    except SandboxError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0
