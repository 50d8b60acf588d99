"""Package managers: chosen by what the project names and by its lockfile, with the commands that each one needs."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from builder.checkout import Checkout
from builder.semver import Version, parse_range

_FIELD = re.compile(r"(npm|pnpm|yarn|bun)@([^\s+]{1,100})(?:\+([a-z0-9]{1,10}\.[0-9A-Fa-f]{1,200}))?\Z")
_LOCK_VERSIONS = {
    "pnpm": re.compile(r"^lockfileVersion:\s*['\"]?(\d+)", re.MULTILINE),
    "yarn": re.compile(r"^__metadata:\s+version: (\d+)", re.MULTILINE),
    "npm": re.compile(r'"lockfileVersion":\s*(\d+)'),
}
_YARN_PATH = re.compile(r"""^yarn(?:Path:|-path)[ \t]+["']?([^"'\n]+\.c?js)["']?[ \t]*$""", re.MULTILINE)
_NODE_LINKER = re.compile(r"^nodeLinker:[ \t]*[\"']?([\w-]+)", re.MULTILINE)
MAX_PATTERNS = 1000
MAX_PATTERN_LETTERS = 200

YARN_1 = "1.22.22"
YARN_VERSIONS = {4: "3.8.7", 5: "3.8.7", 6: "3.8.7", 8: "4.9.2"}
YARN_VERSION = "4.18.1"
"""A newer Yarn would rewrite an older lockfile, which `--immutable` forbids."""
BUN_VERSION = "1.4.5"
PNPM_VERSIONS = {5: "7.33.7", 6: "8.15.9"}
"""The pnpm that still reads a lockfile of this version."""
PNPMS: tuple[tuple[Version, str], ...] = (
    ((18, 12, 0), "10.34.9"),
    ((16, 14, 0), "8.15.9"),
    ((14, 19, 0), "7.33.7"),
    ((0, 0, 0), "6.35.1"),
)
"""The newest pnpm for a Node of at least this version. pnpm 11 and 12 fail where an install script is not approved."""
NPMS: tuple[tuple[Version, str], ...] = (
    ((24, 0, 0), "11.6.2"),
    ((22, 0, 0), "10.9.4"),
    ((20, 5, 0), "10.8.2"),
    ((19, 0, 0), "9.9.4"),
    ((18, 17, 0), "10.8.2"),
    ((16, 0, 0), "8.19.4"),
    ((15, 0, 0), "7.24.2"),
    ((0, 0, 0), "6.14.18"),
)
"""The npm of the release line of a Node of at least this version."""
NPM_FOR_NODE_14 = "8.19.4"
"""npm 6, which is that of Node 14, reads no lockfile of version 3."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manager:
    """`wanted`: the version or range that the project names, in `source`. Empty: the version that fits.

    `hash`: what the package must have, as `sha512.<hex>`. `lock`: the version of the lockfile's format; 0: unknown.
    `program`: a Yarn in the repository, relative to the install root, that is run instead of one from the registry.
    """

    name: str
    wanted: str = ""
    source: str = ""
    hash: str = ""
    lock: int = 0
    is_classic: bool = False
    program: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    has_script_policy: bool = False
    """Whether the project says which install scripts npm may run."""

    @property
    def frozen_install(self) -> tuple[str, ...]:
        if self.name == "npm":
            return ("npm", "ci")
        if self.name == "yarn" and not self.is_classic:
            return ("yarn", "install", "--immutable")
        return (self.name, "install", "--frozen-lockfile", *self._flags)

    @property
    def free_install(self) -> tuple[str, ...]:
        return (self.name, "install", *_FREE.get((self.name, self.is_classic), ()), *self._flags)

    @property
    def _flags(self) -> tuple[str, ...]:
        return ("--non-interactive",) if self.is_classic else ()

    def run_script(self, script: str) -> tuple[str, ...]:
        return (self.name, "run", script)

    def fitting_version(self, node: Version) -> str:
        """The version for a project that names none. For npm: that of Node's release line."""
        if self.name == "npm":
            return NPM_FOR_NODE_14 if node[0] == 14 and self.lock == 3 else _newest_for(node, NPMS)
        if self.name == "pnpm":
            return PNPM_VERSIONS.get(self.lock) or _newest_for(node, PNPMS)
        if self.name == "yarn":
            return YARN_1 if self.is_classic else YARN_VERSIONS.get(self.lock, YARN_VERSION)
        return BUN_VERSION


_FREE = {("pnpm", False): ("--no-frozen-lockfile",), ("yarn", False): ("--no-immutable",)}
"""What some managers need so that CI=true does not freeze the lockfile."""


def _newest_for(node: Version, table: Sequence[tuple[Version, str]]) -> str:
    return next(version for least, version in table if node >= least)


LOCKFILES = (
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
)
"""Managers that projects often switch away from, leaving lockfiles behind, come last."""


