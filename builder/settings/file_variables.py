"""The variables that settings files may add to a build's environment."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from builder.protocol.variables import MAX_VALUE_BYTES, refuse_name
from builder.settings.documents import MOST_NAMED, Document

FLAGS = ("NPM_FLAGS", "PNPM_FLAGS")
_CONFIGS = frozenset(
    {"force", "ignore-scripts", "include", "legacy-peer-deps", "omit", "shamefully-hoist", "strict-peer-dependencies"}
)


def read_variables(document: Document, *keys: str) -> tuple[dict[str, str], list[str]]:
    """The table at this path, and lines for the log about those left out. Raises BuildFailed for odd values."""
    found: dict[str, str] = {}
    notes: list[str] = []
    left_out = 0
    for name, value in document.table(*keys).items():
        if not isinstance(value, str | int | float):
            raise document.failure(f"The variable {name[:60]} must be text.", *keys, name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if "\0" in text or len(text.encode(errors="replace")) > MAX_VALUE_BYTES:
            raise document.failure(f"{name[:60]} has at most {MAX_VALUE_BYTES} bytes, and no NUL.", *keys, name)
        if refused := refuse_name(name):
            left_out += 1
            if left_out <= MOST_NAMED:  # because looking for a line takes as long as the file is
                line = document.line(*keys, name)
                notes.append(f"{document.name}, line {line}: the variable {name[:60]} {refused}.")
        else:
            found[name] = text
    if left_out > MOST_NAMED:
        notes.append(f"{document.name}: {left_out - MOST_NAMED} more variables are left out.")
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
