"""The probe: what holds, what is missing, and what to do about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.sandbox import SandboxError, open_sandbox, probe
from builder.sandbox.inside import kernel


@pytest.mark.parametrize("grade", ["strong", "basic"])
def test_the_command_says_that_a_grade_holds(grade: str) -> None:
    done = subprocess.run([sys.executable, "-m", "builder.sandbox", "probe", grade], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")
    assert done.stdout.startswith(f"{grade} holds")


def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "builder.sandbox", "probe", "strong"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "apt-get install bubblewrap iproute2 passt util-linux" in done.stdout


def test_one_missing_program_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "bwrap" else f"/usr/bin/{name}")
    with pytest.raises(SandboxError, match=r"^bwrap is not installed: apt-get install bubblewrap$"):
        probe.check_strong()


def test_a_missing_tun_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TUN", "/dev/net/no-tun")
    with pytest.raises(SandboxError, match="/dev/net/no-tun cannot be opened: modprobe tun"):
        probe.check_strong()


def test_a_kernel_without_landlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "landlock_version", lambda: 0)
    with pytest.raises(SandboxError, match="The kernel has no Landlock"):
        probe.check_basic()


def test_a_kernel_with_an_old_landlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "landlock_version", lambda: 3)
    with pytest.raises(SandboxError, match=r"version 3 here; Linux 6\.12 is needed"):
        probe.check_basic()


async def test_what_a_build_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leaking(grade: str) -> set[str]:
        return {"udp", "signals"}

    monkeypatch.setattr(probe, "attack", leaking)
    with pytest.raises(SandboxError, match=r"basic does not hold on this machine, a build reached: signals\."):
        await probe.probe("basic")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (b"bwrap: No permissions to create new namespace", "kernel.unprivileged_userns_clone=1"),
        (b"Failed to open tun socket in namespace", "chmod 0666 /dev/net/tun"),
    ],
)
def test_what_is_closed_is_told_with_the_way_out(words: bytes, advice: str) -> None:
    assert advice in probe._not_started("strong", 1, words)


def test_an_unknown_grade_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="There is no sandbox called 'stronger'"):
        open_sandbox("stronger", work=tmp_path)
