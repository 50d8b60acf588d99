"""Puts the files that a repository keeps in Git LFS in the place of their pointers; git-lfs is not needed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from builder.checkout import open_file, opened_folder
from builder.disk import disk_use
from builder.errors import BuildFailed
from builder.protocol.calls import ManifestFile
from builder.protocol.giturls import GitUrl, parse_git_url
from builder.sources.lfs_server import LfsServer, Trouble
from builder.sources.repository import Entry, Opener, Repository

BATCH = 100
AT_ONCE = 4
MAX_PATHS_BYTES = 16 * 2**20
MAX_POINTER_BYTES = 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n\Z"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Pointer:
    """A small file in the place of a large one. `sha256` is that of the pointer, `oid` that of the file."""

    path: PurePosixPath
    sha256: str
    oid: str
    size: int


class LargeFiles:
    """Those of one clone. `missing`: the pointers that stayed, their paths by the sha256 of the pointer."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.missing: dict[str, str] = {}

    async def bring(self, repository: Repository, entries: Sequence[Entry]) -> None:
        """Pointers that stay get a warning. Raises BuildFailed if the files are too large."""
        if not any(entry.path.endswith(".gitattributes") for entry in entries):
            return
        paths = await repository.read("ls-files", "-z", "--", ":(attr:filter=lfs)", most_bytes=MAX_PATHS_BYTES)
        pointers = await asyncio.to_thread(_find_pointers, repository.folder, paths.split("\0"))
        if not pointers:
            return
        await asyncio.to_thread(self._check_size, pointers)
        await repository.log.say(f"Fetching {len(pointers)} files of Git LFS")
        try:
            server = LfsServer(self._opener, await _find_server(repository, entries, self._opener.allow_private_hosts))
            troubles: dict[Pointer, Trouble] = {}
            for start in range(0, len(pointers), BATCH):
                troubles |= await self._fetch(repository, server, pointers[start : start + BATCH])
        except Trouble as trouble:
            troubles = dict.fromkeys(pointers, trouble)
        if troubles:
            await self._warn(repository, troubles)

    def _check_size(self, pointers: Iterable[Pointer]) -> None:
        limit = self._opener.limits.disk_bytes
        size = sum(pointer.size for pointer in pointers)
        if size + disk_use(self._opener.root, limit) > limit:
            raise BuildFailed(
                f"The files in Git LFS have {size / 2**20:.1f} MiB. With the rest of the repository that is more than"
                f" the {limit // 2**20} MiB of disk that a build has."
            )

    async def _fetch(
        self, repository: Repository, server: LfsServer, pointers: Sequence[Pointer]
    ) -> dict[Pointer, Trouble]:
        """Those that could not be fetched. Raises Trouble if the server is not one of Git LFS."""
        found = await server.find(list(dict.fromkeys((pointer.oid, pointer.size) for pointer in pointers)))
        slots = asyncio.Semaphore(AT_ONCE)
        troubles: dict[Pointer, Trouble] = {}

        async def fetch(number: int, pointer: Pointer) -> None:
            fetched = repository.folder / ".git" / f"lfs-{number}"
            async with slots:
                try:
                    await server.download((pointer.oid, pointer.size), found.get(pointer.oid, {}), fetched)
                    await asyncio.to_thread(_put, fetched, repository.folder, pointer.path)
                except Trouble as trouble:
                    troubles[pointer] = trouble
                except OSError as error:
                    troubles[pointer] = Trouble(f"It can't be written: {error.strerror}.")
                finally:
                    fetched.unlink(missing_ok=True)

        async with asyncio.TaskGroup() as group:
            for number, pointer in enumerate(pointers):
                group.create_task(fetch(number, pointer))
        there = [str(pointer.path) for pointer in pointers if pointer not in troubles]
        if there:
            # Git in the build, which has no git-lfs, would take them for changed.
            await repository.read("update-index", "--assume-unchanged", "--", *there)
        return troubles

    async def _warn(self, repository: Repository, troubles: dict[Pointer, Trouble]) -> None:
        folder = repository.folder.relative_to(self._opener.root)
        self.missing |= {pointer.sha256: (folder / pointer.path).as_posix() for pointer in troubles}
        first = next(iter(troubles))
        others = f" and of {len(troubles) - 1} more files" if len(troubles) > 1 else ""
        await repository.log.say(
            f"Warning: the content of {self.missing[first.sha256]}{others} could not be fetched from Git LFS, so a"
            f" pointer is in its place. {troubles[first]} Push it with `git lfs push --all origin`, or keep it in git"
            " itself."
        )


def check_pointers(output: Iterable[ManifestFile], pointers: Mapping[str, str]) -> None:
    """Raises BuildFailed if a pointer would be published. `pointers`: as LargeFiles.missing."""
    for file in output:
        if file.sha256 in pointers:
            raise BuildFailed(
                f"{file.path} in the output is a pointer of Git LFS: the content of {pointers[file.sha256]} could not"
                " be fetched. The log says why, at the step clone."
            )


async def _find_server(repository: Repository, entries: Sequence[Entry], allow_private_hosts: Sequence[str]) -> GitUrl:
    """Raises Trouble for a URL in .lfsconfig that is not accepted."""
    url = f"{str(repository.remote.url.without_ssh()).rstrip('/').removesuffix('.git')}.git/info/lfs"
    if any(entry.path == ".lfsconfig" for entry in entries):
        with contextlib.suppress(BuildFailed):  # it names no URL
            read = ("config", "--no-includes", "--blob", "HEAD:.lfsconfig", "--get", "lfs.url")
            url = (await repository.read(*read)).strip().rstrip("/")
    try:
        return parse_git_url(url, allow_private_hosts)
    except ValueError as error:
        raise Trouble(f"The URL in .lfsconfig is not accepted. {error}") from error


def _find_pointers(root: Path, paths: Iterable[str]) -> list[Pointer]:
    found = []
    for path in map(PurePosixPath, filter(None, paths)):
        with (
            contextlib.suppress(OSError),
            opened_folder(root, path.parent) as folder,
            os.fdopen(open_file(path.name, folder), "rb") as file,
        ):
            text = file.read(MAX_POINTER_BYTES)
            if match := _POINTER.match(text):
                pointer = hashlib.sha256(text).hexdigest()
                found.append(Pointer(path, pointer, match[1].decode(), int(match[2])))
    return found


def _put(fetched: Path, root: Path, path: PurePosixPath) -> None:
    """In the place of the pointer, with its mode."""
    with opened_folder(root, path.parent) as folder:
        fetched.chmod(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode & 0o777)
        os.replace(fetched, path.name, dst_dir_fd=folder)
