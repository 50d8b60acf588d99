"""What a project needs of Python: which packages, named where, and the commands of uv that install them."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from builder.checkout import Checkout
from builder.settings.documents import read_toml

REQUIREMENTS = (
    "requirements.txt",
    *("docs/requirements.txt", "doc/requirements.txt", "requirements/docs.txt", "requirements-docs.txt"),
    "docs-requirements.txt",
)
READ_THE_DOCS = (".readthedocs.yaml", ".readthedocs.yml", "readthedocs.yml")
GROUPS = ("docs", "doc", "documentation", "site", "website")
MAX_FILES = 10
_RTD_REQUIREMENTS = re.compile(r"^[ \t]{0,20}(?:-[ \t]{0,9})?requirements:[ \t]{0,9}([\w./-]{1,200})", re.MULTILINE)
_WORDS = re.compile(r"(?<![\w@/.-])(?:pip3?|python3?|uv|uvx|poetry|mkdocs|sphinx-build|pelican|zensical)(?![\w./-])")


@dataclasses.dataclass(frozen=True, slots=True)
class PythonProject:
    """`installs`: lines for a shell, in order, in a virtual environment; a user's own command takes their place.

    `seeds_pip`: the environment has pip, for a command of the user.
    """

    installs: tuple[str, ...]
    seeds_pip: bool = False
    notes: tuple[str, ...] = ()


def is_python_called(commands: Iterable[str]) -> bool:
    return any(_WORDS.search(command) for command in commands)


def read_python_project(checkout: Checkout, root: PurePosixPath, requirement: str) -> PythonProject:
    """`requirement`: the generator's package; it is installed by its name if the project does not name it."""
    files = list(_requirement_files(checkout, root))
    texts = [checkout.read(root / file) or "" for file in files]
    name = re.split(r"[\[-]", requirement)[0]
    if files and (not name or _names(name, texts)):
        return PythonProject((_pip_install(files),))
    document = read_toml(checkout, root / "pyproject.toml")
    if document is not None:
        return _read_pyproject(checkout, root, document.values, files, requirement)
    notes: tuple[str, ...] = ()
    if not files and checkout.has(root / "Pipfile"):
        notes = (
            "Warning: the Pipfile is not read. Write its packages to requirements.txt (`pipenv requirements`), or set"
            " installCommand.",
        )
    return _with_generator(_pip_install(files) if files else "", requirement, notes)


def _requirement_files(checkout: Checkout, root: PurePosixPath) -> Iterable[str]:
    named = [found for file in READ_THE_DOCS for found in _RTD_REQUIREMENTS.findall(checkout.read_start(root / file))]
    candidates = dict.fromkeys(str(PurePosixPath(each)) for each in (*REQUIREMENTS, *named[:MAX_FILES]))
    return (file for file in candidates if ".." not in PurePosixPath(file).parts and checkout.has(root / file))


def _read_pyproject(
    checkout: Checkout, root: PurePosixPath, values: Mapping[str, Any], files: Sequence[str], requirement: str
) -> PythonProject:
    name = re.split(r"[\[-]", requirement)[0]
    project = _table(values, "project")
    groups = _chosen(_table(values, "dependency-groups"), name)
    extras = _chosen(_table(project, "optional-dependencies"), name)
    is_named = _names(name, [*map(str, (*groups.values(), *extras.values())), str(project.get("dependencies"))])
    options = [*(f"--group {each}" for each in groups), *(f"--extra {each}" for each in extras)]
    if checkout.has(root / "uv.lock"):
        install = " ".join(['uv sync --frozen --inexact --python "$VIRTUAL_ENV/bin/python"', *options])
    elif _table(values, "tool", "poetry", "dependencies") or checkout.has(root / "poetry.lock"):
        install = "uv tool run poetry install --no-root --no-interaction"
        is_named = _names(name, [str(_table(values, "tool", "poetry")), str(project)])
    elif project:
        install = _pip_install([*files, "pyproject.toml"], options)
    elif groups or files:
        install = _pip_install(files, [f"--group {each}" for each in groups])
    else:
        install = ""
    return _with_generator(install, "" if is_named else requirement, ())


def _with_generator(install: str, requirement: str, notes: tuple[str, ...]) -> PythonProject:
    installs = (install,) if install else ()
    if not requirement:
        return PythonProject(installs, notes=notes)
    note = f"The project does not name {requirement} among its packages, so the newest is installed."
    if install.startswith("uv pip install"):
        # In one command, so that all versions fit each other.
        installs = (f"{install} {shlex.quote(requirement)}",)
    else:
        installs = (*installs, f"uv pip install {shlex.quote(requirement)}")
    return PythonProject(installs, notes=(*notes, note))


def _pip_install(files: Sequence[str], options: Sequence[str] = ()) -> str:
    return " ".join(["uv pip install", *(f"-r {shlex.quote(file)}" for file in files), *options])


def _chosen(groups: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The groups for documentation, and those that name the generator."""
    return {
        group: packages
        for group, packages in groups.items()
        if re.fullmatch(r"[\w.-]{1,100}", group) and (group in GROUPS or (name and _names(name, [str(packages)])))
    }


def _names(name: str, texts: Iterable[str]) -> bool:
    """Also in the name of a theme or plugin, which depends on the generator."""
    return not name or any(re.search(rf"(?<![a-z]){name}", text, re.IGNORECASE) for text in texts)


def _table(values: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
