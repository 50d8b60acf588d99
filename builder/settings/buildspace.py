"""`buildspace.toml`: every setting by its name in TOML, and variables in `[environment]`."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath

from builder.checkout import HERE, Checkout
from builder.protocol.settings import BY_NAME, Settings
from builder.settings.documents import Document, read_toml
from builder.settings.file_variables import read_variables, with_flags
from builder.settings.resolved import Layer

FILE = "buildspace.toml"
VARIABLES = "environment"


def read_buildspace(checkout: Checkout, chosen: PurePosixPath | None) -> Layer | None:
    """The file in the root directory, if the call or the project sets that, else the one at the repository's root."""
    folders = dict.fromkeys((chosen or HERE, HERE))
    document = next((found for folder in folders if (found := read_toml(checkout, folder / FILE))), None)
    if document is None:
        return None
    values = {name: _value(document, name) for name in document.values if name != VARIABLES}
    variables, notes = read_variables(document, VARIABLES)
    settings = Settings(**values)  # type: ignore[arg-type]
    return Layer(document.name, settings, is_ours=True, environment=with_flags(variables), notes=tuple(notes))


def _value(document: Document, name: str) -> str | bool | None:
    setting = BY_NAME.get(name)
    if setting is None:
        near = difflib.get_close_matches(name, [*BY_NAME, VARIABLES], n=1, cutoff=0.0)[0]
        raise document.failure(f"{name[:60]} is not a setting; {near} is.", name)
    value = document.values[name]
    if setting.is_flag:
        if not isinstance(value, bool):
            raise document.failure(f"{name} must be true or false.", name)
        return value
    return document.setting(name, name)
