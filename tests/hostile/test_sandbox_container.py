"""The grade `container`: what the builder does for itself inside a container, with and without Landlock."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from builder.sandbox import Limits, container
from builder.sandbox.basic import BasicSandbox
from builder.sandbox.probe import this_python

PROGRAM = """
import ctypes, os, socket, tempfile
def tries(action):
    try:
        action()
        return "open"
    except OSError:
        return "closed"
print(tries(lambda: socket.socket(socket.AF_UNIX)), tries(lambda: open(f"/proc/{os.getppid()}/environ").read()),
      tempfile.gettempdir(), ctypes.CDLL(None).unshare(0x10000000))
"""


def test_with_landlock_it_is_basic_and_says_so(tmp_path: Path) -> None:
    sandbox = container.open_container(tmp_path, [])
    assert isinstance(sandbox, BasicSandbox)
    gaps = "UDP, TCP on port 53 of this machine, data sent in DNS names"
    closed = "UDP ports, abstract and datagram Unix sockets"
    words = f"container, with Landlock and seccomp inside it; not held: {gaps}; closed: {closed}"
    assert (sandbox.name, sandbox.words) == ("container", words)


def test_without_landlock_it_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(container, "why_not_basic", lambda: "The kernel has no Landlock.")
    sandbox = container.open_container(tmp_path, [])
    assert sandbox.name == "container"
    gaps = "signals to its own builder, files of its container, the network of its container"
    words = f"container, with seccomp but without Landlock inside it: The kernel has no Landlock; not held: {gaps}"
    assert sandbox.words == words


def test_a_probe_that_does_not_end_is_no_basic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "PROBE_SECONDS", 0.001)
    assert "could not be found out within" in container.why_not_basic()


async def test_without_landlock_seccomp_holds_and_the_supervisor_is_closed(tmp_path: Path) -> None:
    sandbox = container.Alone(tmp_path, [], "no Landlock")
    python, read_only = this_python()
    process = await sandbox.start(
        [python, "-I", "-S", "-c", PROGRAM],
        environment={"PATH": "/usr/bin:/bin"},
        directory=PurePath(),
        limits=Limits(memory_bytes=2**30, processes=32, time_limit_seconds=20),
        read_only=read_only,
    )
    output, errors = await process.communicate()
    await sandbox.kill_all()
    assert output.decode().split() == ["open", "closed", f"{tmp_path}/tmp", "-1"], errors.decode()
