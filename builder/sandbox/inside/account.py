"""Gives up root: makes the paths that the build needs reachable, then changes the account for good."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable

from builder.sandbox.inside import kernel

PLACE = "/tmp"  # noqa: S108 - a folder of every machine, covered for a moment


def become(user: int, needed: Iterable[str], covered: Iterable[str] = ()) -> None:
    """Continue as `user`, without groups and capabilities. `needed` paths stay reachable at their places.

    Nothing else stays reachable in `covered` folders.
    """
    uncover(user, sorted(needed), [folder for folder in covered if os.path.isdir(folder)])
    kernel.drop_bounding_capabilities()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def uncover(user: int, needed: list[str], covered: Iterable[str] = ()) -> None:
    """In a mount namespace of our own, cover each folder that `user` may not enter with an empty one.

    The needed paths are mounted into it. Everything beside them stays out of reach.
    """
    covered = {os.path.realpath(folder) for folder in covered}
    closed = {path: folder for path in needed if (folder := _topmost(path, user, covered))}
    if not closed and not covered:
        return
    _leave_mounts()
    opened = {path: os.open(path, os.O_PATH) for path in closed}
    for folder in sorted({*closed.values(), *covered}):
        kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0711,size=1m")
    os.umask(0o066)
    for path in sorted(closed):
        _make_place(path, opened[path])
        kernel.mount(f"/proc/self/fd/{opened[path]}", path, "", kernel.MS_BIND | kernel.MS_REC)
        os.close(opened[path])
    os.umask(0o022)


def _topmost(path: str, user: int, covered: set[str]) -> str | None:
    """The topmost folder above a path that has to be covered."""
    closed = closed_ancestor(path, user)
    above = [folder for folder in covered if path.startswith(f"{folder}/")]
    return min([*above, *([closed] if closed else [])], key=len, default=None)


def closed_ancestor(path: str, user: int) -> str | None:
    """The topmost folder above `path` that `user` may not pass through."""
    parts = os.path.abspath(path).split("/")[1:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/" + "/".join(parts[:depth])
        status = os.stat(folder)
        may_enter = stat.S_IXUSR if status.st_uid == user else stat.S_IXOTH
        if not status.st_mode & may_enter:
            return folder
    return None


def hide_processes() -> None:
    """In a mount namespace of our own, let /proc show only processes that the reader may trace: its own. Linux 5.8.

    Nothing can be set through it, such as which process the kernel ends first.
    """
    _leave_mounts()
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_RDONLY
    kernel.mount("proc", "/proc", "proc", flags, "hidepid=ptraceable")


def show_files(contents: dict[str, str]) -> None:
    """In a mount namespace of our own, cover files of the machine. Paths that do not exist are skipped."""
    _leave_mounts()
    kernel.mount("tmpfs", PLACE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755,size=1m")
    for number, (path, content) in enumerate(contents.items()):
        if os.path.exists(path):
            with open(f"{PLACE}/{number}", "x", opener=functools.partial(os.open, mode=0o644)) as file:
                file.write(content)
            kernel.mount(f"{PLACE}/{number}", path, "", kernel.MS_BIND)
    # The files stay where they are mounted; what the place had before is seen again.
    kernel.unmount(PLACE, kernel.MNT_DETACH)


@functools.cache
def can_hide_processes() -> bool:
    return kernel.is_possible(hide_processes)


def _leave_mounts() -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def _make_place(path: str, opened: int) -> None:
    if stat.S_ISDIR(os.fstat(opened).st_mode):
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
