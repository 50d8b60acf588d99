"""`buildspace copy objects`: blobs, releases and the plain layout, from one object store into another."""

from __future__ import annotations

from collections.abc import Callable

from gateway import engines
from gateway.config import Config
from gateway.errors import ConfigError, GatewayError, Invalid, NotFound, Unavailable
from gateway.moving.progress import Progress
from gateway.roles import ObjectInfo, ObjectStore
from gateway.workers import each_of

BLOBS, RELEASES, OUTPUTS = "__blobs/", "__releases/", "__outputs/"
AT_ONCE = 8
"""Each copy holds a few pieces of 256 KiB, and a part of an upload."""


async def copy_objects(old: Config, new: Config, say: Callable[[str], None]) -> None:
    """Copy what is not there yet; the source stays as it is. Broken off, it goes on from there when it is run again.

    Raises ConfigError when both are one store, Unavailable when one is away, Invalid when a file is damaged: after
    everything else was copied.
    """
    if place_of(old) == place_of(new):
        raise ConfigError(f"Both configurations keep their objects in {place_of(new)}: there is nothing to copy.")
    say(f"Copying objects from {place_of(old)} to {place_of(new)}.")
    async with engines.open_objects(old) as source, engines.open_objects(new) as target:
        # Not so the source: to check a folder removes what is on its way in, and its gateway may be at work.
        await target.check()
        await ObjectCopy(source, target, say).run()


def place_of(config: Config) -> str:
    """Where the objects of this configuration are, in words."""
    if config.s3.bucket:
        return f"bucket {config.s3.bucket} at {config.s3.endpoint or f'S3 in {config.s3.region}'}"
    return str((config.data_directory / "objects").resolve())


class ObjectCopy:
    """Folder by folder, so that no more than the list of one project's objects is ever held."""

    def __init__(self, source: ObjectStore, target: ObjectStore, say: Callable[[str], None]) -> None:
        self._source = source
        self._target = target
        self._say = say
        self._damaged: list[str] = []

    async def run(self) -> None:
        # Releases last: whoever looks into the new store finds none whose files are missing.
        for kind in (BLOBS, OUTPUTS, RELEASES):
            progress = Progress(f"objects of {kind}", self._say)
            for folder in await self._folders(kind):
                await self._copy_folder(folder, progress)
            self._say(f"{progress}.")
        if self._damaged:
            raise Invalid(
                f"{len(self._damaged)} blobs are damaged where they were, and were not copied: {self._damaged[0]}"
                f"{' and others' if len(self._damaged) > 1 else ''}. Deploy their projects again."
            )

    async def _folders(self, kind: str) -> list[str]:
        """The folders right below: a project each, or a slug."""
        found = {info.key[: info.key.find("/", len(kind)) + 1] async for info in self._source.list(kind)}
        return sorted(found - {""})

    async def _copy_folder(self, folder: str, progress: Progress) -> None:
        known = {info.key: info async for info in self._target.list(folder)}

        async def copy(info: ObjectInfo) -> None:
            if _is_there(info, known.get(info.key)):
                progress.skip()
            else:
                await self._copy(info, progress)

        await each_of(self._source.list(folder), copy, at_once=AT_ONCE)

    async def _copy(self, info: ObjectInfo, progress: Progress) -> None:
        sha256 = info.key.rpartition("/")[2] if info.key.startswith(BLOBS) else None
        try:
            async with self._source.open(info.key) as reader:
                size = reader.info.size
                await self._target.put(info.key, reader.chunks(), size=size, sha256=sha256)
        except NotFound:
            return  # it was swept meanwhile
        except Invalid:
            self._damaged.append(info.key)
            return
        except GatewayError as error:
            raise Unavailable(
                f"{info.key} could not be copied: {error.sentence} Run the command again: it goes on from here."
            ) from error
        progress.add(size)


def _is_there(old: ObjectInfo, new: ObjectInfo | None) -> bool:
    """A blob's name says what is in it. Anything else may have been written anew since it was copied."""
    if new is None or new.size != old.size:
        return False
    return old.key.startswith(BLOBS) or new.modified_at >= old.modified_at
