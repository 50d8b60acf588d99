"""The process launcher, with small programs in the builder's place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from builder.protocol.calls import Isolation
from gateway.engines.process import process_launcher as process_module
from gateway.engines.process import processes
from gateway.engines.process.grades import Grade
from gateway.engines.process.process_launcher import ProcessLauncher, free_slot
from gateway.engines.process.processes import ProcessId
from gateway.engines.process.work_folders import AttemptFolders
from gateway.errors import LaunchRefused, Unanswered, Unavailable
from gateway.roles import BuilderState, LaunchOrder
from tests.engines.builder_state import state_of
from tests.engines.waiting import until, until_now

TOKEN = "b7e2-token"
SLEEP = "import time; time.sleep(60)"
REPORT = """
import json, os, sys, time
with open("draft", "w") as file:
    json.dump({"environment": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "argv": sys.orig_argv}, file)
os.rename("draft", "report")
time.sleep(60)
"""
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open("draft", "w") as file:
            file.write(str(os.getpid()))
        os.rename("draft", "daemon")
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("ready", "w").close()
time.sleep(60)
"""
CRASH = "import sys; sys.exit('the disk is on fire')"


def strong() -> Grade:
    return Grade(Isolation.STRONG, "strong holds")


def refused() -> Grade:
    raise LaunchRefused("Builds are refused.", final=True)


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", program)


def an_order(attempt: int = 1) -> LaunchOrder:
    return LaunchOrder(uuid.uuid4(), attempt, "crimson-elephant", "https://git.example/a.git", TOKEN, "http://here:1")


@contextlib.asynccontextmanager
async def a_launcher(work: Path, program: str, **settings: object) -> AsyncIterator[ProcessLauncher]:
    launcher = ProcessLauncher(work, strong, builder=python(program), **settings)
    try:
        yield launcher
    finally:
        await launcher.close()


def folder_of(work: Path, order: LaunchOrder) -> Path:
    return AttemptFolders(work, "here").of(order.deployment_id, order.attempt)


async def is_gone(launcher: ProcessLauncher, handle: str) -> bool:
    return await state_of(launcher, handle) is BuilderState.GONE


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_folder_names_its_attempt_to_its_own_gateway_alone(tmp_path):
    order = an_order()
    name = folder_of(tmp_path, order).name
    assert str(order.deployment_id)[:8] not in name
    assert AttemptFolders(tmp_path, "there").of(order.deployment_id, order.attempt).name != name
    assert AttemptFolders(tmp_path, "here").of(order.deployment_id, order.attempt + 1).name != name


async def report_of(work: Path, order: LaunchOrder) -> dict[str, object]:
    path = folder_of(work, order) / "report"
    await until(path.exists)
    return json.loads(path.read_text())


async def test_a_builder_runs_with_its_order_in_the_environment(tmp_path: Path) -> None:
    order = an_order(attempt=2)
    async with a_launcher(tmp_path, REPORT, environ={"PATH": os.environ["PATH"]}) as launcher:
        await launcher.launch(order)
        found = (await report_of(tmp_path, order))["environment"]
    assert (
        found.items()
        >= {
            "BUILDSPACE_URL": "http://here:1",
            "BUILDSPACE_TOKEN": TOKEN,
            "BUILDSPACE_ISOLATION": "strong",
            "BUILDSPACE_WORK": str(folder_of(tmp_path, order) / "work"),
            "BUILDSPACE_ATTEMPT": "2",
            "DEPLOYMENT_ID": str(order.deployment_id),
            "PROJECT_ID": "crimson-elephant",
            "GIT_REPOSITORY_URL": "https://git.example/a.git",
        }.items()
    )


async def test_builders_share_a_bounded_folder_for_node(tmp_path: Path) -> None:
    order = an_order()
    cache = {"node_cache": tmp_path / "cache", "node_cache_bytes": 100}
    async with a_launcher(tmp_path, REPORT, environ={"PATH": os.environ["PATH"]}, **cache) as launcher:
        await launcher.launch(order)
        found = (await report_of(tmp_path, order))["environment"]
    assert (found["BUILDSPACE_NODE_CACHE"], found["BUILDSPACE_NODE_CACHE_BYTES"]) == (str(tmp_path / "cache"), "100")


