"""`wrangler.toml`, `wrangler.jsonc` and `wrangler.json` of Cloudflare Pages: the output folder alone."""

from __future__ import annotations

from pathlib import PurePosixPath

from builder.checkout import Checkout
from builder.protocol.settings import Settings
from builder.settings.documents import read_json, read_toml
from builder.settings.resolved import Layer


def read_wrangler(checkout: Checkout, root: PurePosixPath) -> Layer | None:
    document = (
        read_json(checkout, root / "wrangler.jsonc", with_comments=True)
        or read_json(checkout, root / "wrangler.json", with_comments=True)
        or read_toml(checkout, root / "wrangler.toml")
    )
    if document is None:
        return None
    output = document.setting("output_directory", "pages_build_output_dir")
    return Layer(document.name, Settings(output_directory=output)) if output else None
