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
from builder.frameworks import FRAMEWORKS, PLAIN_OUTPUTS, Framework, find_framework
from builder.generators import complete, needs_refusal
from builder.lockfiles import INSTALLED_KINDS
from builder.managers import Choice, choose_manager
from builder.programs import named_programs
from builder.protocol.calls import Job
from builder.protocol.settings import UsedSetting, clean_path
from builder.python_project import PythonProject, is_python_called, read_python_project
from builder.settings.reading import read_settings
from builder.settings.resolved import Resolved
from builder.shell import shell_command, shell_line

KINDS = (*INSTALLED_KINDS, "peerDependencies")
PLAIN = "Static HTML"
MAX_CONFIGURED_OUTPUTS = 20
_PLAIN_BUILD = re.compile(r"\s*(?:(?:npm|pnpm|yarn|bun)(?: run)? build|(?:npx )?[a-z-]+ build)\s*\Z")


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
    `is_output_given`: the user named the folder, so no other is used. `python`: None if nothing needs Python.
    `programs`: those of PyPI that are on PATH.
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
    python: PythonProject | None
    programs: frozenset[str]

    @property
    def name(self) -> str:
        if self.framework:
            return self.framework.name
        if self.python is not None and self.package.json is None:
            return "Python"
        return "Node.js" if self.build or self.install else PLAIN

    def used(self, output: PurePosixPath | None = None) -> tuple[UsedSetting, ...]:
        """What each setting came to, and where from. `output`: the folder that was published, once it is known."""
        found = [
            UsedSetting("framework", self.name, "what the repository holds"),
            UsedSetting("install_command", self.install_shown, self._install_origin()),
            UsedSetting(
                "build_command", self.build_shown, "the framework" if self._is_frameworks_build() else "package.json"
            ),
            UsedSetting(
                "output_directory", str(output or ""), "what the build wrote" if self.build else "the repository"
            ),
        ]
        set_ones = {used.name: used for used in self.settings.used()}
        return tuple({**{used.name: used for used in found if used.value}, **set_ones}.values())

    def _is_frameworks_build(self) -> bool:
        return self.framework is not None and self.build_shown == self.framework.build

    def _install_origin(self) -> str:
        return (self.manager.lockfile if self.manager else None) or "package.json"


def make_plan(job: Job, checkout: Checkout) -> Plan:
    """Raises BuildFailed, with the fix, for a project that cannot become static files."""
    settings = read_settings(job, checkout)
    root = find_root(settings.text("root_directory"), checkout)
    package = Package(checkout, root)
    framework = _choose_framework(settings, package)
    way = _choose_way(settings, package, framework)
    notes = list(way.notes)
    manager = choose_manager(checkout, root) if package.json is not None else None
    build = way.command
    if way.script and manager is not None:
        build = manager.manager.run_script(way.script)
    is_wanted = build is not None and _needs_packages(package, framework, way)
    install = _choose_install(settings, manager, is_wanted=is_wanted)
    if manager is not None and install is not None:
        notes.extend(manager.notes)
    outputs = _choose_outputs(settings, package, framework, way)
    python = _choose_python(settings, package, framework) if build is not None or install is not None else None
    notes.extend(python.notes if python is not None else ())
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
        python=python,
        programs=_choose_programs(package, framework, (_shown(install), _shown(build))) if build else frozenset(),
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


def _choose_framework(settings: Resolved, package: Package) -> Framework | None:
    layer = settings.layer_of("framework")
    found = None
    try:
        found = find_framework(layer.settings.framework or "") if layer is not None else detect_framework(package)
    except ValueError as error:
        if layer is not None and layer.is_ours:
            raise BuildFailed(f"framework, from {layer.origin}: {error}") from error
        found = detect_framework(package)  # another host's name for a server
    return complete(found, package.checkout, package.root) if found is not None else None


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


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """How the site is made: by a command, by a script of package.json, or not at all, if it is there already."""

    command: tuple[str, ...] | None = None
    script: str = ""
    notes: tuple[str, ...] = ()
    is_made: bool = False

    @property
    def has_build(self) -> bool:
        return bool(self.command or self.script)