async def test_a_builder_inherits_certificates_and_no_secret(tmp_path: Path) -> None:
    order = an_order()
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": "secret", "SSL_CERT_FILE": "/etc/ssl/a.pem"}
    async with a_launcher(tmp_path, REPORT, environ=environ) as launcher:
        await launcher.launch(order)
        found = (await report_of(tmp_path, order))["environment"]
    assert found["SSL_CERT_FILE"] == "/etc/ssl/a.pem"
    assert "DATABASE_URL" not in found


async def test_no_argument_shows_the_token(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, REPORT) as launcher:
        await launcher.launch(order)
        found = await report_of(tmp_path, order)
    assert TOKEN not in " ".join(found["argv"])


async def test_a_builder_imports_nothing_from_its_own_folder(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, REPORT) as launcher:
        await launcher.launch(order)
        found = await report_of(tmp_path, order)
    assert found["cwd"] == str(folder_of(tmp_path, order))
    assert not {"", found["cwd"]} & set(found["path"])


async def test_the_real_builder_can_be_imported_from_its_folder(tmp_path: Path) -> None:
    async with a_launcher(tmp_path, "import builder.__main__; exit('imported')", environ={}) as launcher:
        handle = await launcher.launch(an_order())
        await until(lambda: is_gone(launcher, handle))
        assert await launcher.last_words(handle) == "imported"


async def test_an_attempt_that_ended_is_not_started_again(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, CRASH) as launcher:
        handle = await launcher.launch(order)
        await until(lambda: is_gone(launcher, handle))
        await launcher.stop(handle, "ended")
        assert await launcher.launch(order) == handle


async def test_a_builder_that_was_killed_is_gone(tmp_path: Path) -> None:
    async with a_launcher(tmp_path, SLEEP) as launcher:
        handle = await launcher.launch(an_order())
        os.kill(ProcessId.from_handle(handle).pid, signal.SIGKILL)
        await until(lambda: is_gone(launcher, handle))


async def test_another_process_with_the_same_number_is_not_the_builder(tmp_path: Path) -> None:
    assert await is_gone(ProcessLauncher(tmp_path, strong), f"process:{os.getpid()}:1")


async def test_a_builder_of_another_boot_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_launcher(tmp_path, SLEEP) as launcher:
        handle = await launcher.launch(an_order())
        with monkeypatch.context() as patch:
            patch.setattr(processes, "boot_id", lambda: "another")
            assert await state_of(launcher, handle) is BuilderState.GONE


async def test_stopping_ends_a_builder_and_its_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "TIDY_SECONDS", 0.2)
    order = an_order()
    async with a_launcher(tmp_path, DAEMON) as launcher:
        handle = await launcher.launch(order)
        daemon = folder_of(tmp_path, order) / "daemon"
        await until(daemon.exists)
        await launcher.stop(handle, "canceled")
        assert await state_of(launcher, handle) is BuilderState.GONE
        assert is_dead(int(daemon.read_text()))


async def test_a_builder_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "POLITE_SECONDS", 0.2)
    order = an_order()
    async with a_launcher(tmp_path, STUBBORN) as launcher:
        handle = await launcher.launch(order)
        await until((folder_of(tmp_path, order) / "ready").exists)
        await launcher.stop(handle, "canceled")
        assert await state_of(launcher, handle) is BuilderState.GONE


async def test_the_disk_of_a_stopped_builder_is_freed_even_of_closed_folders(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, SLEEP) as launcher:
        handle = await launcher.launch(order)
        closed = folder_of(tmp_path, order) / "work" / "closed"
        (closed / "inner").mkdir(parents=True)
        closed.chmod(0o000)
        await launcher.stop(handle, "ended")
        await launcher.tidy()
        assert not (folder_of(tmp_path, order) / "work").exists()


async def test_the_next_launch_does_not_wait_for_the_removal_of_what_a_dead_builder_left(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, CRASH) as launcher:
        handle = await launcher.launch(order)
        await until(lambda: is_gone(launcher, handle))
        await launcher.launch(an_order())
        assert (folder_of(tmp_path, order) / "work").exists()
        await launcher.tidy()
        assert not (folder_of(tmp_path, order) / "work").exists()


