"""Bombs, daemons and killings: a sandbox keeps its limits and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from builder.protocol.calls import Isolation
from builder.sandbox import strong
from gateway.engines.process.grades import Grade
from gateway.engines.process.process_launcher import ProcessLauncher
from gateway.roles import LaunchOrder
from tests.engines.gateway import eventually
from tests.engines.waiting import until, until_now
from tests.hostile.confined import LIMITS, PYTHON, a_sandbox, processes_with, run, run_python, start

BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
EVERY = pytest.mark.parametrize("grade", ["strong", "basic", "none"])
FORK_BOMB = """
import os
while True:
    try:
        os.fork()
    except BlockingIOError:
        pass
"""
COUNT_FORKS = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        made += 1
except BlockingIOError:
    pass
print(made, flush=True)
"""
MEMORY_BOMB = """
held = []
while True:
    held.append(bytearray(16 * 1024 * 1024))
"""
DAEMON = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
        os._exit(0)
time.sleep(float(sys.argv[2]))
print("up", flush=True)
time.sleep(float(sys.argv[3]))
"""
BUILDER = """
import asyncio, sys
from pathlib import Path
from tests.hostile.confined import PYTHON, a_sandbox, start
async def main():
    grade, folder, daemon, marker, how = sys.argv[1:]
    sandbox = a_sandbox(grade, Path(folder))
    process = await start(sandbox, PYTHON, "-I", "-S", "-c", daemon, marker, "0.2", "60")
    await process.stdout.readline()
    if how == "kill the sandbox":
        process.kill()
        await sandbox.kill_all()
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
KILLED_UNHEARD = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.hostile.confined import PYTHON, a_sandbox, start
from tests.engines.waiting import until_now
async def main():
    folder, daemon, marker = sys.argv[1:]
    sandbox = a_sandbox("none", Path(folder))
    process = await start(sandbox, PYTHON, "-I", "-S", "-c", daemon, marker, "0.2", "60")
    await process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    until_now(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    await sandbox.kill_all()
    print(process.returncode)
if sys.version_info < (3, 12):
    # Ends are heard by the loop, not by threads that are quicker than this; later Pythons do so by themselves.
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
asyncio.run(main())
"""


@pytest.fixture
def marker() -> str:
    return f"marker-{secrets.token_hex(8)}"


@EVERY
async def test_daemons_end_with_their_command(tmp_path: Path, grade: str, marker: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), PYTHON, "-I", "-S", "-c", DAEMON, marker, "0.2", "0")
    assert (outcome.output, processes_with(marker)) == ("up\n", [])


@EVERY
async def test_killing_all_leaves_nothing(tmp_path: Path, grade: str, marker: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    process = await start(sandbox, PYTHON, "-I", "-S", "-c", DAEMON, marker, "0.2", "60")
    await process.stdout.readline()
    began_with = len(processes_with(marker))
    await sandbox.kill_all()
    assert (began_with >= 4, processes_with(marker)) == (True, [])


@EVERY
async def test_time_ends_a_command_and_its_daemons(tmp_path: Path, grade: str, marker: str) -> None:
    limits = dataclasses.replace(LIMITS, time_limit_seconds=1.0)
    sandbox = a_sandbox(grade, tmp_path)
    outcome = await run(sandbox, PYTHON, "-I", "-S", "-c", DAEMON, marker, "0.2", "60", limits=limits)
    assert (outcome.code, processes_with(marker)) == (124, [])


@EVERY
def test_a_builder_that_is_killed_takes_its_sandbox_with_it(tmp_path: Path, grade: str, marker: str) -> None:
    command = [sys.executable, "-c", BUILDER, grade, str(tmp_path), DAEMON, marker, "stay"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as builder:
        builder.stdout.readline()
        began_with = len(processes_with(marker))
        builder.send_signal(signal.SIGKILL)
    assert began_with >= 5
    until_now(lambda: processes_with(marker) == [])


@EVERY
def test_a_sandbox_that_is_killed_leaves_nothing(tmp_path: Path, grade: str, marker: str) -> None:
    command = [sys.executable, "-c", BUILDER, grade, str(tmp_path), DAEMON, marker, "kill the sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as builder:
        builder.stdout.readline()
        left = [pid for pid in processes_with(marker) if pid != builder.pid]
        builder.kill()
    assert left == []


def test_a_sandbox_that_has_just_been_killed_is_known_to_have_been(tmp_path: Path, marker: str) -> None:
    """Before the loop hears of it: else nobody ends what it held."""
    command = [sys.executable, "-c", KILLED_UNHEARD, str(tmp_path), DAEMON, marker]
    builder = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (builder.stdout, processes_with(marker)) == (f"{-signal.SIGKILL}\n", [])


@EVERY
async def test_stopping_a_builder_ends_its_sandbox(tmp_path: Path, grade: str, marker: str) -> None:
    builder = [sys.executable, "-c", BUILDER, grade, str(tmp_path), DAEMON, marker, "stay"]
    launcher = ProcessLauncher(tmp_path / "builders", lambda: Grade(Isolation(grade), ""), builder=builder)
    handle = await launcher.launch(LaunchOrder(uuid.uuid4(), 1, "a", "b", "c", "d"))

    async def is_ready() -> bool:
        return "ready" in await launcher.last_words(handle)

    await eventually(is_ready, "the builder is ready")
    began_with = len(processes_with(marker))
    await launcher.stop(handle, "canceled")
    assert (began_with >= 5, processes_with(marker)) == (True, [])


async def test_a_network_that_cannot_be_made_is_125(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strong, "network", lambda reach, folder: ["sh", "-c", "echo no route >&2; exit 1"])
    outcome = await run(a_sandbox("strong", tmp_path), "true")
    assert (outcome.code, outcome.errors) == (125, "no route\n")


@BOTH
async def test_a_fork_bomb_is_bounded_and_defused(tmp_path: Path, grade: str, marker: str) -> None:
    limits = dataclasses.replace(LIMITS, time_limit_seconds=2.0)
    began = time.monotonic()
    sandbox = a_sandbox(grade, tmp_path)
    outcome = await run(sandbox, PYTHON, "-I", "-S", "-c", FORK_BOMB, marker, limits=limits)
    assert (outcome.code, processes_with(marker)) == (124, [])
    assert time.monotonic() - began < 10.0


@BOTH
async def test_no_more_processes_than_allowed(tmp_path: Path, grade: str) -> None:
    limits = dataclasses.replace(LIMITS, processes=20)
    outcome = await run_python(a_sandbox(grade, tmp_path), COUNT_FORKS, limits=limits)
    assert 10 <= int(outcome.output) <= 20


@BOTH
async def test_a_memory_bomb_ends_itself(tmp_path: Path, grade: str) -> None:
    limits = dataclasses.replace(LIMITS, memory_bytes=200 * 1024**2)
    outcome = await run_python(a_sandbox(grade, tmp_path), MEMORY_BOMB, limits=limits)
    assert "MemoryError" in outcome.errors


@BOTH
async def test_the_build_dies_first_when_memory_runs_out(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "cat", "/proc/self/oom_score_adj")
    assert outcome.output == "1000\n"


@BOTH
async def test_no_file_grows_beyond_the_disk_limit(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", "head -c 100M /dev/zero > big")
    assert outcome.code != 0
    assert (tmp_path / "work" / "big").stat().st_size == LIMITS.disk_bytes


async def test_temporary_files_are_bounded_in_strong(tmp_path: Path) -> None:
    limits = dataclasses.replace(LIMITS, disk_bytes=1024**3)
    sandbox = a_sandbox("strong", tmp_path)
    outcome = await run(sandbox, "fallocate", "--length", "300M", "/tmp/big", limits=limits)
    assert "No space left on device" in outcome.errors


@EVERY
async def test_commands_follow_one_another(tmp_path: Path, grade: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    first = await run(sandbox, "sh", "-c", "echo kept > file")
    second = await run(sandbox, "cat", "file")
    await sandbox.kill_all()
    assert (first.errors, second.output) == ("", "kept\n")


async def test_nothing_of_a_sandbox_stays_in_the_temporary_folder(tmp_path: Path) -> None:
    before = {path.name for path in Path("/tmp").glob("buildspace-*")}
    sandbox = a_sandbox("strong", tmp_path)
    process = await start(sandbox, "sh", "-c", "echo up; sleep 60")
    await process.stdout.readline()
    await until(lambda: {path.name for path in Path("/tmp").glob("buildspace-*")} <= before)
    await sandbox.kill_all()


def test_a_sandbox_whose_builder_died_before_it_began_does_nothing(tmp_path: Path) -> None:
    program = (
        "import os, sys; from builder.sandbox.inside.plan import Plan; "
        "print(Plan(builder_pid=1, argv=['touch', sys.argv[1]], environment=dict(os.environ), directory='/', "
        "time_limit_seconds=5.0, limits={}).to_json().decode())"
    )
    plan = subprocess.run([sys.executable, "-c", program, str(tmp_path / "made")], capture_output=True, check=True)
    supervisor = "import sys; from builder.sandbox.inside.supervisor import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", supervisor], input=plan.stdout, env={"PYTHONPATH": os.getcwd()})
    assert (done.returncode, (tmp_path / "made").exists()) == (125, False)
