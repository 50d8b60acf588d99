"""What the symbolic links of an output stand for, from their texts alone: no link is ever followed on the disk."""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterator, Mapping

MAX_STEPS = 200
"""Of the way to a target: names, and links on the way."""


class TooManyLinks(Exception):
    """Links to folders that hold links to folders can stand for more files than there are atoms."""


class Links:
    """The files, folders and links of an output, by their paths in it.

    `most` limits the copies of folders and of the links in them.
    """

    def __init__(self, files: Collection[str], folders: Collection[str], links: Mapping[str, str], most: int) -> None:
        self._files = sorted(files)
        self._folders = {"", *folders}
        self._links = links
        self._sorted_links = sorted(links)
        self._left = most
        self.left_out: list[tuple[str, str]] = []
        """The path of each link that stands for nothing, and why."""

    def copies(self) -> Iterator[tuple[str, str]]:
        """For each file that a link adds: its path, and that of the file whose bytes it has. Raises TooManyLinks."""
        for link in self._sorted_links:
            yield from self._expand(link, link, frozenset())

    def _expand(self, link: str, shown: str, within: frozenset[str]) -> Iterator[tuple[str, str]]:
        target = self._resolve(link)
        if target is None or not (_has(self._files, target) or target in self._folders):
            self.left_out.append((shown, "it links to nothing in the output"))
        elif target not in self._folders:
            yield shown, target
        elif target in within or f"{link}/".startswith(f"{target}/" if target else ""):
            self.left_out.append((shown, "it links to a folder that holds it"))
        else:
            yield from self._expand_folder(target, shown, within | {target})

    def _expand_folder(self, folder: str, shown: str, within: frozenset[str]) -> Iterator[tuple[str, str]]:
        inner = _below(self._sorted_links, folder)
        self._left -= 1 + len(inner)
        if self._left < 0:
            raise TooManyLinks
        for file in _below(self._files, folder):
            yield f"{shown}/{file[len(folder) + 1 :]}", file
        for link in inner:
            yield from self._expand(link, f"{shown}/{link[len(folder) + 1 :]}", within)

    def _resolve(self, link: str) -> str | None:
        """The path that a link means. None if that is outside of the output, or never ends."""
        waiting = link.split("/")[::-1]
        found: list[str] = []
        for _ in range(MAX_STEPS):
            if not waiting:
                return "/".join(found)
            name = waiting.pop()
            if name == ".." and not found:
                return None
            if name == "..":
                found.pop()
            elif name not in ("", "."):
                target = self._links.get("/".join((*found, name)))
                if target is None:
                    found.append(name)
                elif target.startswith("/"):
                    return None
                else:
                    waiting.extend(target.split("/")[::-1])
        return None


def _has(paths: list[str], path: str) -> bool:
    place = bisect.bisect_left(paths, path)
    return place < len(paths) and paths[place] == path


def _below(paths: list[str], folder: str) -> list[str]:
    """Those of the sorted paths that are in this folder. `0` follows `/` in ASCII."""
    return paths[bisect.bisect_left(paths, f"{folder}/") : bisect.bisect_left(paths, f"{folder}0")]