@pytest.fixture
def folder_of_us(tmp_path: Path) -> Path:
    """The folder of an attempt whose builder is this process."""
    folder = AttemptFolders(tmp_path, "instance").make(uuid.uuid4(), 1)
    us = {"pid": os.getpid(), "start_ticks": 1, "boot_id": "here", "slot": 0}
    (folder / "builder.json").write_text(json.dumps(us))
    return folder


def test_the_last_words_are_the_end_of_a_long_log(folder_of_us: Path) -> None:
    with (folder_of_us / "builder.log").open("wb") as file:
        file.truncate(2**40)  # sparse: read as a whole, it would not fit into the memory
        file.seek(0, os.SEEK_END)
        file.write(b"the disk is on fire\n")
    words = AttemptFolders(folder_of_us.parent, "instance").last_words(ProcessId(os.getpid(), 1))
    assert words.lstrip("\0") == "the disk is on fire"


def test_last_words_do_not_come_from_a_file_that_a_build_linked(folder_of_us: Path) -> None:
    (folder_of_us / "builder.log").symlink_to("/etc/passwd")
    assert AttemptFolders(folder_of_us.parent, "instance").last_words(ProcessId(os.getpid(), 1)) == ""


def test_a_pipe_in_the_place_of_the_log_holds_up_no_look(folder_of_us: Path) -> None:
    os.mkfifo(folder_of_us / "builder.log")
    assert AttemptFolders(folder_of_us.parent, "instance").last_words(ProcessId(os.getpid(), 1)) == ""


def test_a_record_that_is_a_link_is_not_followed(folder_of_us: Path) -> None:
    record = folder_of_us / "builder.json"
    record.rename(folder_of_us / "elsewhere.json")
    record.symlink_to("elsewhere.json")
    assert AttemptFolders(folder_of_us.parent, "instance").records() == []


@pytest.mark.parametrize("record", [b"", b"\xff\x00{", b"[]", b'{"pid": 1}', b'{"pid": null, "start_ticks": 1}'])
async def test_a_damaged_record_holds_no_other_build(tmp_path: Path, record: bytes) -> None:
    damaged = folder_of(tmp_path, an_order())
    damaged.mkdir(parents=True)
    (damaged / "builder.json").write_bytes(record)
    async with a_launcher(tmp_path, SLEEP) as launcher:
        handle = await launcher.launch(an_order())
        assert await state_of(launcher, handle) is BuilderState.RUNNING
        await launcher.stop(handle, "It was canceled.")
        assert await is_gone(launcher, handle)


async def test_the_last_words_of_a_crashed_builder_are_kept(tmp_path: Path) -> None:
    async with a_launcher(tmp_path, CRASH) as launcher:
        handle = await launcher.launch(an_order())
        await until(lambda: is_gone(launcher, handle))
        await launcher.stop(handle, "gone")
        assert await launcher.last_words(handle) == "the disk is on fire"


async def test_a_builder_that_cannot_be_executed_says_why(tmp_path: Path) -> None:
    launcher = ProcessLauncher(tmp_path, strong, builder=("/nowhere/python",))
    handle = await launcher.launch(an_order())
    await until(lambda: is_gone(launcher, handle))
    assert "No such file or directory" in await launcher.last_words(handle)


async def test_where_builds_are_refused_nothing_starts(tmp_path: Path) -> None:
    launcher = ProcessLauncher(tmp_path, refused, builder=python(SLEEP))
    with pytest.raises(LaunchRefused, match="Builds are refused"):
        await launcher.launch(an_order())
    assert [*tmp_path.iterdir()] == []


async def test_a_builder_that_started_is_found_where_builds_are_refused_since(tmp_path: Path) -> None:
    order = an_order()
    async with a_launcher(tmp_path, SLEEP) as before:
        handle = await before.launch(order)
        after = ProcessLauncher(tmp_path, refused, builder=python(SLEEP))
        assert await after.launch(order) == handle


