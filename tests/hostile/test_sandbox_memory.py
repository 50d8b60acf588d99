"""One limit of memory for a whole build, whatever kind of memory it takes and however many processes take it."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import uuid
from pathlib import Path, PurePath

import pytest

from builder import run as running
from builder.errors import BuildFailed
from builder.logs import LineSender
from builder.run import Command, Runner
from builder.sandbox.inside import cgroup
from builder.sandbox.memory import memory_use
from tests.engines.waiting import until_now
from tests.hostile.confined import LIMITS, ORDINARY_ACCOUNT, PYTHON, PYTHON_FOLDERS, a_sandbox

BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
NEEDS_CGROUP = pytest.mark.skipif(cgroup.find_base() is None, reason="no cgroup v2 with memory can be had here")
HALF = 512 * 1024**2
MANY_PROCESSES = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = b"x" * (100 * 1024**2)
        time.sleep(60)
time.sleep(60)
"""
MEMFD = """
import os, time
file = os.memfd_create("x")
for _ in range(800):
    os.write(file, b"x" * 1024**2)
time.sleep(60)
"""
SHARED_MAPPING = """
import mmap, time
held = mmap.mmap(-1, 1600 * 1024**2)
for at in range(0, len(held), 4096):
    held[at] = 1
time.sleep(60)
"""
FORGOTTEN_MAPPING = """
import mmap, time
held = mmap.mmap(-1, 1600 * 1024**2)
for at in range(0, len(held), 2**20):
    held[at:at + 2**20] = b"x" * 2**20
    held.madvise(mmap.MADV_DONTNEED, at, 2**20)
time.sleep(60)
"""
PAGE_TABLES = """
import ctypes, mmap, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
size = 400 * 1024**3
MAP_NORESERVE = 0x4000
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
begin = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, flags, -1, 0)
libc.madvise(begin, size, mmap.MADV_NOHUGEPAGE)
for at in range(begin, begin + size, 2 * 1024**2):
    ctypes.c_char.from_address(at).value
time.sleep(60)
"""
SYSV = """
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
number = libc.shmget(0, ctypes.c_size_t(800 * 1024**2), 0o1600)
if number < 0:
    sys.exit(9)
ctypes.memset(libc.shmat(number, None, 0), 1, 800 * 1024**2)
time.sleep(60)
"""
TMPFS = """
import time
for place, megabytes in (("/tmp/x", 250), ("/dev/shm/x", 60)):
    with open(place, "wb") as file:
        for _ in range(megabytes):
            file.write(b"x" * 1024**2)
held = b"x" * (250 * 1024**2)
time.sleep(60)
"""
SHARED_BY_FORK = """
import os, time
held = b"x" * (300 * 1024**2)
for _ in range(4):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
time.sleep(2)
"""
BUILDER = """
import asyncio, sys
from pathlib import Path
from tests.hostile.confined import PYTHON, a_sandbox, start
async def main():
    sandbox = a_sandbox("none", Path(sys.argv[1]))
    process = await start(sandbox, PYTHON, "-c", "print('up', flush=True); import time; time.sleep(60)")
    print((await process.stdout.readline()).decode(), process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def run_build(grade: str, folder: Path, program: str) -> None:
    """As a build runs a command: with 512 MiB for all of it."""

    async def send(record: bytes) -> None:
        pass

    log = LineSender(
        send, project="p", deployment_id=uuid.uuid4(), attempt=1, spool_directory=folder, limit_bytes=10**6
    )
    sandbox = a_sandbox(grade, folder)
    limits = dataclasses.replace(LIMITS, memory_bytes=HALF, disk_bytes=2 * 1024**3, time_limit_seconds=90.0)
    runner = Runner(sandbox, log, work=folder / "work", environment={"PATH": "/usr/bin:/bin"}, limits=limits)
    argv = (PYTHON, "-I", "-S", "-c", program)
    await runner.run(Command(argv, "the command", PurePath(), read_only=tuple(PYTHON_FOLDERS)))


@BOTH
@pytest.mark.parametrize("program", [MANY_PROCESSES, MEMFD, SHARED_MAPPING, FORGOTTEN_MAPPING, PAGE_TABLES])
async def test_memory_of_every_kind_counts_for_the_build_as_a_whole(grade: str, tmp_path: Path, program: str) -> None:
    with pytest.raises(BuildFailed, match="needed more memory than"):
        await run_build(grade, tmp_path, program)


@BOTH
async def test_system_v_segments_are_counted_or_refused(grade: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"needed more memory than|failed with exit code 9\."):
        await run_build(grade, tmp_path, SYSV)


async def test_files_in_memory_count_in_strong(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="needed more memory than"):
        await run_build("strong", tmp_path, TMPFS)


@BOTH
async def test_what_processes_share_counts_once(grade: str, tmp_path: Path) -> None:
    await run_build(grade, tmp_path, SHARED_BY_FORK)


def test_descriptors_without_end_are_no_way_to_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.sandbox.memory.MAX_DESCRIPTORS", 2)
    assert memory_use([os.getpid()], 2**40) > 2**40


@NEEDS_CGROUP
@pytest.mark.parametrize("program", [MANY_PROCESSES, MEMFD, SHARED_MAPPING, FORGOTTEN_MAPPING, PAGE_TABLES])
async def test_a_cgroup_holds_the_limit_by_itself(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MEMORY_LOOK_SECONDS", 10**6)
    with pytest.raises(BuildFailed, match="needed more memory than the 512 MiB that a build has"):
        await run_build("none", tmp_path, program)
    assert list(Path(str(cgroup.find_base())).glob("build-*")) == []


@NEEDS_CGROUP
async def test_a_command_within_its_limit_leaves_no_cgroup(tmp_path: Path) -> None:
    await run_build("none", tmp_path, "print(1)")
    assert list(Path(str(cgroup.find_base())).glob("build-*")) == []


@NEEDS_CGROUP
def test_a_builder_that_is_killed_leaves_no_cgroup(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE) as builder:
        builder.stdout.readline()
        group = Path(str(cgroup.find_base()), f"build-{int(builder.stdout.readline())}")
        was_there = group.exists()
        builder.send_signal(signal.SIGKILL)
    assert was_there
    until_now(lambda: not group.exists())


@NEEDS_CGROUP
async def test_what_a_killed_supervisor_left_goes_with_the_next_command(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)], stdout=subprocess.PIPE) as builder:
        builder.stdout.readline()
        supervisor = int(builder.stdout.readline())
        os.kill(supervisor, signal.SIGKILL)
        builder.send_signal(signal.SIGKILL)
    left = Path(str(cgroup.find_base()), f"build-{supervisor}")
    assert left.exists()
    await run_build("none", tmp_path, "print(1)")
    assert not left.exists()


def a_delegated_cgroup() -> Path:
    """As systemd makes one for a service of another account."""
    folder = Path(str(cgroup.find_base()), f"service-{secrets.token_hex(4)}")
    folder.mkdir()
    for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
        os.chown(path, ORDINARY_ACCOUNT, ORDINARY_ACCOUNT)
    return folder


def run_in(folder: Path, program: str, user: int) -> str:
    ids = f"{user}, {user}, {user}"
    become = f"open('{folder}/cgroup.procs', 'w').write('0'); os.setresgid({ids}); os.setresuid({ids})"
    whole = f"import os; from builder.sandbox.inside import cgroup; {become}; {program}"
    ran = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=60)
    return ran.stdout + ran.stderr


@NEEDS_CGROUP
def test_a_delegated_cgroup_is_divided_between_the_gateway_and_its_builds() -> None:
    folder = a_delegated_cgroup()
    found = run_in(folder, "cgroup.make_room(os.getpid()); print(cgroup.find_base(), end='')", ORDINARY_ACCOUNT)
    (folder / "gateway").rmdir()
    folder.rmdir()
    assert found == str(folder)


@NEEDS_CGROUP
def test_a_cgroup_with_other_processes_in_it_is_left_alone() -> None:
    folder = a_delegated_cgroup()
    with subprocess.Popen(["sleep", "60"]) as other:
        (folder / "cgroup.procs").write_text(str(other.pid))
        found = run_in(folder, "cgroup.make_room(os.getpid()); print(cgroup.find_base(), end='')", ORDINARY_ACCOUNT)
        other.kill()
    folder.rmdir()
    assert found == "None"


@NEEDS_CGROUP
def test_a_container_is_divided_whatever_runs_in_it() -> None:
    folder = a_delegated_cgroup()
    program = (
        "import subprocess; script = 'umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; "
        f"{sys.executable} -m builder.sandbox memory $PPID; cat /proc/self/cgroup'; "
        "subprocess.run(['unshare', '--cgroup', '--mount', 'sh', '-c', script])"
    )
    found = run_in(folder, program, 0)
    (folder / "gateway").rmdir()
    folder.rmdir()
    assert found == "Each build has a cgroup in /sys/fs/cgroup that limits its memory and processes.\n0::/gateway\n"


@NEEDS_CGROUP
async def test_a_cgroup_bounds_the_processes_of_every_account(tmp_path: Path) -> None:
    program = "import os, sys\nfor _ in range(500):\n    os.fork() or os.kill(os.getpid(), 19)\n"
    with pytest.raises(BuildFailed, match="BlockingIOError"):
        await run_build("none", tmp_path, program)
