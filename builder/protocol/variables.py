"""Which names a variable of a build may have, and how long its value may be."""

from __future__ import annotations

import re

NODE_OPTIONS = "NODE_OPTIONS"
"""Kept: what a project sets is appended to what the platform sets."""
MAX_VALUE_BYTES = 32 * 1024

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = {
    "PATH": "the platform sets it, so that the project's Node and programs are found",
    "HOME": "the platform sets it to the build's own folder",
    "PWD": "the shell sets it",
    "OLDPWD": "the shell sets it",
    "SHLVL": "the shell sets it",
    "TMPDIR": "the platform sets it to a folder that the build may write to",
    "IFS": "it changes how the shell reads every command",
    "ENV": "the shell runs the file that it names",
    "BASH_ENV": "the shell runs the file that it names",
    "SHELLOPTS": "it changes how the shell reads every command",
    "BASHOPTS": "it changes how the shell reads every command",
    "SHELL_COMMAND": "the sandbox uses it",
    "GLIBC_TUNABLES": "it changes how every program is started",
    "GCONV_PATH": "every program would load code from there",
    # Frameworks would build for those hosts' servers.
    "NETLIFY": "it says that another host builds the site",
    "VERCEL": "it says that another host builds the site",
    "CF_PAGES": "it says that another host builds the site",
}
_RESERVED_PREFIXES = {
    "LD_": "every program would load code from there",
    "DYLD_": "every program would load code from there",
    "BUILDSPACE": "the platform sets those names",
}


def refuse_name(name: str) -> str | None:
    """Why a variable cannot have this name, as the end of a sentence that begins with the name. None: it can."""
    if not _NAME.match(name):
        return "is not a name of a variable: letters, digits and _, and no digit at the beginning"
    reason = _RESERVED.get(name) or next(
        (why for prefix, why in _RESERVED_PREFIXES.items() if name.startswith(prefix)), None
    )
    return f"cannot be set: {reason}" if reason else None
