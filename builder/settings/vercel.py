"""`vercel.json`: https://vercel.com/docs/project-configuration"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from builder.checkout import Checkout
from builder.protocol.settings import Settings
from builder.settings.documents import Document, read_json
from builder.settings.file_variables import read_variables
from builder.settings.resolved import Layer, is_for_server

FILE = "vercel.json"
KNOWN = frozenset(
    {
        *(
            "$schema",
            "alias",
            "autoAlias",
            "build",
            "buildCommand",
            "builds",
            "devCommand",
            "fluid",
            "framework",
            "git",
        ),
        *("github", "ignoreCommand", "installCommand", "name", "outputDirectory", "public", "relatedProjects", "scope"),
        *("version", "bunVersion", "functionFailoverRegions"),
    }
)
"""Keys that are read here, or that change nothing in a build."""


def read_vercel(checkout: Checkout, root: PurePosixPath, branch: str) -> Layer | None:
    document = read_json(checkout, root / FILE)
    if document is None:
        return None
    environment, notes = read_variables(document, "build", "env")
    output = document.setting("output_directory", "outputDirectory") or _legacy_output(document)
    if output and is_for_server(PurePosixPath(output)):
        notes.append(f"{document.name}: {output} is for a server, so the framework's folder of pages is looked for.")
        output = None
    settings = Settings(
        install_command=document.setting("install_command", "installCommand"),
        build_command=document.setting("build_command", "buildCommand"),
        output_directory=output,
        framework=_framework(document),
        ignore_command=document.setting("ignore_command", "ignoreCommand"),
    )
    if not _is_enabled(document, branch):
        line = document.line("git", "deploymentEnabled")
        notes.append(f"{document.name}, line {line}: pushes are not deployed; this deployment was asked for.")
    notes += document.unsupported([(key,) for key in document.values if key not in KNOWN])
    return Layer(document.name, settings, environment=environment, notes=tuple(notes))


def _framework(document: Document) -> str | None:
    """null means "no framework" there."""
    if "framework" in document.values and document.values["framework"] is None:
        return "none"
    return document.setting("framework", "framework")


def _legacy_output(document: Document) -> str | None:
    """`builds` of version 2: `{"use": "@vercel/static-build", "config": {"distDir": "build"}}`."""
    builds = document.values.get("builds")
    for build in builds if isinstance(builds, list) else []:
        config: Any = build.get("config") if isinstance(build, dict) else None
        if isinstance(config, dict) and str(build.get("use", "")).partition("@")[2].endswith("static-build"):
            folder = config.get("distDir")
            return folder if isinstance(folder, str) and folder else None
    return None


def _is_enabled(document: Document, branch: str) -> bool:
    """Whether a push to this branch would be deployed there."""
    enabled = document.table("git").get("deploymentEnabled", True)
    if isinstance(enabled, dict):
        enabled = enabled.get(branch, True)
    return enabled is not False
