"""Restores the modes of the gateway's own files, which a build of the same account may change. All of it blocks.

Landlock does not restrict chmod. An account may also restore what it changed: from the top down, because a closed
folder hides what is in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER_MODE = 0o700
FILE_MODE = 0o600
WAY_MODE = 0o100
"""A folder above only needs to be passable. Its owner decides about the rest."""
ACLS = frozenset({"system.posix_acl_access", "system.posix_acl_default"})
"""A default ACL without rights for the owner closes every file that is made afterwards."""


def set_back(root: Path, key: str = "") -> bool:
    """Make `root` reachable, then restore `root` and each part of the key below it. True if anything was changed."""
    root = Path(os.path.realpath(root))
    changed = [open_way(root.parent), _set_back_one(root)]
    below = root
    for name in filter(None, key.split("/")):
        below /= name
        changed.append(_set_back_one(below))
    return any(changed)


def open_way(folder: Path) -> bool:
    """Make this folder and those above it passable, as far as we own them. True if anything was changed."""
    changed = [_set_back_one(each, least=WAY_MODE) for each in (*reversed(folder.parents), folder)]
    return any(changed)


def set_back_tree(folder: Path, depth: int) -> None:
    """Restore the folder and what is in it, `depth` levels deep. Leaves out what another account owns."""
    found = os.lstat(folder)
    if _is_wrong(found):
        _set_back_one(folder)
    if depth == 0 or found.st_uid != os.geteuid():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                if entry.is_dir(follow_symlinks=False):
                    set_back_tree(folder / entry.name, depth - 1)
                elif _is_wrong(entry.stat(follow_symlinks=False)):
                    _set_back_one(folder)  # its default ACL may have closed the file
                    _set_back_one(folder / entry.name)


def _set_back_one(path: Path, least: int = 0) -> bool:
    """Follows no link within our own folders. `least`: add these rights alone, for a folder above ours."""
    try:
        file = os.open(path, os.O_PATH | (0 if least else os.O_NOFOLLOW))
    except OSError:  # gone, or in a folder that this account may not search
        return False
    try:
        return _set_back_opened(file, path, least)
    except OSError as error:
        log.warning("the mode of %s cannot be set back: %s", path, error.strerror)
        return False
    finally:
        os.close(file)


def _set_back_opened(file: int, path: Path, least: int) -> bool:
    found = os.fstat(file)
    if found.st_uid != os.geteuid():
        return False
    mode = stat.S_IMODE(found.st_mode)
    wanted = mode | least if least else _wanted(found)
    place = f"/proc/self/fd/{file}"  # fchmod(2) refuses a descriptor that was opened with O_PATH
    changed = not least and _remove_acls(place)
    if mode != wanted:
        os.chmod(place, wanted)
        log.warning("mode set back %s: it was %04o, it is %04o", path, mode, wanted)
        changed = True
    return changed


def _is_wrong(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != _wanted(found)


def _wanted(found: os.stat_result) -> int:
    """Folders are closed to others. Files and sockets in them only need to be usable by us."""
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return mode & ~0o777 | FOLDER_MODE
    return mode if stat.S_ISLNK(found.st_mode) else mode | FILE_MODE


def _remove_acls(place: str) -> bool:
    found = ACLS.intersection(os.listxattr(place))
    for name in found:
        os.removexattr(place, name)
    return bool(found)
