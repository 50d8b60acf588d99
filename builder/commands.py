"""The commands of a build's two steps, ready to run: argv, folder, environment."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath

from builder.detect import Plan
from builder.interpreters import Python
from builder.run import Command
from builder.toolchain import Toolchain

SOURCE = "src"
TOOLS = "tools"
VENV = "venv"
"""The virtual environment of a build's Python: beside the source, so that it is never in the output."""
PYTHON_ENVIRONMENT = {
    # The platform has chosen the Python, from those that the sandbox shows.
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "PYTHONUNBUFFERED": "1",
}


class Commands:
    """Makes the commands of one build. `seen_at`: the path of the work folder inside the sandbox."""

    def __init__(self, plan: Plan, toolchain: Toolchain, seen_at: str, python: Python | None = None) -> None:
        self._plan = plan
        self._toolchain = toolchain
        self._python = python
        self._seen_at = seen_at

    def link_programs(self, tools: Path) -> None:
        """Into the folder that precedes the system's in PATH."""
        self._toolchain.link(tools)
        choice = self._plan.manager
        if choice is not None and choice.manager.program:
            script = tools / choice.manager.name
            program = self._seen(PurePosixPath(SOURCE, choice.root, choice.manager.program))
            script.write_text(f'#!/bin/sh\nexec node {shlex.quote(program)} "$@"\n')
            script.chmod(0o755)

    def install(self) -> Command | None:
        return self._install(self._plan.install, self._plan.install_shown)

    def python(self) -> list[Command]:
        """Those that make the virtual environment and install the packages of Python into it."""
        project = self._plan.python
        if project is None or self._python is None:
            return []
        options = " --seed" if project.seeds_pip else ""
        make = f'uv venv --quiet{options} --python {shlex.quote(str(self._python.program))} "$VIRTUAL_ENV"'
        lines = {make: f"uv venv{options} --python {self._python.text}", **{line: line for line in project.installs}}
        directory = PurePosixPath(SOURCE, self._plan.package.root)
        return [self._command(("sh", "-c", line), shown, directory) for line, shown in lines.items()]

    def free_install(self) -> Command | None:
        """The install that may change the lockfile. None if the project's own command is run, or is free anyway."""
        choice = self._plan.manager
        if choice is None or self._plan.install != choice.manager.frozen_install:
            return None
        return self._install(choice.manager.free_install, " ".join(choice.manager.free_install))

    def _install(self, argv: tuple[str, ...] | None, shown: str) -> Command | None:
        if argv is None:
            return None
        return self._command(argv, shown, PurePosixPath(SOURCE, self._plan.install_root))

    def build(self) -> Command | None:
        if self._plan.build is None:
            return None
        return self._command(self._plan.build, self._plan.build_shown, PurePosixPath(SOURCE, self._plan.package.root))

    def _command(self, argv: tuple[str, ...], shown: str, directory: PurePosixPath) -> Command:
        environment = {"PATH": self._search_path(), **self._toolchain.environment}
        if self._python is not None:
            venv = self._seen(PurePosixPath(VENV))
            environment |= {**PYTHON_ENVIRONMENT, "VIRTUAL_ENV": venv, "UV_PROJECT_ENVIRONMENT": venv}
        return Command(argv, shown, directory, environment, self._toolchain.read_only)

    def _search_path(self) -> str:
        """The programs of the project's dependencies, then the tools of the builder, then the system."""
        plan = self._plan
        folders = [plan.package.root, *([plan.manager.root] if plan.manager else [])]
        parts = [self._seen(PurePosixPath(SOURCE, folder, "node_modules/.bin")) for folder in dict.fromkeys(folders)]
        if self._python is not None:
            parts.append(self._seen(PurePosixPath(VENV, "bin")))
        return ":".join([*parts, self._seen(PurePosixPath(TOOLS)), self._toolchain.path])

    def _seen(self, path: PurePosixPath) -> str:
        return f"{self._seen_at}/{path}"
