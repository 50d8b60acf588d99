"""The commands of a build's two steps, ready to run: argv, folder, environment."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from builder.detect import Plan
from builder.managers import Manager
from builder.node import Node
from builder.run import Command

SOURCE = "src"
TOOLS = "tools"


class Commands:
    """Makes the commands of one build. `seen_at`: the path of the work folder inside the sandbox."""

    def __init__(self, plan: Plan, node: Node | None, seen_at: str, system_path: str) -> None:
        self._plan = plan
        self._node = node
        self._seen_at = seen_at
        self._path = node.place.path if node else system_path
        self._read_only: tuple[Path, ...] = node.place.read_only if node else ()

    def install_manager(self) -> Command | None:
        """Installs the package manager into the work folder from an npm package of a fixed version. None for npm."""
        manager = self._needed_manager()
        if manager is None or not manager.package:
            return None
        flags = [
            "--no-save",
            "--no-package-lock",
            "--loglevel=error",
            *([] if manager.needs_scripts else ["--ignore-scripts"]),
        ]
        folder = f"{self._seen_at}/{TOOLS}/{manager.name}"
        argv = ("npm", "install", f"--prefix={folder}", *flags, manager.package)
        return self._command(argv, f"npm install {manager.package}", PurePosixPath(TOOLS, manager.name))

    def install(self) -> Command | None:
        if self._plan.install is None:
            return None
        return self._command(
            self._plan.install, self._plan.install_shown, PurePosixPath(SOURCE, self._plan.install_root)
        )

    def build(self) -> Command | None:
        if self._plan.build is None:
            return None
        return self._command(self._plan.build, self._plan.build_shown, PurePosixPath(SOURCE, self._plan.package.root))

    def _needed_manager(self) -> Manager | None:
        plan = self._plan
        return plan.manager.manager if plan.manager is not None and (plan.install or plan.build) else None

    def _command(self, argv: tuple[str, ...], shown: str, directory: PurePosixPath) -> Command:
        manager = self._needed_manager()
        environment = {"PATH": self._search_path(), **(manager.environment if manager else {})}
        return Command(argv, shown, directory, environment, self._read_only)

    def _search_path(self) -> str:
        """The programs of the project's dependencies, then the package manager, then Node, then the system."""
        plan = self._plan
        folders = [plan.package.root, *([plan.manager.root] if plan.manager else [])]
        parts = [self._seen(PurePosixPath(SOURCE, folder, "node_modules/.bin")) for folder in dict.fromkeys(folders)]
        manager = self._needed_manager()
        if manager is not None and manager.package:
            parts.append(self._seen(PurePosixPath(TOOLS, manager.name, "node_modules/.bin")))
        return ":".join([*parts, self._path])

    def _seen(self, path: PurePosixPath) -> str:
        return f"{self._seen_at}/{path}"
