"""The variables that settings files may add to a build's environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from builder.settings.documents import Document

MAX_VALUE = 32 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
_OURS = re.compile(r"PATH|HOME|LD_.*|DYLD_.*|BUILDSPACE.*|NETLIFY|VERCEL|CF_PAGES")
FLAGS = ("NPM_FLAGS", "PNPM_FLAGS")
_CONFIGS = frozenset(
    {"force", "ignore-scripts", "include", "legacy-peer-deps", "omit", "shamefully-hoist", "strict-peer-dependencies"}
)


def read_variables(document: Document, *keys: str) -> tuple[dict[str, str], list[str]]:
    """The table at this path, and lines for the log about those left out. Raises BuildFailed for odd values."""
    found: dict[str, str] = {}
    notes = []
    for name, value in document.table(*keys).items():
        if not isinstance(value, str | int | float):
            raise document.failure(f"The variable {name[:60]} must be text.", *keys, name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not _NAME.match(name) or "\0" in text or len(text) > MAX_VALUE:
            raise document.failure(f"{name[:60]!r} is no variable: names have letters, digits and _.", *keys, name)
        if _OURS.fullmatch(name):
            notes.append(f"{document.name}, line {document.line(*keys, name)}: the variable {name} can't be set.")
        else:
            found[name] = text
    return found, notes


def with_flags(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, and for flags such as `NPM_FLAGS="--legacy-peer-deps"` the ones that npm and pnpm read."""
    configs = {name: value for flags in FLAGS for name, value in _configs(variables.get(flags, ""))}
    return {**configs, **variables}


def _configs(flags: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(flags)
    except ValueError:
        return
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in _CONFIGS:
            yield f"npm_config_{name.replace('-', '_')}", value or "true"
