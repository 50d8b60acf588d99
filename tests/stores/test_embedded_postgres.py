"""The embedded PostgreSQL survives what happens to processes, disks and folders, or says what to do."""

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from gateway.background import Health, kept_running
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.engines.postgres.postgres_files import COPY_PREFIX, Owner, find_binaries, is_postmaster, is_reachable
from gateway.errors import ConfigError, Unavailable
from tests.engines.postgres import UNSAFE_BUT_QUICK

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
DEBIANS = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """What a first start and a stop leave: to be copied, which is quicker than making it anew."""
    folder = tmp_path_factory.mktemp("fresh")
    postgres = EmbeddedPostgres(folder, settings=UNSAFE_BUT_QUICK)
    asyncio.run(postgres.start())
    asyncio.run(postgres.stop())
    return folder


@pytest.fixture
def folder(tmp_path, fresh):
    """A data directory that was in use before."""
    subprocess.run(["cp", "-a", "--reflink=auto", fresh, tmp_path / "data"], check=True)
    return tmp_path / "data"


def make(folder, **options):
    return EmbeddedPostgres(folder, settings=UNSAFE_BUT_QUICK, **options)


async def ask(url, query="SELECT 1"):
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def keep(url, text):
    await ask(url, f"CREATE TABLE kept AS SELECT '{text}'::text AS kept")


async def pid_of(url):
    """The postmaster's."""
    return int((await ask(url, "SELECT pg_read_file('postmaster.pid')")).split("\n")[0])


def watched(postgres):
    return kept_running("postgres", postgres.watch, Health())


async def test_what_was_stored_is_there_after_a_restart(tmp_path):
    async with make(tmp_path) as postgres:
        await keep(postgres.url, "this")
    async with make(tmp_path) as postgres:
        assert await ask(postgres.url, "SELECT kept FROM kept") == "this"


