"""The settings of a build, in one table: names, what they are for, what they may be."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Callable
from typing import Any

from builder.protocol.names import camel_case

MAX_PATH = 1024
MAX_COMMAND = 1000
MAX_NODE_VERSION = 100
MAX_FRAMEWORK = 100

PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*\Z"
"""One line without control characters."""
_NODE_PART = r"(?:\^|~>?|>=|<=|>|<|=)?\s?v?(?:[0-9]{1,9}|[xX*])(?:\.(?:[0-9]{1,9}|[xX*])){0,2}(?:[-+][0-9A-Za-z.+-]+)?"
_NODE_VERSION = (
    rf"^(?:{_NODE_PART}(?:(?: - | ?\|\| ?| ){_NODE_PART})*|node|latest|stable|current|lts(?:/(?:\*|[a-z]{{1,20}}))?)?\Z"
)
_ONE_LINE = "must not contain line breaks or control characters"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Those that one place sets. None: it leaves the setting to a weaker one. An empty command: none is run."""

    root_directory: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    output_directory: str | None = None
    node_version: str | None = None
    framework: str | None = None
    ignore_command: str | None = None
    strict_lockfile: bool | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class UsedSetting:
    """A setting of a build with its value, and where it came from."""

    name: str
    value: str
    origin: str


def _accept(text: str) -> None:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """`name` is the one in TOML and Python. `is_flag`: true or false; everything else is text."""

    name: str
    label: str
    about: str
    example: str = ""
    longest: int = MAX_COMMAND
    pattern: str = PLAIN
    wrong: str = _ONE_LINE
    text_format: str | None = None
    check_more: Callable[[str], None] = _accept
    is_flag: bool = False

    @property
    def json_name(self) -> str:
        return camel_case(self.name)

    def check(self, value: Any) -> None:
        """Raises ValueError with the rest of a sentence that begins with the name."""
        if self.is_flag:
            if not isinstance(value, bool):
                raise ValueError("must be true or false")
            return
        if not isinstance(value, str):
            raise ValueError("must be text")
        if len(value) > self.longest:
            raise ValueError(f"has at most {self.longest} characters")
        if not re.match(self.pattern, value):
            raise ValueError(self.wrong)
        self.check_more(value)


def clean_path(text: str, name: str) -> str:
    """A path relative to the repository's root, also with a `/` at its beginning. Raises ValueError outside of it."""
    path = posixpath.normpath(text.strip().lstrip("/") or ".")
    if path.split("/", 1)[0] == ".." or "\0" in text:
        raise ValueError(f"{name} must lie inside the repository, {text!r} does not.")
    return path


def _check_folder(text: str) -> None:
    if text.startswith("~") or "\\" in text:
        raise ValueError("must be a folder inside the repository, such as packages/site")


def _check_root(text: str) -> None:
    _check_folder(text)
    try:
        clean_path(text, "")
    except ValueError as error:
        raise ValueError("must be a folder inside the repository, such as packages/site") from error


SETTINGS = (
    Setting(
        "root_directory",
        "Root directory",
        "The folder of the project in the repository.",
        "packages/site",
        MAX_PATH,
        text_format="relative-path",
        check_more=_check_root,
    ),
    Setting("install_command", "Install command", "Replaces the package manager's install command.", "npm ci"),
    Setting("build_command", "Build command", "Replaces the `build` script.", "npm run build"),
    Setting(
        "output_directory",
        "Output directory",
        "What is published, relative to the root directory.",
        "dist",
        MAX_PATH,
        text_format="relative-path",
        check_more=_check_folder,
    ),
    Setting(
        "node_version",
        "Node version",
        "The Node.js version to build with.",
        "22",
        MAX_NODE_VERSION,
        _NODE_VERSION,
        "must be a version or a range, such as 22 or >=20 <23",
    ),
    Setting(
        "framework", "Framework", "Its name, where the wrong one is detected; `none` for none.", "Vite", MAX_FRAMEWORK
    ),
    Setting(
        "ignore_command",
        "Ignore command",
        "A deployment that was not asked for by a person is skipped if this command exits with 0.",
        "git diff --quiet HEAD^ HEAD .",
    ),
    Setting(
        "strict_lockfile",
        "Strict lockfile",
        "Whether a lockfile that does not fit package.json fails the deployment.",
        is_flag=True,
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
