"""The data directory belongs to one gateway at a time, and to the gateway's account alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.engines.directory.modes import set_back, set_back_tree
from gateway.errors import ConfigError, Unavailable

POSTGRES_DEPTH = 5
"""The depth of a cluster's deepest folders: `postgres/data/pg_wal/archive_status/...`."""


@contextlib.contextmanager
def lock_data_directory(path: Path) -> Iterator[None]:
    """Locks the data directory: a second gateway gets a ConfigError that names the first.

    Makes the directory if it is missing, and closes it to other accounts. Raises ConfigError for a directory of another
    account. The kernel releases the lock when the process ends, however it ends.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_of_another(path)
        _set_back(path)
        # Not inherited: a builder or a postgres that outlives the gateway must not keep the lock.
        file = os.open(path / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"The data directory {path} cannot be used: {error.strerror}.") from error
    try:
        _lock(file, path)
        yield
    finally:
        os.close(file)


def refuse_of_another(path: Path) -> None:
    """Raises ConfigError for a directory of another account, which could replace the gateway's files."""
    owner, mine = path.stat().st_uid, os.geteuid()
    if owner != mine:
        raise ConfigError(
            f"The data directory {path} belongs to user {owner}, and this is user {mine}: start Buildspace as user"
            f" {owner}, give the folder and all in it to user {mine}, or choose another data.directory."
        )


def keep_usable(path: Path) -> None:
    """Restores modes that a build of our account has changed. Raises Unavailable for a folder that stays closed."""
    try:
        _set_back(path)
    except OSError as error:
        raise Unavailable(f"The data directory {path} cannot be read: {error.strerror} {error.filename}.") from error
    for folder in (path, *(path / name for name in ("objects", "work"))):
        if os.path.lexists(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable(f"The folder {folder} is closed to user {os.geteuid()}: give it back its mode 0700.")


def _set_back(path: Path) -> None:
    """Leaves out most objects and the work folders: the store and the launcher restore those."""
    set_back(path)
    set_back_tree(path, 2)
    with contextlib.suppress(FileNotFoundError):
        set_back_tree(path / "postgres", POSTGRES_DEPTH)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        pid = os.pread(file, 20, 0).decode(errors="replace").strip() or "unknown"
        raise ConfigError(
            f"Another Buildspace (process {pid}) uses the data directory {path}:"
            " stop it, or choose another data.directory."
        ) from error
    except OSError as error:
        raise ConfigError(f"The data directory {path} cannot be locked: {error.strerror}.") from error
