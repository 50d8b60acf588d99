"""Landlock: which files may be read and written, which TCP ports may be connected to, which processes may be signalled.

What no rule allows is denied. The names are those of linux/landlock.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from builder.sandbox.inside import kernel

MOVES_VERSION = 2
"""The first version that can allow to move files between folders."""
TCP_VERSION = 4
SCOPES_VERSION = 6
"""The first version with signals and abstract sockets."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BEFORE_REFER = _REFER - 1
_CONNECT_TCP = 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
_RULE_PATH, _RULE_PORT = 1, 2

_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


def restrict_files(read: Iterable[str], write: Iterable[str]) -> None:
    """Restrict this process and all that it starts. Paths that do not exist are skipped. Needs no_new_privs."""
    version = kernel.landlock_version()
    if version < MOVES_VERSION:
        raise OSError(f"Landlock has version {version} here, and {MOVES_VERSION} is needed")
    everything = _BEFORE_REFER | _REFER | (_TRUNCATE if version >= 3 else 0) | (_IOCTL_DEV if version >= 5 else 0)
    ruleset = kernel.landlock_create(struct.pack("=Q", everything))
    for path in read:
        _allow_path(ruleset, path, _READ & everything)
    for path in write:
        _allow_path(ruleset, path, everything)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def restrict_network(ports: Iterable[int]) -> None:
    """TCP to these ports, signals and abstract sockets of its own descendants alone, as far as the version goes."""
    if kernel.landlock_version() < TCP_VERSION:
        return
    # Every set of rules forbids to move files between folders, unless it handles and allows that.
    attributes = struct.pack("=QQ", _REFER, _CONNECT_TCP)
    if kernel.landlock_version() >= SCOPES_VERSION:
        attributes += struct.pack("=Q", _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    ruleset = kernel.landlock_create(attributes)
    _allow_path(ruleset, "/", _REFER)
    for port in ports:
        kernel.landlock_add(ruleset, _RULE_PORT, struct.pack("=QQ", _CONNECT_TCP, port))
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def _allow_path(ruleset: int, path: str, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not os.path.isdir(path):
            access &= _OF_FILES
        kernel.landlock_add(ruleset, _RULE_PATH, struct.pack("=Qi", access, opened))
    finally:
        os.close(opened)
