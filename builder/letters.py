"""Finds a file whose name differs from a wanted one only in the case of its letters."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath, PurePosixPath

from builder.checkout import Checkout, opened_folder

MAX_ENTRIES = 20_000
"""A limit, because a build can create millions of files."""
SKIPPED = ("node_modules", ".git")
_STARTS = ("", ".", "..", "@", "~", "/")


def find_other_case(checkout: Checkout, folder: PurePath, module: str) -> str | None:
    """The path, in `folder`, of what an import wants and writes in other letters. None if there is none.

    `module` is as an import has it: relative, absolute, or with an alias such as `@/`; its ending may be missing.
    """
    wanted = [part for part in module.partition("?")[0].split("/") if part not in _STARTS]
    if not wanted:
        return None
    alike = [path for path in _paths(checkout, PurePosixPath(folder)) if _is_alike(wanted, path.parts)]
    if any(_is_same(wanted, path.parts) for path in alike):
        return None
    return str(min(alike)) if alike else None


def _is_alike(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    return _is_same([part.casefold() for part in wanted], [part.casefold() for part in parts])


def _is_same(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether one ends as the other does. The ending of the file may be missing in the import."""
    depth = min(len(wanted), len(parts))
    is_same_folder = list(wanted[-depth:-1]) == list(parts[-depth:-1])
    return is_same_folder and (parts[-1] == wanted[-1] or parts[-1].startswith(f"{wanted[-1]}."))


def _paths(checkout: Checkout, folder: PurePosixPath) -> Iterator[PurePosixPath]:
    """Files and folders in `folder`, without following links."""
    seen = 0
    try:
        with opened_folder(checkout.root, folder) as descriptor:
            for top, folders, files, _ in os.fwalk(".", dir_fd=descriptor, follow_symlinks=False):
                folders[:] = [name for name in folders if name not in SKIPPED]
                for name in (*folders, *files):
                    seen += 1
                    if seen > MAX_ENTRIES:
                        return
                    yield PurePosixPath(top, name)
    except OSError:
        return
