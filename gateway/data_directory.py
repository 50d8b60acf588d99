"""The data directory belongs to one gateway at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigError


@contextlib.contextmanager
def lock_data_directory(path: Path) -> Iterator[None]:
    """Only one gateway uses a data directory: a second one gets a ConfigError that names the first.

    The directory is made if need be, closed to others. The lock ends with the process, however that ends.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not inherited: a builder or a postgres that outlives the gateway must not hold it.
        file = os.open(path / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"The data directory {path} cannot be used: {error.strerror}.") from error
    try:
        _lock(file, path)
        yield
    finally:
        os.close(file)


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
