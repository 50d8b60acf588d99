"""Commands: both streams in the log, the exit code decides, the end is told in words."""

import asyncio
import os
import signal
import uuid
from pathlib import PurePath

import pytest

from builder import disk
from builder.disk import disk_use
from builder.errors import BuildFailed, Lost
from builder.logs import LineSender
from builder.run import Command, Runner
from builder.sandbox import Limits


class Bare:
    """A sandbox that holds nothing."""

    name = "bare"

    def __init__(self, work):
        self.work = work
        self.process = None

    async def start(self, argv, *, environment, directory, limits=None, read_only=()):
        self.process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            cwd=self.work / directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return self.process

    async def kill_all(self):
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def memory_use(self, enough_bytes):
        return 0

    def path(self, host_path):
        return str(host_path)


class Log(LineSender):
    """A log whose lines are kept here."""

    def __init__(self, limit_bytes):
        super().__init__(
            self._never,
            project="p",
            deployment_id=uuid.uuid4(),
            attempt=1,
            spool_directory=None,
            limit_bytes=limit_bytes,
        )
        self.lines = []

    async def _never(self, record):
        raise AssertionError

    async def _add(self, stream, text):
        self.lines.append((str(stream), text))
        return len(self.lines)


@pytest.fixture
def log(request):
    return Log(limit_bytes=getattr(request, "param", 10**9))


@pytest.fixture
def run(tmp_path, log):
    async def run(text, limits=None):
        runner = Runner(
            Bare(tmp_path),
            log,
            work=tmp_path,
            environment={"PATH": os.environ["PATH"]},
            limits=limits or Limits(),
        )
        await runner.run(Command(("sh", "-c", text), "the command", PurePath(".")))

    return run


async def test_both_streams_are_logged_whole_and_in_order(run, log):
    await run("for i in $(seq 1 2000); do echo out $i; echo err $i >&2; done; printf last")
    assert log.lines[0] == ("system", "$ the command")
    assert [text for stream, text in log.lines if stream == "stdout"] == [
        *(f"out {number}" for number in range(1, 2001)),
        "last",
    ]
    assert [text for stream, text in log.lines if stream == "stderr"] == [f"err {number}" for number in range(1, 2001)]


async def test_a_failure_names_the_command_the_code_and_the_last_errors(run):
    with pytest.raises(BuildFailed) as failed:
        await run("echo fine; seq 1 30 >&2; exit 3")
    assert failed.value.exit_code == 3
    assert failed.value.sentence == "`the command` failed with exit code 3.\nIn step prepare."
    assert failed.value.lines == tuple(map(str, range(11, 31)))


async def test_the_error_on_stdout_is_the_reason_though_stderr_warns(run, log):
    with pytest.raises(BuildFailed) as failed:
        await run("echo 'DeprecationWarning' >&2; echo 'src/a.ts(3,1): error TS2322: No.'; exit 2")
    assert failed.value.failure.line == "src/a.ts(3,1): error TS2322: No."
    assert log.lines[failed.value.failure.seq - 1] == ("stdout", failed.value.failure.line)


async def test_a_file_in_other_letters_is_named(run, tmp_path):
    (tmp_path / "button.js").touch()
    with pytest.raises(BuildFailed, match=r"\./Button\.js is not there, but button\.js is"):
        await run("echo \"Error: Cannot find module './Button.js'\"; exit 1")


async def test_a_sandbox_that_does_not_start_is_not_the_projects_fault(run):
    with pytest.raises(Lost, match="no namespaces here"):
        await run("echo no namespaces here >&2; exit 125")


@pytest.mark.parametrize("log", [10_000], indirect=True)
async def test_a_full_log_ends_the_command(run):
    with pytest.raises(BuildFailed, match="log reached its limit"):
        await run("yes")


async def test_a_full_disk_ends_the_command(run, tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "FIRST_LOOK_SECONDS", 0.05)
    with pytest.raises(BuildFailed, match="more than its 1 MiB of disk"):
        await run("head -c 5000000 /dev/zero > big; sleep 30", Limits(disk_bytes=2**20))


def test_disk_use_counts_what_is_on_disk(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "link").symlink_to("/usr")
    assert disk_use(tmp_path, 2**50) < 100_000


def test_disk_use_sees_what_lies_too_deep_for_a_path(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(40):
            os.mkdir("d" * 250, dir_fd=folder)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = os.open("hidden", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        os.write(file, b"x" * 3_000_000)
        os.close(file)
    finally:
        os.close(folder)
    assert disk_use(tmp_path, 2**50) > 3_000_000