HINTS = ((".yarnrc.yml", "yarn"), ("pnpm-workspace.yaml", "pnpm"))
"""Files that tell the manager of a project without a lockfile."""


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
    """Never fails: without a lockfile or anything else that names one it is npm."""
    root = find_install_root(checkout, package_root)
    named, notes = _read_named(checkout, root)
    found = [(file, name) for file, name in LOCKFILES if checkout.has(root / file)]
    name = named.name if named else _guess(checkout, root, found)
    lockfile = next((file for file, other in found if other == name), None)
    others = ", ".join(file for file, other in found if other != name)
    if lockfile and others:
        notes.append(f"There are several lockfiles: {lockfile} is used, not {others}.")
    if lockfile is None:
        unread = f"{name} has no lockfile here ({others} is of another manager)" if others else "There is no lockfile"
        notes.append(f"{unread}, so versions may differ from one build to the next.")
    manager = _complete(named or Manager(name), checkout, root, lockfile)
    return Choice(manager, root, lockfile, tuple(notes))


def _guess(checkout: Checkout, root: PurePosixPath, lockfiles: Sequence[tuple[str, str]]) -> str:
    hinted = (name for file, name in HINTS if checkout.has(root / file))
    return next((name for _, name in lockfiles), next(hinted, "npm"))


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
    workspaces = checkout.read_object(folder / "package.json").get("workspaces")
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


def _read_named(checkout: Checkout, root: PurePosixPath) -> tuple[Manager | None, list[str]]:
    package = checkout.read_object(root / "package.json")
    field = package.get("packageManager")
    if isinstance(field, str):
        found = _FIELD.match(field)
        if found and _is_range(found[2]):
            return Manager(found[1], found[2], "packageManager", (found[3] or "").lower()), []
        return None, [f"The packageManager {field[:60]!r} is not understood and is ignored."]
    return _read_dev_engine(package), []


def _read_dev_engine(package: dict[str, Any]) -> Manager | None:
    engines = package.get("devEngines")
    listed = engines.get("packageManager") if isinstance(engines, dict) else None
    for each in listed if isinstance(listed, list) else [listed]:
        name, version = (each.get("name"), each.get("version") or "") if isinstance(each, dict) else (None, "")
        found = _FIELD.match(f"{name}@{version.replace(' ', '') if _is_range(version) else '*'}")
        if found:
            wanted = version if _is_range(version) and version != "*" else ""
            return Manager(found[1], wanted, "devEngines.packageManager")
    return None


def _is_range(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(text.strip()) and bool(parse_range(text).intervals)
    except ValueError:
        return False


def _complete(manager: Manager, checkout: Checkout, root: PurePosixPath, lockfile: str | None) -> Manager:
    """With what the lockfile and the manager's own settings tell."""
    text = checkout.read_start(root / lockfile) if lockfile else ""
    pattern = _LOCK_VERSIONS.get(manager.name)
    found = pattern.search(text) if pattern else None
    manager = dataclasses.replace(manager, lock=int(found[1]) if found else 0)
    if manager.name == "pnpm":
        # The version was chosen here, so pnpm must not fetch another one.
        off = {"manage_package_manager_versions": "false", "package_manager_strict": "false", "pm_on_fail": "ignore"}
        environment = {f"{prefix}_config_{name}": value for name, value in off.items() for prefix in ("npm", "pnpm")}
        return dataclasses.replace(manager, environment=environment)
    if manager.name == "npm":
        has_policy = "allowScripts" in checkout.read_object(root / "package.json")
        has_policy = has_policy or "allow-scripts" in checkout.read_start(root / ".npmrc")
        return dataclasses.replace(manager, has_script_policy=has_policy)
    return _complete_yarn(manager, checkout, root, text) if manager.name == "yarn" else manager


def _complete_yarn(manager: Manager, checkout: Checkout, root: PurePosixPath, lock: str) -> Manager:
    settings = checkout.read(root / ".yarnrc.yml") or ""
    found = _YARN_PATH.search(settings or checkout.read(root / ".yarnrc") or "")
    program = PurePosixPath(found[1].strip() if found else "")
    is_inside = ".." not in program.parts and checkout.has(root / program)
    environment = {"YARN_IGNORE_PATH": "1"}
    is_pnp = checkout.has(root / ".pnp.cjs") or checkout.has(root / ".pnp.js")
    if not _NODE_LINKER.search(settings) and not is_pnp:
        # Yarn's own default, Plug'n'Play, has no node_modules/.bin for commands that are not run by yarn.
        environment["YARN_NODE_LINKER"] = "node-modules"
    return dataclasses.replace(
        manager,
        program=str(program) if is_inside else "",
        is_classic=_is_classic(manager.wanted, lock, settings),
        environment=environment,
    )


def _is_classic(wanted: str, lock: str, settings: str) -> bool:
    if wanted:
        return all(end <= (2, 0, 0) for _, end in parse_range(wanted).intervals)
    return bool(lock) and "__metadata:" not in lock and not settings
