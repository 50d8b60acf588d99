"""The grade `account`, on kernels whose Landlock is missing or old: simulated by hiding what this kernel has."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.sandbox import SandboxError, probe, supervised
from builder.sandbox.gaps import READABLE_FILES, gaps_of
from builder.sandbox.inside import kernel, landlock, notifications
from builder.sandbox.ownership import build_account
from tests.hostile.confined import a_sandbox, run

with_own_account = pytest.mark.skipif(build_account() is None, reason="only root has accounts to give")
VERSIONS = {0: "Linux 5.10 to 5.18", 2: "Linux 5.19 to 6.6"}


@pytest.fixture(params=VERSIONS, ids=VERSIONS.values())
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    version: int = request.param
    hide_landlock_beyond(version, monkeypatch)
    return version


def hide_landlock_beyond(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, and in the supervisors that it starts."""
    monkeypatch.setattr(kernel, "landlock_version", lambda: version)
    hiding = f"from builder.sandbox.inside import kernel; kernel.landlock_version = lambda: {version}; "
    begin = "from builder.sandbox.inside.supervisor"
    monkeypatch.setattr(supervised, "_SUPERVISOR", supervised._SUPERVISOR.replace(begin, hiding + begin))


@with_own_account
async def test_it_holds_all_that_it_names_whatever_landlock_is(version: int) -> None:
    assert await probe.attack("account") <= {gap.attack for gap in gaps_of("account")}


@with_own_account
async def test_basic_holds_for_root_without_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux 6.7 to 6.11."""
    hide_landlock_beyond(landlock.TCP_VERSION, monkeypatch)
    assert await probe.attack("basic") <= {gap.attack for gap in gaps_of("basic")}


@with_own_account
async def test_files_of_the_machine_are_closed_as_far_as_landlock_goes(tmp_path: Path, version: int) -> None:
    outcome = await run(a_sandbox("account", tmp_path), "sh", "-c", "cat /etc/ld.so.conf")
    is_open = "Permission denied" not in outcome.errors
    assert is_open == (READABLE_FILES in gaps_of("account")) == (version < 2)


@with_own_account
async def test_folders_of_all_accounts_are_covered(tmp_path: Path, version: int) -> None:
    outcome = await run(a_sandbox("account", tmp_path), "sh", "-c", "touch /tmp/x /var/tmp/x /dev/shm/x; ls /tmp; pwd")
    assert outcome.output.splitlines() == [str(tmp_path / "work")]


async def test_it_needs_an_account_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "build_account", lambda: None)
    with pytest.raises(SandboxError, match="start it as root"):
        await probe.probe("account")


@with_own_account
async def test_it_needs_a_kernel_that_lets_the_broker_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "are_available", lambda: False)
    with pytest.raises(SandboxError, match=r"Linux 5\.9"):
        await probe.probe("account")