async def test_a_start_that_takes_too_long_may_have_started_a_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the starter leaves to itself goes on when it is not waited for any longer."""
    starter = tmp_path / "slow_starter.py"
    starter.write_text("import os, time; os.fork() and os._exit(0); time.sleep(60)")
    monkeypatch.setattr(process_module, "STARTER", starter)
    monkeypatch.setattr(process_module, "START_SECONDS", 0.2)
    async with a_launcher(tmp_path, SLEEP) as launcher:
        with pytest.raises(Unanswered):
            await launcher.launch(an_order())


async def test_a_work_folder_that_cannot_be_made_refuses_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchRefused, match="could not be started"):
        await ProcessLauncher(tmp_path / "file", strong, builder=python(SLEEP)).launch(an_order())


async def test_builders_that_run_at_once_have_slots_of_their_own(tmp_path: Path) -> None:
    orders = [an_order(), an_order()]
    async with a_launcher(tmp_path, REPORT) as launcher:
        await asyncio.gather(*(launcher.launch(order) for order in orders))
        reports = [await report_of(tmp_path, order) for order in orders]
    assert {report["environment"]["BUILDSPACE_SLOT"] for report in reports} == {"0", "1"}


@pytest.mark.parametrize(("taken", "free"), [([], 0), ([0, 1], 2), ([0, 2], 1), ([1], 0)])
def test_the_smallest_free_slot_is_taken(taken: list[int], free: int) -> None:
    assert free_slot(taken) == free


async def test_a_graceful_stop_ends_builders(tmp_path: Path) -> None:
    async with a_launcher(tmp_path, SLEEP) as launcher:
        handle = await launcher.launch(an_order())
        await launcher.close()
        assert await state_of(launcher, handle) is BuilderState.GONE


GATEWAY = """
import asyncio, sys, uuid
from pathlib import Path
from builder.protocol.calls import Isolation
from gateway.engines.process.process_launcher import ProcessLauncher
from gateway.engines.process.grades import Grade
from gateway.roles import LaunchOrder
async def main():
    builder = [sys.executable, "-c", sys.argv[3]]
    launcher = ProcessLauncher(Path(sys.argv[1]), lambda: Grade(Isolation.STRONG, ""), builder=builder)
    print(await launcher.launch(LaunchOrder(uuid.UUID(sys.argv[2]), 1, "a", "b", "c", "d")), flush=True)
    await asyncio.sleep(60)
import uvloop
uvloop.run(main())
"""


async def test_a_builder_survives_a_killed_gateway_and_is_found_again(tmp_path: Path) -> None:
    order = an_order()
    command = [sys.executable, "-c", GATEWAY, str(tmp_path), str(order.deployment_id), SLEEP]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as gateway:
        handle = gateway.stdout.readline().strip()
        gateway.kill()
    async with a_launcher(tmp_path, SLEEP) as launcher:
        assert await launcher.launch(order) == handle
        assert await state_of(launcher, handle) is BuilderState.RUNNING


def test_launching_finding_and_stopping_work_on_uvloop(tmp_path: Path) -> None:
    async def story() -> tuple[BuilderState, BuilderState]:
        async with a_launcher(tmp_path, SLEEP) as launcher:
            handle = await launcher.launch(an_order())
            before = await state_of(launcher, handle)
            await launcher.stop(handle, "enough")
            return before, await state_of(launcher, handle)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(story()) == (BuilderState.RUNNING, BuilderState.GONE)


def test_whoever_comes_second_to_a_record_starts_nothing(tmp_path: Path) -> None:
    starter = [sys.executable, "-I", "-S", str(process_module.STARTER), str(tmp_path)]
    program = [sys.executable, "-c", "open('began-' + str(__import__('os').getpid()), 'w')"]
    first = subprocess.run([*starter, "0", *program], capture_output=True, check=True)
    second = subprocess.run([*starter, "1", *program], capture_output=True, check=True)
    assert first.stdout == second.stdout
    until_now(lambda: [path.name for path in tmp_path.glob("began-*")] == [f"began-{json.loads(first.stdout)['pid']}"])


async def test_a_program_that_a_build_has_closed_is_named_until_it_is_open(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.touch(mode=0o700)
    launcher = ProcessLauncher(tmp_path / "work", strong, builder=(str(program),))
    await launcher.check()
    program.chmod(0)
    with pytest.raises(Unavailable, match=f"{program} is closed to this user"):
        await launcher.check()
    program.chmod(0o700)
    await launcher.check()