def _choose_way(settings: Resolved, package: Package, framework: Framework | None) -> _Way:
    command = settings.text("build_command")
    if command is None and _is_made(package, framework):
        note = "package.json has no build script, and there is an index.html beside it: that is published as it is."
        return _Way(notes=(note,), is_made=True)
    needs = framework.needs_server(package) if framework and framework.needs_server else None
    if needs is not None and _is_plain_build(settings) and framework and package.scripts.get(framework.static_script):
        script = framework.static_script
        return _Way(script=script, notes=(f"The script `{script}` is run: `build` would make a server.",))
    notes = _check_server(settings, needs)
    if command is not None:
        return _Way(_shell(command), notes=notes)
    if package.scripts.get("build", "").strip():
        return _Way(script="build", notes=notes)
    if framework is not None and needs_refusal(framework, package.checkout, package.root):
        raise BuildFailed(framework.refusal)
    is_built = framework is not None and not framework.refusal
    return _Way(_shell(framework.build or "") if framework and is_built else None, notes=notes)


def _is_made(package: Package, framework: Framework | None) -> bool:
    """Whether this is a site that was built elsewhere, with the package.json of its source beside it."""
    if framework is None or framework.has_page_in_root or not package.dependencies.intersection(framework.packages):
        return False
    return not package.scripts.get("build", "").strip() and package.checkout.has(package.root / "index.html")


def _check_server(settings: Resolved, needs: str | None) -> tuple[str, ...]:
    """Skipped if a setting says otherwise."""
    if needs is None:
        return ()
    if _is_plain_build(settings) and settings.text("output_directory") is None:
        raise BuildFailed(needs)
    return (f"Mind: {needs}",)


def _is_plain_build(settings: Resolved) -> bool:
    """Whether no build command is set, or only the usual one, in a file for a host that also runs servers."""
    layer = settings.layer_of("build_command")
    return layer is None or (not layer.is_ours and bool(_PLAIN_BUILD.match(layer.settings.build_command or "")))


def _needs_packages(package: Package, framework: Framework | None, way: _Way) -> bool:
    """Whether packages of npm are to be installed: a generator from elsewhere may have a package.json without any."""
    is_from_elsewhere = framework is not None and bool(framework.program or framework.requirement)
    return not is_from_elsewhere or bool(way.script or package.dependencies)


def _choose_python(settings: Resolved, package: Package, framework: Framework | None) -> PythonProject | None:
    own = [settings.text(name) for name in ("install_command", "build_command")]
    commands = [command for command in own if command]
    requirement = framework.requirement if framework is not None else ""
    has_file = framework is None and bool(commands) and package.checkout.has(package.root / "requirements.txt")
    if not requirement and not has_file and not is_python_called(commands):
        return None
    if own[0] is not None:
        return PythonProject((), seeds_pip=True)
    project = read_python_project(package.checkout, package.root, requirement)
    return dataclasses.replace(project, seeds_pip=bool(commands))


def _choose_programs(package: Package, framework: Framework | None, commands: tuple[str, ...]) -> frozenset[str]:
    called = named_programs((*commands, *package.scripts.values()))
    return frozenset(called | ({framework.program} if framework is not None and framework.program else set()))


def _choose_install(settings: Resolved, manager: Choice | None, *, is_wanted: bool) -> tuple[str, ...] | None:
    command = settings.text("install_command")
    if command is not None:
        return _shell(command)
    return manager.install if manager is not None and is_wanted else None


def _shell(text: str) -> tuple[str, ...] | None:
    """A user's command is a line for a shell, which runs inside the sandbox. Empty: none."""
    return shell_command(text) if text.strip() else None


def _shown(argv: tuple[str, ...] | None) -> str:
    if argv is None:
        return ""
    return shell_line(argv) or " ".join(argv)


def _choose_outputs(settings: Resolved, package: Package, framework: Framework | None, way: _Way) -> tuple[str, ...]:
    if given := settings.text("output_directory"):
        return (str(_inside(posixpath.join(str(package.root), given.lstrip("/")), "outputDirectory")),)
    folders: tuple[str, ...]
    if not way.has_build:
        folders = (".",) if way.is_made else ("public", ".")
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
