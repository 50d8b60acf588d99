"""The programs of a build: Node and the package manager, of the version that the project names or that fits."""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from builder.errors import BuildFailed
from builder.managers import Manager
from builder.node import SYSTEM_PATH, Node
from builder.packages import Entry, Packages, Programs, hash_file
from builder.registry import Missing, Unfetched
from builder.semver import Version, is_release, parse_range, parse_version, version_text

BUN_MACHINES = {"x86_64": "x64", "aarch64": "aarch64"}
PNPM_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
NATIVE_PNPM = 12
"""From this version on pnpm is a program for each kind of machine, in a package of its own."""
ADVISING_NPM = (11, 16, 0)
_EXACT = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z.-]{1,60})?\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Toolchain:
    """`programs` are to be linked into a folder of PATH; `path` is the rest of PATH; `read_only` is what they read.

    `versions`: the exact ones of Node and of the package manager.
    """

    programs: Mapping[str, Path]
    path: str = SYSTEM_PATH
    read_only: tuple[Path, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    def with_programs(self, added: Iterable[Programs], read_only: Sequence[Path] = ()) -> Toolchain:
        """With more programs, and what else the build may read."""
        programs = dict(self.programs)
        folders = [*self.read_only, *read_only]
        for each in added:
            programs |= each.programs
            folders += each.read_only
        return dataclasses.replace(self, programs=programs, read_only=tuple(folders))

    def link(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, target in self.programs.items():
            (folder / name).symlink_to(target)


async def assemble(manager: Manager | None, node: Node, packages: Packages) -> Toolchain:
    """Node, its npm, and the manager. Raises BuildFailed if one of them can't be had."""
    wanted = [Manager("npm")] if node.npm_version is None else []
    if manager is not None:
        wanted = [*(each for each in wanted if manager.name != each.name), manager]
    fetched = [await _fetch_manager(each, node, packages) for each in wanted]
    programs = dict(node.programs)
    for each in fetched:
        programs |= each.programs
    return Toolchain(
        programs,
        node.path,
        (*node.read_only, *(path for each in fetched for path in each.read_only)),
        {**(manager.environment if manager else {}), **(_quiet_npm(manager, fetched[-1].version) if manager else {})},
        tuple(note for each in fetched for note in each.notes),
        (
            version_text(node.version),
            *(f"{each.name} {got.version}" for each, got in zip(wanted, fetched, strict=True)),
        ),
    )


async def _fetch_manager(manager: Manager, node: Node, packages: Packages) -> Programs:
    if manager.program:
        return Programs("", {}, ())
    if manager.name == "npm" and node.npm_version is not None and _allows(manager.wanted, node.npm_version):
        return Programs(node.npm_version, {}, ())
    version = manager.wanted or manager.fitting_version(node.version)
    try:
        exact, note = await _find_version(manager, version, packages)
        entry = await packages.take(_package(manager, exact), exact)
        programs, read_only = await _programs(manager, exact, entry, packages)
    except Unfetched as error:
        raise BuildFailed(f"{_asked(manager, version)} {error.sentence}") from error
    return Programs(exact, programs, read_only, tuple(each for each in (note, _check_hash(manager, entry)) if each))


def _allows(wanted: str, version: str) -> bool:
    if not wanted or _EXACT.match(wanted):
        return wanted in ("", version)
    return is_release(version) and parse_range(wanted).allows(parse_version(version))


def _asked(manager: Manager, version: str) -> str:
    asks = f"{manager.source} asks for" if manager.source and manager.wanted else "The build needs"
    return f"{asks} {manager.name} {version}."


def _package(manager: Manager, version: str) -> str:
    if manager.name == "bun":
        libc = "" if platform.libc_ver()[0] == "glibc" else "-musl"
        return f"@oven/bun-linux-{_machine(BUN_MACHINES, manager)}{libc}{_baseline()}"
    return "@yarnpkg/cli-dist" if manager.name == "yarn" and not version.startswith("1.") else manager.name


def _baseline() -> str:
    """bun's usual program needs AVX2."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    return "-baseline" if platform.machine() == "x86_64" and "avx2" not in flags else ""


def _machine(table: Mapping[str, str], manager: Manager) -> str:
    found = table.get(platform.machine())
    if found is None:
        raise Unfetched(f"There is no {manager.name} for machines of the kind {platform.machine()}.")
    return found


async def _find_version(manager: Manager, wanted: str, packages: Packages) -> tuple[str, str]:
    """An exact version, and a line for the log if it is not the one that is named."""
    if _EXACT.match(wanted):
        try:
            await packages.take(_package(manager, wanted), wanted)
        except Missing:
            nearest = await _newest(manager, f"^{wanted}", packages) or await _newest(
                manager, wanted.partition(".")[0], packages
            )
            if nearest is None:
                raise
            return nearest, f"{_asked(manager, wanted)} The npm registry has no such version: {nearest} is used."
        return wanted, ""
    newest = await _newest(manager, wanted, packages)
    if newest is None:
        raise Missing("The npm registry has none that fits.")
    return newest, ""


async def _newest(manager: Manager, wanted: str, packages: Packages) -> str | None:
    """Of Yarn, the package `yarn` holds version 1 and the package `@yarnpkg/cli-dist` the others."""
    name = _package(manager, "1." if manager.is_classic else "")
    fits = parse_range(wanted).allows
    versions: list[Version] = [parse_version(text) for text in await packages.list_versions(name) if is_release(text)]
    newest = max((version for version in versions if fits(version)), default=None)
    return version_text(newest) if newest else None


async def _programs(
    manager: Manager, version: str, entry: Entry, packages: Packages
) -> tuple[dict[str, Path], tuple[Path, ...]]:
    if manager.name == "bun":
        return dict.fromkeys(("bun", "bunx"), entry.folder / "bin/bun"), (entry.folder,)
    if manager.name == "pnpm" and parse_version(version)[0] >= NATIVE_PNPM:
        libc = "" if platform.libc_ver()[0] == "glibc" else "-musl"
        native = await packages.take(f"@pnpm/exe.linux-{_machine(PNPM_MACHINES, manager)}{libc}", version)
        return dict.fromkeys(entry.programs(), native.folder / "pnpm"), (entry.folder, native.folder)
    return entry.programs(), (entry.folder,)


def _check_hash(manager: Manager, entry: Entry) -> str:
    """corepack's hash is that of the package, and for Yarn 2 and later that of its one file. A line for the log."""
    algorithm, _, wanted = manager.hash.partition(".")
    if not wanted:
        return ""
    if algorithm not in entry.hashes or manager.name == "bun":
        return f"The hash of {manager.name} in packageManager can't be checked: its kind, {algorithm}, is unknown."
    is_file = manager.name == "yarn" and not manager.is_classic
    hashes = hash_file(entry.folder / "bin/yarn.js", (algorithm,)) if is_file else entry.hashes
    if hashes[algorithm] != wanted:
        raise BuildFailed(
            f"packageManager asks for {manager.name} {manager.wanted} with the hash {algorithm}.{wanted}, but the one"
            f" in the npm registry has {algorithm}.{hashes[algorithm]}. Correct the hash, or remove it."
        )
    return ""


def _quiet_npm(manager: Manager, version: str) -> Mapping[str, str]:
    """npm 11 runs all install scripts, and advises to approve each one. This changes only the advice."""
    is_advising = manager.name == "npm" and is_release(version) and parse_version(version) >= ADVISING_NPM
    return {} if not is_advising or manager.has_script_policy else {"npm_config_dangerously_allow_all_scripts": "true"}
