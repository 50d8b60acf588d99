"""Completes the commands and folders of generators that do not come from npm, by their own configuration."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import shlex
from pathlib import PurePosixPath

from builder.checkout import Checkout
from builder.frameworks import HUGO_FILES, SPHINX_FILES, Framework

# Each looks at a line once: a key, then the rest of its line.
_VALUE = r"""["']?[ \t]*[:=][ \t]*["']?([^"'#\n]{1,200})"""
_OUTPUTS = {
    "Hugo": ((*HUGO_FILES, "config.toml", "config.yaml", "config.yml", "config.json"), "publishDir"),
    "MkDocs": (("mkdocs.yml", "mkdocs.yaml"), "site_dir"),
    "Zensical": (("zensical.toml",), "site_dir"),
    "mdBook": (("book.toml",), "build-dir"),
}
"""By generator: the files that name its output folder, and the key."""


def complete(framework: Framework, checkout: Checkout, root: PurePosixPath) -> Framework:
    """The framework as this project uses it."""
    if framework.name == "Sphinx":
        return _complete_sphinx(framework, checkout, root)
    if framework.name == "Pelican":
        return dataclasses.replace(framework, build=_pelican_command(checkout, root))
    if framework.name == "MkDocs" and _value(checkout, root, ("mkdocs.yml", "mkdocs.yaml"), "name") == "material":
        framework = dataclasses.replace(framework, requirement="mkdocs-material")
    files, key = _OUTPUTS.get(framework.name, ((), ""))
    folder = _value(checkout, root, files, key)
    return dataclasses.replace(framework, outputs=(folder, *framework.outputs)) if folder else framework


def needs_refusal(framework: Framework, checkout: Checkout, root: PurePosixPath) -> bool:
    """A _config.yml alone, beside a page, is also what a plain site on GitHub Pages has."""
    if framework.name != "Jekyll" or not checkout.has(root / "index.html"):
        return bool(framework.refusal)
    folders = any(checkout.is_folder(root / name) for name in ("_layouts", "_posts", "_includes"))
    return folders or checkout.has(root / "Gemfile")


def _complete_sphinx(framework: Framework, checkout: Checkout, root: PurePosixPath) -> Framework:
    file = next((file for file in SPHINX_FILES if checkout.has(root / file)), SPHINX_FILES[0])
    source = posixpath.dirname(file) or "."
    return dataclasses.replace(framework, build=f"sphinx-build -b html {source} _build/html")


def _pelican_command(checkout: Checkout, root: PurePosixPath) -> str:
    settings = "publishconf.py" if checkout.has(root / "publishconf.py") else "pelicanconf.py"
    content = _value(checkout, root, ("pelicanconf.py",), "PATH") or "content"
    return f"pelican {shlex.quote(content)} -o output -s {settings}"


def _value(checkout: Checkout, root: PurePosixPath, files: tuple[str, ...], key: str) -> str:
    """Empty if no file sets it, or if it leads out of the project."""
    pattern = re.compile(rf"""^[ \t]{{0,20}}["']?{key}{_VALUE}""", re.MULTILINE | re.IGNORECASE)
    for file in files:
        if found := pattern.search(checkout.read(root / file) or ""):
            path = posixpath.normpath(found[1].strip())
            return "" if path.startswith(("/", "..")) or path == "." else path
    return ""
