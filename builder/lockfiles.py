"""What a lockfile lacks of package.json: from what the package manager says, or by comparing the two files."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from builder.checkout import Checkout
from builder.errors import BuildFailed

INSTALLED_KINDS = ("dependencies", "devDependencies", "optionalDependencies")
"""The tables of package.json whose packages an install of the project brings."""
MAX_SHOWN = 5
_REFUSED = re.compile(
    r"can only install packages when your package\.json|can only install with an existing package-lock"
    r"|ERR_PNPM_(?:OUTDATED|NO|FROZEN)_LOCKFILE|ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE"
    r"|ERR_PNPM_LOCKFILE_(?:CONFIG_MISMATCH|BREAKING_CHANGE)"
    r"|Your lockfile needs to be updated|YN0028|lockfile had changes, but lockfile is frozen"
)
_NPM_MISSING = re.compile(r"Missing: (\S{1,200})@(\S{1,100}) from lock file")
_NPM_INVALID = re.compile(r"Invalid: lock file's (\S{1,200})@(\S{1,100}) does not satisfy \S{1,200}@(\S{1,100})")
_PNPM_ADDED = re.compile(r"dependenc(?:y was|ies were) added: (.{1,2000})")
_PNPM_OTHER = re.compile(r"- (\S{1,200}) \(lockfile: ([^,()]{1,100}), manifest: ([^()]{1,100})\)")
_PNPM_SPECIFIERS = re.compile(r"lockfile \((\{.{0,5000}\})\) don't match specs in package\.json \((\{.{0,5000}\})\)")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """`locked`: the version in the lockfile. None: it is not there."""

    package: str
    wanted: str
    locked: str | None

    def __str__(self) -> str:
        return f"{self.package} (wanted {self.wanted}, {f'locked {self.locked}' if self.locked else 'not locked'})"


def is_refusal(line: str) -> bool:
    """Whether a package manager says here that the lockfile does not fit."""
    return _REFUSED.search(line) is not None


def read_differences(line: str) -> Iterator[Difference]:
    """Those that npm and pnpm name in a line. The other managers name none, or no versions."""
    for found in _NPM_MISSING.finditer(line):
        yield Difference(found[1], found[2], None)
    for found in _NPM_INVALID.finditer(line):
        yield Difference(found[1], found[3], found[2])
    for found in _PNPM_ADDED.finditer(line):
        for each in found[1].split(","):
            name, _, version = each.strip().rpartition("@")
            yield Difference(name, version, None)
    for found in _PNPM_OTHER.finditer(line):
        yield Difference(found[1], found[3].strip(), found[2].strip())
    for found in _PNPM_SPECIFIERS.finditer(line):
        yield from _compare_specifiers(found[1], found[2])


def _compare_specifiers(locked: str, wanted: str) -> Iterator[Difference]:
    try:
        old, new = json.loads(locked), json.loads(wanted)
    except (ValueError, RecursionError):
        return
    for name, version in new.items():
        if old.get(name) != version:
            yield Difference(name, str(version), old.get(name))


def compare(checkout: Checkout, root: PurePosixPath, lockfile: str) -> Iterator[Difference]:
    """What yarn.lock or bun.lock lacks of the direct dependencies."""
    try:
        lock = checkout.read(root / lockfile) or ""
    except BuildFailed:
        # It is too large to be searched.
        return
    package = checkout.read_object(root / "package.json")
    for kind in INSTALLED_KINDS:
        wanted = package.get(kind)
        for name, version in wanted.items() if isinstance(wanted, dict) else ():
            if isinstance(version, str) and not _is_locked(lock, name, version):
                yield Difference(name, version, _locked_version(lock, name))


def _is_locked(lock: str, name: str, version: str) -> bool:
    return any(each in lock for each in (f"{name}@{version}", f"{name}@npm:{version}", f'"{name}": "{version}"'))


def _locked_version(lock: str, name: str) -> str | None:
    escaped = re.escape(name)
    in_yarn = rf'^"?{escaped}@[^\n]{{0,1000}}:\n\s+version:? "?([^"\n]{{1,100}})'
    in_bun = rf'"{escaped}": ?\["{escaped}@([^"\n]{{1,100}})'
    found = re.search(f"{in_yarn}|{in_bun}", lock, re.MULTILINE)
    return (found[1] or found[2]) if found else None


def listed(differences: list[Difference]) -> str:
    shown = ", ".join(str(each) for each in differences[:MAX_SHOWN])
    more = len(differences) - MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
