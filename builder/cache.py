"""The install cache: the packages of a published build, for later builds of its project with the same lockfile.

What is saved is what the project's own install made, untouched by the build (its ctimes tell), and what frameworks keep
from build to build. A later build gets a copy of its own and does not run the install.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from builder import archive
from builder.api import BuildersApi
from builder.archive import BadArchive, Count, Unpackable
from builder.checkout import Checkout, open_file, opened_folder
from builder.detect import Plan
from builder.errors import BuildFailed, Ended, Lost
from builder.lockfiles import INSTALLED_KINDS
from builder.logs import LineSender
from builder.managers import Choice
from builder.protocol.calls import SAVE_SECONDS, Job
from builder.toolchain import Toolchain
from builder.upload import megabytes

FORMAT = 1
RESTORE_SECONDS = 120.0
MAX_ENTRIES = 500_000
MAX_PACKAGES = 500
MAX_FOLDERS = 20_000
CHUNK_BYTES = 1024 * 1024
MODULES = "node_modules"
CONFIGURATIONS = (
    *(".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", ".pnpmfile.mjs", "bunfig.toml"),
    "npm-shrinkwrap.json",
)
PATCHES = ("patches", ".yarn/patches")
OWN_SCRIPTS = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare")
"""An install runs them for the project itself, and they may read and write any file of it."""
FRAMEWORK_CACHES = (".next/cache", ".astro", ".cache")
INSTALLED_NAMES = frozenset({".bin", ".pnpm", ".store"})
"""Names with a dot in node_modules that an install makes. Others, such as `.vite`, are caches of programs."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """How this build uses the cache. `folders`: what may be saved and restored, relative to the repository."""

    key: str
    modules: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]


class InstallCache:
    """That of one build. Whatever goes wrong here makes the build slower, never fail."""

    def __init__(self, api: BuildersApi, job: Job, log: LineSender, checkout: Checkout, private: Path) -> None:
        self._api = api
        self._job = job
        self._log = log
        self._checkout = checkout
        self._file = private / "installation"
        self._use: Use | None = None
        self._installed: tuple[int, Mapping[PurePosixPath, frozenset[str]]] | None = None
        """When the install had ended, and which packages were there then."""

    async def restore(self, plan: Plan, toolchain: Toolchain, deadline: float) -> bool:
        """Whether all is installed now, as the plan's install would. `deadline` of the build (monotonic)."""
        if not self._job.cache_bytes or plan.manager is None or plan.install is None:
            return False
        try:
            self._use = await asyncio.to_thread(plan_use, plan, plan.manager, toolchain, self._checkout, self._job)
            async with asyncio.timeout(RESTORE_SECONDS):
                line = await self._restore(self._use, min(deadline, time.monotonic() + RESTORE_SECONDS))
        except Unpackable as error:
            await self._log.say(f"Install cache: not used, because {error}")
            return False
        except (BadArchive, OSError, TimeoutError, Lost, BuildFailed) as error:
            reason = str(error) or f"it took longer than {RESTORE_SECONDS:.0f} s"
            await self._log.say(f"Install cache: the saved installation can't be used. {reason}")
            return False
        await self._log.say(line or "Install cache: no entry for this lockfile")
        return bool(line)

    async def _restore(self, use: Use, deadline: float) -> str:
        """A line for the log. Empty: nothing is saved."""
        began = time.monotonic()
        try:
            with await asyncio.to_thread(open, self._file, "w+b") as file:
                digest = await self._api.fetch_cache(use.key, lambda chunk: asyncio.to_thread(file.write, chunk))
                if digest is None:
                    return ""
                count = await asyncio.to_thread(self._unpack, use, file, digest, deadline)
        finally:
            self._file.unlink(missing_ok=True)
        # What was restored is saved already.
        self._use = None
        seconds = time.monotonic() - began
        return f"Install cache: restored {count.files} files, {megabytes(count.bytes)} in {seconds:.1f} s"

    def _unpack(self, use: Use, file: io.BufferedRandom, digest: str, deadline: float) -> Count:
        """What is there already is never replaced."""
        if _hash(file) != digest:
            raise BadArchive("Its digest is wrong.")
        file.seek(0)
        absent = [folder for folder in use.folders if _is_absent(self._checkout.root, folder)]
        try:
            return archive.unpack(file, self._checkout.root, absent, self._limits(deadline))
        except BaseException:
            # The install begins as if nothing had been there.
            for folder in absent:
                shutil.rmtree(self._checkout.root / folder, ignore_errors=True)
            raise

    def installed(self) -> None:
        """The install has ended well, with the lockfile as it is, and the build has not begun."""
        if self._use is not None:
            packages = {folder: _names(self._checkout.root, folder) for folder in self._use.modules}
            self._installed = time.time_ns(), packages

    async def announce(self) -> None:
        """Later there is no log to write to: the site goes live before anything is saved."""
        if self._may_save:
            await self._log.say("Install cache: this installation will be saved once the deployment is ready")

    @property
    def _may_save(self) -> bool:
        # Previews read, and so do the builds of forks, but only production saves. The gateway checks it again.
        return self._use is not None and self._installed is not None and self._job.context == "production"

    async def save(self) -> None:
        """For a deployment that is READY. A failure is told in the builder's own output only."""
        if not self._may_save or self._use is None:
            return
        try:
            async with asyncio.timeout(SAVE_SECONDS):
                size, digest = await asyncio.to_thread(self._pack, self._use, time.monotonic() + SAVE_SECONDS)
                if size > self._job.cache_bytes:
                    raise Unpackable(f"it has {size} bytes; the limit is {self._job.cache_bytes}")
                await self._api.put_cache(self._use.key, digest, size, lambda: _chunks_of(self._file))
        except (Unpackable, OSError, TimeoutError, Lost, BuildFailed, Ended) as error:
            logger.warning("install cache not saved: %s", str(error) or "it took too long")
        finally:
            self._file.unlink(missing_ok=True)

    def _pack(self, use: Use, deadline: float) -> tuple[int, str]:
        assert self._installed is not None  # noqa: S101 - for the type checker
        ended_at, packages = self._installed
        root = self._checkout.root
        for folder, names in packages.items():
            if _names(root, folder) != names:
                raise Unpackable(f"the build changed {folder}")
        folders = [folder for folder in use.folders if _is_folder(root, folder)]

        def check(path: str, status: os.stat_result) -> None:
            if status.st_ctime_ns > ended_at and is_installed(path, use.modules):
                raise Unpackable(f"the build changed {path}")

        with open(self._file, "w+b") as file:
            archive.pack(root, folders, file, self._limits(deadline), check)
            return file.tell(), _hash(file)

    def _limits(self, deadline: float) -> archive.Limits:
        return archive.Limits(MAX_ENTRIES, self._job.disk_bytes, deadline)


