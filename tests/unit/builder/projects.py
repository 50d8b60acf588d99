"""Small repositories on disk, for the tests of this folder."""

import json

from builder.checkout import Checkout


def write_project(root, files):
    """A checkout of these files; what is not text is written as JSON."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content if isinstance(content, str) else json.dumps(content))
    return Checkout(root)
