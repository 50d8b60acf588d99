"""`buildspace copy objects`: copies blobs, releases and the plain layout from one object store into another."""

from __future__ import annotations

import functools
from collections.abc import Callable

from gateway.background import each_of
from gateway.commands.copying.progress import Progress
from gateway.config import Config
from gateway.engines import opening
from gateway.errors import ConfigError, Conflict, GatewayError, Invalid, NotFound, Unavailable
from gateway.models.object_keys import BLOBS, OUTPUTS, RELEASES
from gateway.roles import ObjectInfo, ObjectStore
from gateway.sites.content_types import content_type_of

DAMAGED = "Its bytes do not match the sha256 in its name: deploy its project again."
OCCUPIED = (
    "In the new store a key cannot also be the folder of other keys: the gateway mirrors its own files again; rename"
    " the others."
)
STRANGE = "Buildspace cannot serve a file of such a name: if you need it, copy it with the tool that made it."
AT_ONCE = 8
"""Each copy holds a few pieces of 256 KiB and one part of an upload in memory."""


async def copy_objects(old: Config, new: Config, say: Callable[[str], None]) -> None:
    """Copy what is missing in the target; the source is not changed. After an interruption, running it again continues.

    Raises ConfigError if both are one store, Unavailable if one is away, and Invalid, after everything else was copied,
    if an object could not be copied.
    """
    before, after = opening.place_of_objects(old), opening.place_of_objects(new)
    if before == after:
        raise ConfigError(f"Both configurations keep their objects in {after}: there is nothing to copy.")
    say(f"Copying objects from {before} to {after}.")
    async with opening.open_objects(old) as source, opening.open_objects(new) as target:
        await target.check()  # not the source, which is only read: this check creates a folder's structure
        await ObjectCopy(source, target, say).run()


class ObjectCopy:
    """Copies folder by folder, so that it holds the list of one project's objects at most."""

    def __init__(self, source: ObjectStore, target: ObjectStore, say: Callable[[str], None]) -> None:
        self._source = source
        self._target = target
        self._say = say
        self._left: dict[str, tuple[int, str]] = {}

    async def run(self) -> None:
        # Releases after their files: a reader of the new store never finds a release without its files.
        for kind in (BLOBS, RELEASES, OUTPUTS):
            progress = Progress(f"objects of {kind}", self._say)
            for folder in await self._folders(kind):
                await self._copy_folder(folder, progress)
            self._say(f"{progress}.")
        if self._left:
            left = (f"{count} left behind, such as {key!r:.300}. {why}" for why, (count, key) in self._left.items())
            raise Invalid(" ".join(left))

    async def _folders(self, kind: str) -> list[str]:
        """The folders directly below, one for each project or slug."""
        found = set()
        async for info in self._source.list(kind, functools.partial(self._leave, STRANGE)):
            name, slash, _ = info.key.removeprefix(kind).partition("/")
            if slash:
                found.add(f"{kind}{name}/")
            else:
                self._leave(STRANGE, info.key)
        return sorted(found)

    def _leave(self, why: str, key: str) -> None:
        count, first = self._left.get(why, (0, key))
        self._left[why] = (count + 1, first)

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
                await self._target.put(
                    info.key, reader.chunks(), size=size, sha256=sha256, content_type=content_type_of(info.key)
                )
        except NotFound:
            return  # it was swept meanwhile
        except Invalid:
            self._leave(DAMAGED, info.key)
            return
        except Conflict:
            self._leave(OCCUPIED, info.key)
            return
        except GatewayError as error:
            raise Unavailable(
                f"{info.key} could not be copied: {error.sentence} Run the command again: it continues from here."
            ) from error
        progress.add(size)


def _is_there(old: ObjectInfo, new: ObjectInfo | None) -> bool:
    """A blob's name is its hash. An object of another kind may have been overwritten since it was copied."""
    if new is None or new.size != old.size:
        return False
    return old.key.startswith(BLOBS) or new.modified_at >= old.modified_at