def plan_use(plan: Plan, choice: Choice, toolchain: Toolchain, checkout: Checkout, job: Job) -> Use:
    """Raises Unpackable, with why, where a copy might differ from what the install makes."""
    if choice.lockfile is None:
        raise Unpackable("there is no lockfile")
    if plan.install != choice.manager.frozen_install:
        raise Unpackable("the project has an install command of its own")
    packages = find_packages(checkout, choice.root)
    for folder in packages:
        _check_package(checkout, folder)
    modules = tuple(folder / MODULES for folder in packages)
    # Gatsby's belongs to the files in public, which are not kept.
    caches = [name for name in FRAMEWORK_CACHES if name != ".cache" or plan.name != "Gatsby"]
    folders = (*modules, *(plan.package.root / name for name in caches))
    return Use(make_key(choice, toolchain, checkout, packages, _variables(plan, job)), modules, folders)


def _check_package(checkout: Checkout, folder: PurePosixPath) -> None:
    try:
        package = checkout.read_object(folder / "package.json")
    except BuildFailed as error:
        raise Unpackable(f"{folder / 'package.json'} is too large") from error
    scripts = package.get("scripts")
    own = [name for name in OWN_SCRIPTS if isinstance(scripts, dict) and scripts.get(name)]
    if own:
        raise Unpackable(f"{folder / 'package.json'} has the script `{own[0]}`, which an install has to run")
    for kind in INSTALLED_KINDS:
        wanted = package.get(kind)
        for name, version in wanted.items() if isinstance(wanted, dict) else ():
            if str(version).startswith(("file:", "link:", "portal:")):
                raise Unpackable(f"{folder / 'package.json'} takes {str(name)[:100]} from a folder")


