"""The Content-Type of a file, by its name alone. The bytes are not read."""

from __future__ import annotations

import functools
import mimetypes

_BY_ENDING = {
    "aac": "audio/aac",
    "apng": "image/apng",
    "atom": "application/atom+xml",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "br": "application/octet-stream",
    "css": "text/css",
    "csv": "text/csv",
    "cur": "image/vnd.microsoft.icon",
    "eot": "application/vnd.ms-fontobject",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "geojson": "application/geo+json",
    "gif": "image/gif",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "gz": "application/gzip",
    "heic": "image/heic",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "jxl": "image/jxl",
    "m3u8": "application/vnd.apple.mpegurl",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "map": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpd": "application/dash+xml",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "rss": "application/rss+xml",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "toml": "application/toml",
    "ts": "video/mp2t",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vtt": "text/vtt",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
    "zst": "application/zstd",
}
_BY_NAME = {"apple-app-site-association": "application/json"}
# A table with Python's defaults only: the machine's mime.types must not change a site.
_DEFAULTS = mimetypes.MimeTypes()
UNKNOWN = "application/octet-stream"


@functools.lru_cache(maxsize=4096)
def content_type_of(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    found = _BY_NAME.get(name) or _BY_ENDING.get(_ending(name)) or _guess(name)
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return ending if stem else ""


def _guess(name: str) -> str:
    # A made-up name of one letter: the rest of a real one (`data:`, `x.tar`) could change the result.
    found, _ = _DEFAULTS.guess_type(f"f.{_ending(name)}", strict=True)
    return found or UNKNOWN
