"""Chooses among the encoded forms of a file by Accept-Encoding and its q-values."""

from __future__ import annotations

import re
from collections.abc import Collection

PREFERENCE = ("br", "gzip")
_ITEM = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?\Z")


def choose_coding(accept_encoding: str | None, available: Collection[str]) -> str | None:
    """The coding to send. None for the file as it is, which every client can read."""
    if not accept_encoding or not available:
        return None
    qualities = parse_qualities(accept_encoding)
    best, best_quality = None, qualities.get("identity", 0.0)
    for coding in PREFERENCE:
        quality = qualities.get(coding, qualities.get("*", 0.0))
        is_better = quality > best_quality or (quality == best_quality > 0.0 and best is None)
        if coding in available and is_better:
            best, best_quality = coding, quality
    return best


def parse_qualities(header: str) -> dict[str, float]:
    """The first value of a name counts. Malformed parts are skipped."""
    qualities: dict[str, float] = {}
    for item in header.split(","):
        if match := _ITEM.match(item):
            name = match[1].lower().removeprefix("x-")
            qualities.setdefault(name, float(match[2] or 1))
    return qualities
