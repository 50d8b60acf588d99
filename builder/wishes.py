"""The version of Node that a project asks for, and where it says so."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from builder.checkout import Checkout
from builder.semver import Range, parse_node_range

NEWEST = ("node", "latest", "current", "stable")
MAX_EXTENDS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """`is_newest`: the project asks for the newest one, not for any that fits."""

    range: Range
    source: str

    @property
    def is_newest(self) -> bool:
        return self.range.text.lower() in NEWEST


def read_wish(setting: str | None, checkout: Checkout, root: PurePosixPath) -> tuple[Wish | None, list[str]]:
    """With lines for the log. The setting, then files that name a version, then ranges in package.json.

    Each is looked for in the project's folder, then in the folders above it.
    """
    notes: list[str] = []
    for source, text in _wishes(setting, checkout, root):
        try:
            return Wish(parse_node_range(text), source), notes
        except ValueError as error:
            notes.append(f"{source} is ignored: {error}")
    return None, notes


def _wishes(setting: str | None, checkout: Checkout, root: PurePosixPath) -> Iterator[tuple[str, str]]:
    if setting and setting.strip():
        yield "The setting nodeVersion", setting
    folders = (root, *root.parents)
    for folder in folders:
        for name in (".nvmrc", ".node-version"):
            if text := _first_line(checkout.read_start(folder / name)):
                yield name, text
        tools = checkout.read_start(folder / ".tool-versions")
        if text := tool_version(tools, "nodejs", "node").removeprefix("latest:"):
            yield ".tool-versions", text
        if text := _volta(checkout, folder):
            yield "volta.node", text
    for folder in folders:
        package = checkout.read_object(folder / "package.json")
        if text := _dev_engine(package):
            yield "devEngines.runtime", text
        if text := _text(_object(package.get("engines")).get("node")):
            yield "engines.node", text


def _first_line(text: str) -> str:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return next((line for line in lines if line), "")


def tool_version(text: str, *names: str) -> str:
    """What a .tool-versions file, of asdf or mise, says: `nodejs 22.11.0 20.18.0`, the first of which is preferred."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1 and words[0] in names:
            return words[1]
    return ""


def _volta(checkout: Checkout, folder: PurePosixPath) -> str:
    path = folder / "package.json"
    for _ in range(MAX_EXTENDS):
        volta = _object(checkout.read_object(path).get("volta"))
        if text := _text(volta.get("node")):
            return text
        extends = _text(volta.get("extends"))
        path = PurePosixPath(posixpath.normpath(path.parent / extends))
        if not extends or path.is_absolute() or path.parts[:1] == ("..",):
            break
    return ""


def _dev_engine(package: dict[str, Any]) -> str:
    runtimes = _object(package.get("devEngines")).get("runtime")
    for runtime in runtimes if isinstance(runtimes, list) else [runtimes]:
        if _object(runtime).get("name") == "node":
            return _text(_object(runtime).get("version"))
    return ""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
