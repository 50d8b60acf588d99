"""`netlify.toml`: https://docs.netlify.com/build/configure-builds/file-based-configuration/"""

from __future__ import annotations

from pathlib import PurePosixPath

from builder.checkout import HERE, Checkout
from builder.protocol.settings import BY_NAME, Settings, clean_path
from builder.settings.documents import Document, read_toml
from builder.settings.file_variables import read_variables, with_flags
from builder.settings.resolved import Layer, is_for_server

FILE = "netlify.toml"
KNOWN = frozenset({"base", "command", "publish", "environment", "ignore"})
HARMLESS = frozenset({"build", "context", "dev", "template", "settings", "Settings"})
"""Keys that are read here, or that a build on Netlify does not read either."""
CONTEXTS = {"production": "production", "preview": "deploy-preview"}


def read_netlify(checkout: Checkout, chosen: PurePosixPath | None, context: str, branch: str) -> Layer | None:
    """`chosen`: the root directory, if something stronger sets it. None if no netlify.toml is about this project."""
    if chosen is not None and chosen != HERE and (own := read_toml(checkout, chosen / FILE)) is not None:
        return _make_layer(own, checkout, chosen, context, branch, base=None)
    document = read_toml(checkout, HERE / FILE)
    if document is None:
        return None
    base = _read_base(document)
    if base is None:
        return _make_layer(document, checkout, chosen or HERE, context, branch, base=None)
    if chosen is not None and chosen != base:
        note = (
            f"{FILE} is about {base}/ (line {document.line('build', 'base')}), not about {chosen}/: it is passed over."
        )
        return Layer(FILE, Settings(), notes=(note,))
    inner = read_toml(checkout, base / FILE) if base != HERE else None
    return _make_layer(inner or document, checkout, base, context, branch, base=str(base))


def _read_base(document: Document) -> PurePosixPath | None:
    base = document.setting("root_directory", "build", "base")
    return PurePosixPath(clean_path(base, "base")) if base else None


def _make_layer(
    document: Document, checkout: Checkout, root: PurePosixPath, context: str, branch: str, *, base: str | None
) -> Layer:
    places = [("build",), *(("context", name) for name in _contexts(context, branch))]
    variables: dict[str, str] = {}
    notes: list[str] = []
    for place in places:
        found, refused = read_variables(document, *place, "environment")
        variables |= found
        notes += refused
    publish, note = _publish(document, checkout, root, places)
    settings = Settings(
        root_directory=base,
        build_command=_last(document, "build_command", "command", places),
        output_directory=publish,
        ignore_command=_last(document, "ignore_command", "ignore", places),
        node_version=_node_version(variables),
    )
    notes += [*note, *document.unsupported(_unsupported(document, places))]
    return Layer(document.name, settings, environment=with_flags(variables), notes=tuple(notes))


def _contexts(context: str, branch: str) -> list[str]:
    """The tables that hold for a context, the strongest last."""
    return list(dict.fromkeys([CONTEXTS.get(context, "branch-deploy"), *([branch] if branch else [])]))


def _last(document: Document, name: str, key: str, places: list[tuple[str, ...]]) -> str | None:
    """The strongest value. An empty one counts as none, as on Netlify."""
    found = [document.setting(name, *place, key) for place in places]
    return next((value for value in reversed(found) if value and value.strip()), None)


def _publish(
    document: Document, checkout: Checkout, root: PurePosixPath, places: list[tuple[str, ...]]
) -> tuple[str | None, list[str]]:
    """Relative to the base. Sites from before 2019 name it from the repository's root instead."""
    publish = _last(document, "output_directory", "publish", places)
    if publish is None:
        return None, []
    path = PurePosixPath(publish.strip().lstrip("/"))
    if is_for_server(path):
        return None, [f"{document.name}: {publish} is for a server, so the framework's folder of pages is looked for."]
    if root != HERE and path.is_relative_to(root) and not checkout.is_folder(root / root):
        path = path.relative_to(root)
    return str(path), []


def _node_version(variables: dict[str, str]) -> str | None:
    version = variables.get("NODE_VERSION", "").strip()
    try:
        BY_NAME["node_version"].check(version)
    except ValueError:
        return None
    return version or None


def _unsupported(document: Document, places: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    top = [(key,) for key in document.values if key not in HARMLESS]
    inner = [(*place, key) for place in places for key in document.table(*place) if key not in KNOWN]
    return top + inner
