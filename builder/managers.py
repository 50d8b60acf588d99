"""Package managers: chosen by the project's lockfile, with the commands that each one needs."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from builder.checkout import Checkout

_FIELD = re.compile(
    r"(npm|pnpm|yarn|bun)@(\d{1,4})(\.\d{1,6}\.\d{1,6}(?:-[0-9A-Za-z.-]{1,40})?)?(?:\+[0-9A-Za-z.=/+-]+)?\Z"
)
_YARN_LOCK = re.compile(r"^__metadata:\s+version: (\d+)", re.MULTILINE)
MAX_PATTERNS = 1000
MAX_PATTERN_LETTERS = 200

_PNPM_LOCK = re.compile(r"^lockfileVersion:\s*['\"]?(\d+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Manager:
    """`package`: the npm package to install it from, with its version. Empty for npm, which comes with Node."""

    name: str
    package: str
    frozen_install: tuple[str, ...]
    free_install: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs_scripts: bool = False
    """Its own package is complete only after its install scripts have run."""

    @property
    def version(self) -> str:
        return self.package.rpartition("@")[2]

    def run_script(self, script: str) -> tuple[str, ...]:
        return (self.name, "run", script)


NPM = Manager("npm", "", ("npm", "ci"), ("npm", "install"))
YARN_1 = Manager(
    "yarn",
    "yarn@1.22.22",
    ("yarn", "install", "--frozen-lockfile", "--non-interactive"),
    ("yarn", "install", "--non-interactive"),
)
YARN_VERSIONS = {"4": "3.8.7", "5": "3.8.7", "6": "3.8.7", "8": "4.9.2"}
YARN_VERSION = "4.18.1"
"""A newer Yarn would rewrite an older lockfile, which `--immutable` forbids."""
BUN = Manager("bun", "bun@1.4.5", ("bun", "install", "--frozen-lockfile"), ("bun", "install"), needs_scripts=True)
PNPM_VERSIONS = {"5": "7.33.7", "6": "8.15.9", "9": "10.34.9"}
"""The pnpm that still reads a lockfile of this version."""
PNPM_VERSION = "10.34.9"

LOCKFILES = (
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
)
"""Managers that projects often switch away from, leaving lockfiles behind, come last."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """`root`: where to install, in the package or at the root of its workspace. `notes` are lines for the log."""

    manager: Manager
    root: PurePosixPath
    lockfile: str | None
    notes: tuple[str, ...]

    @property
    def install(self) -> tuple[str, ...]:
        return self.manager.frozen_install if self.lockfile else self.manager.free_install


def choose_manager(checkout: Checkout, package_root: PurePosixPath) -> Choice:
    """Never fails: without a lockfile it is npm."""
    root = find_install_root(checkout, package_root)
    field, notes = _read_field(checkout, root)
    found = [(file, name) for file, name in LOCKFILES if checkout.has(root / file)]
    named = [(file, name) for file, name in found if field and name == field[1]]
    lockfile, name = next(iter([*named, *found, (None, field[1] if field else "npm")]))
    if len({name for _, name in found}) > 1:
        others = ", ".join(file for file, other in found if other != name)
        notes.append(f"There are several lockfiles: {lockfile} is used, not {others}.")
    if lockfile is None:
        notes.append("There is no lockfile, so versions may differ from one build to the next.")
    manager = _make_manager(checkout, root, name, lockfile)
    if field:
        manager, note = _honour_field(manager, field)
        notes.extend(note)
    return Choice(manager, root, lockfile, tuple(notes))


def find_install_root(checkout: Checkout, package_root: PurePosixPath) -> PurePosixPath:
    """The package's own folder if it has a lockfile, else the nearest workspace above it that has one."""
    for folder in (package_root, *package_root.parents):
        if any(checkout.has(folder / file) for file, _ in LOCKFILES) and (
            folder == package_root or _is_member(checkout, folder, package_root)
        ):
            return folder
    return package_root


def _is_member(checkout: Checkout, folder: PurePosixPath, package_root: PurePosixPath) -> bool:
    if checkout.has(folder / "pnpm-workspace.yaml"):
        return True
    workspaces = _read_package(checkout, folder).get("workspaces")
    patterns = workspaces.get("packages") if isinstance(workspaces, dict) else workspaces
    relative = str(package_root.relative_to(folder))
    return isinstance(patterns, list) and _is_matched(relative, [item for item in patterns if isinstance(item, str)])


def _is_matched(relative: str, patterns: Sequence[str]) -> bool:
    is_in = False
    # fnmatch compiles each pattern, so more or longer ones than a real workspace has are ignored.
    for pattern in [each for each in patterns[:MAX_PATTERNS] if len(each) <= MAX_PATTERN_LETTERS]:
        plain = pattern.removeprefix("!").removeprefix("./").rstrip("/")
        if fnmatch.fnmatchcase(relative, plain) or fnmatch.fnmatchcase(relative, plain.replace("**/", "")):
            is_in = not pattern.startswith("!")
    return is_in


def _read_package(checkout: Checkout, folder: PurePosixPath) -> dict[str, object]:
    try:
        return checkout.read_json(folder / "package.json") or {}
    except ValueError:
        return {}


def _read_field(checkout: Checkout, root: PurePosixPath) -> tuple[re.Match[str] | None, list[str]]:
    text = _read_package(checkout, root).get("packageManager")
    if not isinstance(text, str):
        return None, []
    field = _FIELD.match(text)
    return field, [] if field else [f"The packageManager {text[:60]!r} is not understood and is ignored."]


def _make_manager(checkout: Checkout, root: PurePosixPath, name: str, lockfile: str | None) -> Manager:
    if name == "pnpm":
        text = checkout.read_start(root / "pnpm-lock.yaml")
        return _pnpm(_locked(_PNPM_LOCK, text, PNPM_VERSIONS) or PNPM_VERSION)
    if name == "yarn":
        text = checkout.read_start(root / "yarn.lock")
        return (
            YARN_1
            if lockfile and "__metadata:" not in text
            else _yarn(_locked(_YARN_LOCK, text, YARN_VERSIONS) or YARN_VERSION)
        )
    return BUN if name == "bun" else NPM


def _pnpm(version: str) -> Manager:
    return Manager(
        "pnpm",
        f"pnpm@{version}",
        ("pnpm", "install", "--frozen-lockfile"),
        ("pnpm", "install", "--no-frozen-lockfile"),
        # The version was chosen here, so pnpm must not fetch another one.
        {"npm_config_manage_package_manager_versions": "false", "npm_config_package_manager_strict": "false"},
    )


def _yarn(version: str) -> Manager:
    return Manager(
        "yarn",
        f"@yarnpkg/cli-dist@{version}",
        ("yarn", "install", "--immutable"),
        ("yarn", "install", "--no-immutable"),
    )


def _locked(pattern: re.Pattern[str], text: str, versions: Mapping[str, str]) -> str:
    """The version of the manager for this lockfile. Empty for the newest."""
    found = pattern.search(text)
    return versions.get(found[1], "") if found else ""


def _honour_field(manager: Manager, field: re.Match[str]) -> tuple[Manager, list[str]]:
    """The version that the project names, if its major version is known to work."""
    name, major, rest = field.groups()
    if not manager.package or name != manager.name:
        return manager, []
    if major != manager.version.partition(".")[0]:
        return manager, [f"packageManager asks for {name} {major}{rest or ''}; {manager.version} is used."]
    if rest:
        package = manager.package.rpartition("@")[0]
        return dataclasses.replace(manager, package=f"{package}@{major}{rest}"), []
    return manager, []