def find_packages(checkout: Checkout, root: PurePosixPath) -> list[PurePosixPath]:
    """The folders with a package.json at or below the install root, members of its workspace or not."""
    found: list[PurePosixPath] = []
    for number, (path, folders, files) in enumerate(os.walk(checkout.root / root)):
        folders[:] = sorted(name for name in folders if name not in (MODULES, ".git"))
        if "package.json" in files:
            found.append(PurePosixPath(os.path.relpath(path, checkout.root)))
        if len(found) > MAX_PACKAGES or number > MAX_FOLDERS:
            raise Unpackable(f"the repository has more than {MAX_PACKAGES} packages or {MAX_FOLDERS} folders")
    return found


def make_key(
    choice: Choice,
    toolchain: Toolchain,
    checkout: Checkout,
    packages: Sequence[PurePosixPath],
    variables: Mapping[str, str],
) -> str:
    """The digest of everything that an install depends on. Others of the project may read it: it reveals no secret."""
    root = choice.root
    files = [root / name for name in (choice.lockfile, choice.manager.program, *CONFIGURATIONS) if name]
    files += [folder / name for folder in packages for name in ("package.json", ".npmrc", "binding.gyp")]
    files += [path for name in PATCHES for path in _files_in(checkout, root / name)]
    parts = {
        "format": FORMAT,
        "versions": toolchain.versions,
        "platform": [platform.system(), platform.machine(), *platform.libc_ver()],
        "command": choice.manager.frozen_install,
        "environment": {**choice.manager.environment, **variables},
        "files": {str(path): digest for path in files if (digest := _hash_file(checkout, path))},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _variables(plan: Plan, job: Job) -> dict[str, str]:
    """NODE_ENV, npm_config_omit and others change what is installed. Of a secret only the name counts."""
    given = {each.name: "" if each.is_secret else each.value for each in job.variables}
    return {**plan.settings.environment, **given}


def is_installed(path: str, modules: Sequence[PurePosixPath]) -> bool:
    """Whether this path is part of the installation itself, which a build must not have changed."""
    parts = PurePosixPath(path).parts
    if MODULES not in parts or PurePosixPath(path) in modules:
        return False
    below = [after for before, after in itertools.pairwise(parts) if before == MODULES]
    return all(not name.startswith(".") or name in INSTALLED_NAMES for name in below)


def _names(root: Path, folder: PurePosixPath) -> frozenset[str]:
    """What is installed in a node_modules, by name. Empty if there is none."""
    try:
        with opened_folder(root, folder) as descriptor:
            names = os.listdir(descriptor)
    except OSError:
        return frozenset()
    return frozenset(name for name in names if is_installed(f"{MODULES}/{name}", ()))


def _is_folder(root: Path, folder: PurePosixPath) -> bool:
    try:
        with opened_folder(root, folder):
            return True
    except OSError:
        return False


def _is_absent(root: Path, folder: PurePosixPath) -> bool:
    """Whether it can be made here: not there yet, and no link on the way."""
    if os.path.lexists(root / folder):
        return False
    above = next(parent for parent in folder.parents if os.path.lexists(root / parent))
    return _is_folder(root, above)


def _files_in(checkout: Checkout, folder: PurePosixPath) -> Iterator[PurePosixPath]:
    for path, _, files in os.walk(checkout.root / folder):
        for name in sorted(files):
            yield PurePosixPath(os.path.relpath(path, checkout.root)) / name


def _hash_file(checkout: Checkout, path: PurePosixPath) -> str:
    """Empty if there is no such file."""
    try:
        with (
            opened_folder(checkout.root, path.parent) as folder,
            os.fdopen(open_file(path.name, folder), "rb") as file,
        ):
            return _hash(file)
    except OSError:
        return ""


def _hash(file: io.BufferedRandom | io.BufferedReader) -> str:
    """Of the whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    with contextlib.closing(await asyncio.to_thread(open, path, "rb")) as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
