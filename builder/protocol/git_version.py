"""Which git builds need. The doctor looks for it, and a builder refuses an older one."""

from __future__ import annotations

import re

LEAST = (2, 37)
"""From this version on git connects to the addresses that it is given (http.curloptResolve). An older git ignores that
setting silently and resolves the host's name once more, which could lead to a private address the second time."""
_VERSION = re.compile(r"git version (\d{1,3})\.(\d{1,3})")


def refuse_old_git(printed: str) -> str | None:
    """Why this git (as `git --version` prints it) can't be used, as a sentence. None: it can."""
    found = _VERSION.match(printed)
    if found and (int(found[1]), int(found[2])) >= LEAST:
        return None
    least = ".".join(map(str, LEAST))
    return (
        f"{printed.strip()[:80] or 'This git'} is too old: builds need git {least} or newer, because an older one can"
        " be led to private addresses. Install a newer git, or use the container image."
    )
