"""Decides how a repository is built: by the user's settings, then the `build` script, then the framework."""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from builder.checkout import HERE, Checkout
from builder.errors import BuildFailed
from builder.frameworks import FRAMEWORKS, PLAIN_OUTPUTS, Framework
from builder.managers import Choice, choose_manager
from builder.protocol.calls import Job
from builder.protocol.settings import clean_path
from builder.settings.reading import read_settings
from builder.settings.resolved import Resolved

KINDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
PLAIN = "Static HTML"
MAX_CONFIGURED_OUTPUTS = 20


class Package:
    """The content of the project's package.json, and the files beside it."""

    def __init__(self, checkout: Checkout, root: PurePosixPath) -> None:
        self.checkout = checkout
        self.root = root
        self.json = _read_package(checkout, root)
        self.dependencies = frozenset(name for kind in KINDS for name in self.table(kind))
        self.scripts = self.table("scripts")

    def table(self, name: str) -> dict[str, str]:
        """An object of texts in package.json. Empty for anything else."""
        found = (self.json or {}).get(name)
        items = found.items() if isinstance(found, dict) else ()
        return {key: value for key, value in items if isinstance(value, str)}

    def read(self, name: str) -> str | None:
        return self.checkout.read(self.root / name)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How to build.

    Commands are argument lists; None: nothing to do. `outputs`: folders to look for, relative to the repository;
    `is_output_given`: the user named the folder, so no other is used.
    """

    package: Package
    framework: Framework | None
    manager: Choice | None
    install: tuple[str, ...] | None
    install_shown: str
    install_root: PurePosixPath
    build: tuple[str, ...] | None
    build_shown: str
    outputs: tuple[str, ...]
    is_output_given: bool
    settings: Resolved
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        if self.framework:
            return self.framework.name
        return "Node.js" if self.build or self.install else PLAIN


def make_plan(job: Job, checkout: Checkout) -> Plan:
    """Raises BuildFailed, with the fix, for a project that cannot become static files."""
    settings = read_settings(job)
    root = find_root(settings.text("root_directory"), checkout)
    package = Package(checkout, root)
    framework = detect_framework(package)
    notes = _check_server(settings, package, framework)
    build = _choose_build(settings, package, framework)
    manager = choose_manager(checkout, root) if package.json is not None else None
    if build is not None and manager is not None and build == ():
        build = manager.manager.run_script("build")
    install = _choose_install(settings, manager, has_build=build is not None)
    if manager is not None and install is not None:
        notes.extend(manager.notes)
    outputs = _choose_outputs(settings, package, framework, has_build=build is not None)
    return Plan(
        package=package,
        framework=framework,
        manager=manager,
        install=install,
        install_shown=_shown(install),
        install_root=manager.root if manager is not None and settings.text("install_command") is None else root,
        build=build,
        build_shown=_shown(build),
        outputs=outputs,
        is_output_given=bool(settings.text("output_directory")),
        settings=settings,
        notes=tuple(notes),
    )


def find_root(root_directory: str | None, checkout: Checkout) -> PurePosixPath:
    """The project's folder in the repository."""
    root = _inside(root_directory or ".", "rootDirectory")
    if not checkout.is_folder(root):
        raise BuildFailed(
            f"There is no folder {root_directory!r} in the repository (rootDirectory). {_existing(checkout, HERE)}"
        )
    return root


def _inside(text: str, name: str) -> PurePosixPath:
    try:
        return PurePosixPath(clean_path(text, name))
    except ValueError as error:
        raise BuildFailed(str(error)) from error


def detect_framework(package: Package) -> Framework | None:
    return next((framework for framework in FRAMEWORKS if _is_framework(framework, package)), None)


def _is_framework(framework: Framework, package: Package) -> bool:
    if any(name in package.dependencies for name in framework.packages):
        return all(name in package.dependencies for name in framework.beside)
    found = [file for file in framework.files if package.checkout.has(package.root / file)]
    if not framework.marker:
        return bool(found)
    return any(re.search(rf"\b{framework.marker}\b", package.read(file) or "", re.IGNORECASE) for file in found)


def _read_package(checkout: Checkout, root: PurePosixPath) -> dict[str, Any] | None:
    try:
        return checkout.read_json(root / "package.json")
    except ValueError as error:
        raise BuildFailed(f"package.json can't be read: {error}") from error


def _check_server(settings: Resolved, package: Package, framework: Framework | None) -> list[str]:
    """Skipped if the user has set the build command or the output folder."""
    needs = framework.needs_server(package) if framework and framework.needs_server else None
    if needs is None:
        return []
    if settings.text("build_command") is None and settings.text("output_directory") is None:
        raise BuildFailed(needs)
    return [f"Mind: {needs}"]


def _choose_build(settings: Resolved, package: Package, framework: Framework | None) -> tuple[str, ...] | None:
    """The empty tuple means the `build` script, with any manager."""
    command = settings.text("build_command")
    if command is not None:
        return _shell(command)
    if package.scripts.get("build", "").strip():
        return ()
    return _shell(framework.build) if framework and framework.build else None


def _choose_install(settings: Resolved, manager: Choice | None, *, has_build: bool) -> tuple[str, ...] | None:
    command = settings.text("install_command")
    if command is not None:
        return _shell(command)
    return manager.install if manager is not None and has_build else None


def _shell(text: str) -> tuple[str, ...] | None:
    """A user's command is a line for a shell, which runs inside the sandbox. Empty: none."""
    return ("sh", "-c", text) if text.strip() else None


def _shown(argv: tuple[str, ...] | None) -> str:
    if argv is None:
        return ""
    return argv[2] if argv[:2] == ("sh", "-c") else " ".join(argv)


def _choose_outputs(
    settings: Resolved, package: Package, framework: Framework | None, *, has_build: bool
) -> tuple[str, ...]:
    if given := settings.text("output_directory"):
        return (str(_inside(posixpath.join(str(package.root), given.lstrip("/")), "outputDirectory")),)
    folders: tuple[str, ...]
    if not has_build:
        folders = ("public", ".")
    elif framework and framework.outputs:
        folders = (*_configured_outputs(package, framework), *framework.outputs)
    else:
        folders = (*PLAIN_OUTPUTS, ".")
    return tuple(str(package.root / folder) for folder in folders)


def _configured_outputs(package: Package, framework: Framework) -> Iterable[str]:
    """The output folders in angular.json. Other frameworks use their defaults, or the user sets the folder."""
    text = package.read("angular.json") if "Angular" in framework.name or framework.name == "Scully" else None
    named = re.finditer(r'"outputPath"\s*:\s*(?:\{\s*"base"\s*:\s*)?"([^"\\]{1,200})"', text or "")
    for found in itertools.islice(named, MAX_CONFIGURED_OUTPUTS):
        path = posixpath.normpath(found[1].lstrip("/"))
        if not path.startswith(".."):
            yield from (f"{path}/browser", path)


def _existing(checkout: Checkout, folder: PurePosixPath) -> str:
    names = [name for name in checkout.folders(folder) if name not in (".git", "node_modules")]
    if not names:
        return "There are no folders there."
    return "The folders there: " + ", ".join(names[:20]) + (" ..." if len(names) > 20 else "") + "."
