"""The Pythons of this machine, and which one a project is built with."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from builder.checkout import Checkout
from builder.node import SYSTEM_PATH
from builder.wishes import tool_version

ASK_SECONDS = 10.0
NAMES = ("python3", *(f"python3.{minor}" for minor in range(20, 7, -1)))
_ASK = "import sys, json; print(json.dumps([sys.base_prefix, *sys.version_info[:3]]))"
_PIN = re.compile(r"(?:python-|cpython-|v|==)?3(?:\.(\d{1,3}))?(?:\.[\d*]{1,3})?\Z")
_BOUND = re.compile(r"(>=|<=|===?|!=|~=|>|<|\^|~)\s{0,9}3\.(\d{1,3})(\.\d{1,3})?")
_REQUIRED = re.compile(r"""^(?:requires-python|python)[ \t]*=[ \t]*["']([^"'\n]{1,100})["']""", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Python:
    """`read_only` is what it reads outside of /usr."""

    version: tuple[int, int, int]
    program: Path
    read_only: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        return ".".join(map(str, self.version))


@dataclasses.dataclass(frozen=True, slots=True)
class PythonWish:
    """`text`: a version such as 3.11, or bounds such as >=3.9,<3.13."""

    text: str
    source: str

    def allows(self, minor: int) -> bool:
        if pin := _PIN.match(self.text):
            return pin[1] is None or int(pin[1]) == minor
        return all(_is_within(minor, *found.groups()) for found in _BOUND.finditer(self.text))

    @property
    def minor(self) -> int:
        found = re.search(r"3\.(\d{1,3})", self.text)
        return int(found[1]) if found else 0


def _is_within(minor: int, sign: str, text: str, patch: str | None) -> bool:
    bound = int(text)
    if sign in ("==", "===", "~") or (sign == "~=" and patch):
        return minor == bound
    if sign == "<":
        return minor < bound or (minor == bound and patch not in (None, ".0"))
    if sign == "<=":
        return minor <= bound
    if sign == ">":
        return minor > bound or (minor == bound and patch is not None)
    return sign == "!=" or minor >= bound


def read_python_wish(variables: Mapping[str, str], checkout: Checkout, root: PurePosixPath) -> PythonWish | None:
    """The first of these that a project has."""
    texts = {
        "PYTHON_VERSION": variables.get("PYTHON_VERSION", ""),
        "runtime.txt": checkout.read_start(root / "runtime.txt"),
        ".python-version": checkout.read_start(root / ".python-version"),
        ".tool-versions": tool_version(checkout.read_start(root / ".tool-versions"), "python"),
    }
    for source, text in texts.items():
        if pin := next((line.strip() for line in text.splitlines() if _PIN.match(line.strip())), ""):
            return PythonWish(pin, source)
    found = _REQUIRED.search(checkout.read(root / "pyproject.toml") or "")
    return PythonWish(found[1], "pyproject.toml") if found else None


def find_pythons(environ: Mapping[str, str] = os.environ) -> list[Python]:
    """The `python3` of PATH first. Starts each, because only it knows where it is."""
    path = f"{environ.get('PATH', '')}:{SYSTEM_PATH}"
    programs = dict.fromkeys(
        found
        for folder in dict.fromkeys(path.split(":"))
        for name in NAMES
        if (found := shutil.which(name, path=folder))
    )
    pythons = [python for program in programs if (python := _ask(program, path)) is not None]
    return list({python.program: python for python in pythons}.values())


def _ask(program: str, path: str) -> Python | None:
    """Of a virtual environment, the Python that it was made of."""
    try:
        asked = subprocess.run(
            [program, "-I", "-S", "-c", _ASK],
            env={"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_SECONDS,
            cwd="/",
        )
        prefix, major, minor, patch = json.loads(asked.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return None
    folder = Path(prefix).resolve()
    real = folder / f"bin/python{major}.{minor}"
    if major != 3 or len(folder.parts) < (2 if folder.is_relative_to("/usr") else 3) or not real.exists():
        # All of /opt or /home would be opened to builds.
        return None
    return Python((major, minor, patch), real, () if folder.is_relative_to("/usr") else (folder,))


def choose_python(wish: PythonWish | None, pythons: Sequence[Python]) -> tuple[Python, str]:
    """With a line for the log if the one that is asked for is not there: the nearest newer is used, or the newest."""
    if wish is None:
        return pythons[0], ""
    for python in pythons:
        if wish.allows(python.version[1]):
            return python, ""
    newer = [python for python in pythons if python.version[1] >= wish.minor]
    near = min(newer, key=lambda each: each.version) if newer else max(pythons, key=lambda each: each.version)
    there = ", ".join(f"{major}.{minor}" for major, minor in sorted({each.version[:2] for each in pythons}))
    return near, (
        f"Warning: {wish.source} asks for Python {wish.text}. This machine has {there}: Python {near.text} is used, and"
        " the build may fail because of it. The operator can install another Python on the PATH of the gateway."
    )