async def test_a_stop_ends_the_process_and_may_be_repeated(folder):
    postgres = make(folder)
    pid = await pid_of(await postgres.start())
    await postgres.stop()
    await postgres.stop()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_stop_does_not_wait_for_whoever_is_connected(folder):
    async with make(folder) as postgres:
        connection = await asyncpg.connect(postgres.url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT 1")


async def test_nobody_else_can_read_it_and_nothing_listens_on_the_network(tmp_path):
    async with make(tmp_path) as postgres:
        home = tmp_path / "postgres"
        for folder in (home, home / "data", home / "socket"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert await ask(postgres.url, "SHOW listen_addresses") == ""
        assert stat.S_IMODE((home / "socket" / ".s.PGSQL.5432").stat().st_mode) == 0o700


async def test_a_terminals_interrupt_does_not_reach_it(folder):
    async with make(folder) as postgres:
        pid = await pid_of(postgres.url)
        assert os.getsid(pid) == pid


@pytest.mark.parametrize("length", [60, 150])
async def test_a_long_path_works(tmp_path, length):
    folder = tmp_path / ("long" * length)[:length] / ("path" * length)[:length]
    async with make(folder) as postgres, open_pool(postgres.url, 2) as database:
        assert await database.pool.fetchval("SELECT 1") == 1


async def test_a_path_with_odd_letters_works(tmp_path):
    async with make(tmp_path / "a b?c&d=ü%20'\"#") as postgres, open_pool(postgres.url, 2) as database:
        assert await database.pool.fetchval("SELECT 1") == 1


async def test_an_initdb_that_was_killed_leaves_nothing_half(tmp_path):
    left = tmp_path / "postgres" / "new-left"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18")
    async with make(tmp_path) as postgres:
        assert await ask(postgres.url) == 1
    assert not left.exists()


async def test_a_start_that_is_canceled_during_initdb_can_be_repeated(tmp_path):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(make(tmp_path).start(), 0.15)
    assert not (tmp_path / "postgres" / "data").exists()
    async with make(tmp_path) as postgres:
        assert await ask(postgres.url) == 1


async def test_a_postmaster_that_was_killed_is_started_again(folder):
    async with EmbeddedPostgres(folder) as postgres, open_pool(postgres.url, 2) as database, watched(postgres):
        await keep(postgres.url, "this")
        assert await database.pool.fetchval("SELECT kept FROM kept") == "this"
        os.kill(await pid_of(postgres.url), signal.SIGKILL)
        async with asyncio.timeout(20):
            while await fetch_kept(database) != "this":
                await asyncio.sleep(0.05)


async def fetch_kept(database):
    try:
        async with database.acquire() as connection:
            return await connection.fetchval("SELECT kept FROM kept")
    except Unavailable:
        return None


async def test_what_a_killed_gateway_left_running_is_taken_over(folder):
    first = make(folder)
    pid = await pid_of(await first.start())
    await keep(first.url, "this")
    async with make(folder) as second:
        # The first one is our child here, so it stays as a zombie until it is waited for.
        assert not is_postmaster(pid, folder / "postgres" / "data")
        assert await pid_of(second.url) != pid
        assert await ask(second.url, "SELECT kept FROM kept") == "this"
    first._process.wait()


KILLED_GATEWAY = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres

async def main():
    with lock_data_directory(Path(sys.argv[1])):
        await EmbeddedPostgres(Path(sys.argv[1])).start()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_gateway_killed_for_good_neither_blocks_nor_loses_the_next(folder):
    killed = subprocess.run([sys.executable, "-c", KILLED_GATEWAY, folder], cwd=ROOT, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])
    assert Path(f"/proc/{left}").exists()
    with lock_data_directory(folder):
        async with make(folder) as postgres:
            assert await pid_of(postgres.url) != left
            assert await ask(postgres.url) == 1


@pytest.mark.parametrize("content", ["", "not a number\n", "{own}\n", "999999999\n", "-1\n", "1\n"])
async def test_a_stale_pid_file_is_no_hindrance(folder, content):
    for file in ("data/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
        (folder / "postgres" / file).write_text(content.format(own=os.getpid()))
    async with make(folder) as postgres:
        assert await ask(postgres.url) == 1


async def test_the_reused_pid_of_another_postgres_is_no_hindrance(folder, tmp_path):
    async with make(tmp_path / "other") as other:
        pid = await pid_of(other.url)
        (folder / "postgres" / "data" / "postmaster.pid").write_text(f"{pid}\n")
        async with make(folder) as postgres:
            assert await ask(postgres.url) == 1
        assert await ask(other.url) == 1


async def test_data_of_another_major_version_is_refused_with_the_way_out(folder):
    version = folder / "postgres" / "data" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(ConfigError, match=r"PostgreSQL 15, .* PostgreSQL 18.*postgres\.bin_dir.*pg_dump"):
        await make(folder).start()


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe"])
async def test_a_damaged_version_is_refused_with_a_sentence(folder, damaged):
    (folder / "postgres" / "data" / "PG_VERSION").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"PG_VERSION is damaged.*another data\.directory"):
        await make(folder).start()


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe\0"])
async def test_a_damaged_note_of_the_copied_programs_is_harmless(folder, damaged):
    (folder / "postgres" / "copy").write_bytes(damaged)
    async with make(folder) as postgres:
        assert await ask(postgres.url) == 1


async def test_a_folder_without_programs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no postgres in postgres\.bin_dir"):
        await make(tmp_path, bin_dir=str(tmp_path)).start()


@pytest.mark.skipif(not DEBIANS.exists(), reason="Debian's PostgreSQL is not installed")
async def test_the_systems_postgres_can_be_used(tmp_path):
    async with make(tmp_path, bin_dir=str(DEBIANS)) as postgres:
        assert (await ask(postgres.url, "SHOW server_version")).startswith("15")


async def test_a_server_that_does_not_start_says_why(folder):
    postgres = EmbeddedPostgres(folder, settings={"shared_buffers": "nonsense"})
    with pytest.raises(Unavailable, match=r"FATAL.*shared_buffers"):
        await postgres.start()
    await postgres.stop()


async def test_a_full_disk_is_unavailable(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(Unavailable, match="full"):
        await make(tmp_path).start()


async def test_a_file_in_the_way_is_a_config_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be used"):
        await make(tmp_path / "file").start()
    with pytest.raises(ConfigError, match="cannot be used"), lock_data_directory(tmp_path / "file"):
        pass


def test_a_second_gateway_is_told_who_has_the_directory(tmp_path):
    folder = tmp_path / "data"
    with lock_data_directory(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with pytest.raises(ConfigError, match=rf"process {os.getpid()}\)"), lock_data_directory(folder):
            pass
    with lock_data_directory(folder):
        pass


@as_root
async def test_as_root_it_runs_as_nobody_in_particular_in_a_closed_home(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    async with make(home / "data") as postgres:
        pid = await pid_of(postgres.url)
        assert os.stat(f"/proc/{pid}").st_uid == 64998
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert home.stat().st_uid == 0


@as_root
async def test_as_root_a_restored_backup_is_given_to_its_user(folder):
    for above, folders, files in os.walk(folder / "postgres"):
        for name in (*folders, *files):
            os.chown(os.path.join(above, name), 0, 0)
    async with make(folder) as postgres:
        assert await ask(postgres.url) == 1


@as_root
async def test_as_root_programs_in_a_closed_folder_are_copied_and_the_copy_is_removed(folder, monkeypatch):
    monkeypatch.setattr("gateway.engines.postgres.embedded_postgres.is_reachable", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", None)
    postgres = make(folder)
    await postgres.start()
    copy = Path((folder / "postgres" / "copy").read_text())
    assert copy.name.startswith(COPY_PREFIX)
    assert await ask(postgres.url) == 1
    await postgres.stop()
    assert not copy.exists()


@as_root
async def test_as_root_configured_programs_in_a_closed_folder_are_refused(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("postgres", "initdb"):
        (closed / name).write_text("#!/bin/sh\n")
        (closed / name).chmod(0o755)
    with pytest.raises(ConfigError, match="cannot reach"):
        await make(tmp_path / "data", bin_dir=str(closed)).start()


ORDINARY_USER = """
import asyncio, concurrent.futures.thread, encodings.idna, os, sys
from pathlib import Path
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.errors import ConfigError

# After the imports: Python itself may live in a closed folder.
os.setgroups([]); os.setgid(1); os.setuid(int(sys.argv[2]))

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        print(postgres.url)

try:
    asyncio.run(main())
except ConfigError as error:
    sys.exit(error.sentence)
"""


CLOSED_BY_A_BUILD = """
import asyncio, concurrent.futures.thread, contextlib, encodings.idna, os, sys
from pathlib import Path
import asyncpg
from gateway.background import Health, kept_running
from gateway.engines.data_directory import keep_usable, lock_data_directory
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres

os.setgroups([]); os.setgid(1); os.setuid(int(sys.argv[2]))
folder = Path(sys.argv[1])
CLOSED = ["data/global/pg_control", "data/pg_wal", "data/base", "data", "socket/.s.PGSQL.5432", "socket", "."]

async def write(postgres):
    connection = await asyncpg.connect(postgres.url, timeout=5)
    try:
        await connection.execute("CREATE TABLE written (); SELECT pg_switch_wal(); CHECKPOINT")
    finally:
        await connection.close()

async def main():
    with lock_data_directory(folder):
        async with EmbeddedPostgres(folder) as postgres, kept_running("postgres", postgres.watch, Health()):
            connection = await asyncpg.connect(postgres.url)
            for path in CLOSED:
                (folder / "postgres" / path).chmod(0)
            folder.chmod(0)
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute("CREATE TABLE lost (); SELECT pg_switch_wal(); CHECKPOINT")
            while True:
                keep_usable(folder)
                with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                    await write(postgres)
                    break
                await asyncio.sleep(0.1)
            print("written")

asyncio.run(main())
"""


def run_as(uid, folder, program=ORDINARY_USER):
    command = [sys.executable, "-c", program, folder, str(uid)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def open_folder():
    """A folder that an ordinary user reaches."""
    if not is_reachable(find_binaries("") / "postgres", Owner(1, 1, is_other=True)):
        pytest.skip("the installed programs lie in a closed folder")
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    folder.chmod(0o777)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@as_root
def test_an_ordinary_user_needs_nothing_special(open_folder):
    found = run_as(1, open_folder / "data")
    assert found.stdout.startswith("postgresql://"), found.stderr
    assert (open_folder / "data" / "postgres" / "data").stat().st_uid == 1


@as_root
def test_a_cluster_that_a_build_of_its_user_has_closed_is_used_again(open_folder):
    found = run_as(1, open_folder / "data", CLOSED_BY_A_BUILD)
    assert found.stdout == "written\n", found.stderr


@as_root
def test_the_folder_of_another_user_is_refused_with_a_sentence(open_folder):
    run_as(1, open_folder / "data")
    os.chown(open_folder / "data", 2, 2)
    os.chown(open_folder / "data" / "postgres", 2, 2)
    assert "belongs to user 1, and this is user 2" in run_as(2, open_folder / "data").stderr


@as_root
def test_a_user_without_a_name_gets_a_sentence(open_folder):
    assert "has none on this machine" in run_as(54321, open_folder / "data").stderr


@as_root
async def test_root_uses_the_folder_of_an_ordinary_user_as_that_user(open_folder):
    run_as(1, open_folder / "data")
    async with make(open_folder / "data") as postgres:
        assert os.stat(f"/proc/{await pid_of(postgres.url)}").st_uid == 1
    assert (open_folder / "data" / "postgres" / "data").stat().st_uid == 1
