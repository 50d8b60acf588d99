"""Counts the memory of a build's processes, for machines without a cgroup: their own, shared memory, and files in
memory.

Not counted: the kernel's memory for sockets and pipes, a memfd while it is passed through a socket and, if the builder
is not root, descriptors of processes that are closed to others (not dumpable).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable

OWN = (b"RssAnon:", b"VmSwap:", b"VmPTE:")
"""Page tables grow without anonymous memory: a mapping that is only read has them too."""
TMPFS_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - those of the sandbox
MAX_DESCRIPTORS = 200_000
"""More than any build needs. A build with more could delay the count."""


def memory_use(pids: Iterable[int], enough_bytes: int) -> int:
    """Bytes in use; more than `enough_bytes` if the build cannot be counted. Processes that end meanwhile count 0."""
    pids = list(pids)
    try:
        shared = sum(_shared_objects(pids).values()) + _tmpfs_use(pids)
    except _TooMany:
        return enough_bytes + 1
    total = shared + sum(_own_memory(pid) for pid in pids)
    if total <= enough_bytes:
        return total
    # Pages that a fork shares with its parent were counted twice. The exact number takes longer to find.
    return shared + sum(_exact_own_memory(pid) for pid in pids)


class _TooMany(Exception):
    pass


def _own_memory(pid: int) -> int:
    """Readable for every account, whatever the process does."""
    return sum(_counts(pid, "status", OWN))


def _exact_own_memory(pid: int) -> int:
    found = _counts(pid, "smaps_rollup", (b"Pss_Anon:", b"SwapPss:"))
    return sum((*found, *_counts(pid, "status", (b"VmPTE:",)))) if found else _own_memory(pid)


def _counts(pid: int, name: str, fields: tuple[bytes, ...]) -> list[int]:
    """Bytes of each of these fields."""
    return [1024 * int(line.split()[1]) for line in _lines(pid, name) if line.startswith(fields)]


def _lines(pid: int, name: str) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _shared_objects(pids: Iterable[int]) -> dict[int, int]:
    """Bytes by inode: memfds, shared anonymous mappings and SysV segments, each once. All lie on one hidden tmpfs."""
    device, mapped = _hidden_tmpfs()
    found: dict[int, int] = {}
    looked_at = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                looked_at += 1
                with contextlib.suppress(OSError):
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                    if status.st_dev == device:
                        found[status.st_ino] = status.st_blocks * 512
        with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", "rb") as file:
            for mapping in mapped.finditer(file.read()):
                looked_at += 1
                begin, end, inode = int(mapping[1], 16), int(mapping[2], 16), int(mapping[3])
                if inode not in found:
                    found[inode] = _mapped_bytes(pid, begin, end)
        if looked_at > MAX_DESCRIPTORS:
            raise _TooMany
    return found


def _mapped_bytes(pid: int, begin: int, end: int) -> int:
    """Exact for root. Other accounts cannot read the object, so the whole mapping counts."""
    try:
        return os.stat(f"/proc/{pid}/map_files/{begin:x}-{end:x}").st_blocks * 512
    except OSError:
        return end - begin


@functools.cache
def _hidden_tmpfs() -> tuple[int, re.Pattern[bytes]]:
    """The device of that tmpfs, and a pattern for shared mappings of its files in `maps`."""
    file = os.memfd_create("device")
    try:
        device = os.fstat(file).st_dev
    finally:
        os.close(file)
    shown = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    return device, re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ...s [0-9a-f]+ " + shown + rb" ([0-9]+) ", re.MULTILINE)


def _tmpfs_use(pids: Iterable[int]) -> int:
    """The use of each tmpfs that only the build sees."""
    seen = {device for folder in TMPFS_FOLDERS if (device := _device(folder)) is not None}
    total = 0
    for pid in pids:
        for folder in TMPFS_FOLDERS:
            inside = f"/proc/{pid}/root{folder}"
            device = _device(inside)
            if device is not None and device not in seen:
                seen.add(device)
                with contextlib.suppress(OSError):
                    size = os.statvfs(inside)
                    total += (size.f_blocks - size.f_bfree) * size.f_frsize
    return total


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None
