"""Paths: of requests, as they come in a URL, and of the files of a release."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse

from gateway.errors import Invalid

MAX_PATH_BYTES = 1024
_PLAIN = "/!$&'()*+,;=:@-._~"
"""What RFC 3986 allows in a path besides letters and digits: https://www.rfc-editor.org/rfc/rfc3986#section-3.3"""
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile("%(2f|5c)", re.IGNORECASE)


def decode_path(raw_path: str) -> str:
    """The path, percent-decoded once. Raises Invalid for what servers or proxies could read differently."""
    if not raw_path.startswith("/"):
        raise Invalid("The path of the address must begin with a slash.")
    if _BAD_ESCAPE.search(raw_path):
        raise Invalid("The address holds a percent sign that two hexadecimal digits do not follow.")
    if _ENCODED_SLASH.search(raw_path):
        raise Invalid("The address holds an encoded slash or backslash.")
    try:
        path = urllib.parse.unquote_to_bytes(raw_path.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError as error:
        raise Invalid("The address is not UTF-8.") from error
    _refuse_tricks(path)
    return path


def _refuse_tricks(path: str) -> None:
    if "\\" in path:
        raise Invalid("The address holds a backslash.")
    if _has_control(path):
        raise Invalid("The address holds a control character.")
    if ".." in path.split("/"):
        raise Invalid("The address holds '..'.")


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(letter) == "Cc" for letter in text)


def encode_path(path: str) -> str:
    """The one spelling of a path, which redirects lead to."""
    return urllib.parse.quote(path, safe=_PLAIN)


def is_canonical(raw_path: str, path: str) -> bool:
    """Whether the raw path is this path in its one spelling.

    Letters that need no escape may be escaped: proxies differ there, and a redirect that one of them reverts would
    loop.
    """
    canonical = encode_path(path)
    return raw_path == canonical or _ESCAPE.sub(_unescape_plain, raw_path) == canonical


def _unescape_plain(escape: re.Match[str]) -> str:
    letter = chr(int(escape[0][1:], 16))
    return letter if letter in "!$&'()*+,;=:@" else escape[0].upper()


def check_file_path(path: str) -> str:
    """The path of a file in a release: `assets/app.js`. Raises Invalid for one that no URL names unambiguously."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise Invalid(f"The path {path!a:.80} is not UTF-8.") from error
    if not 0 < size <= MAX_PATH_BYTES:
        raise Invalid(f"The path {path!a:.80} is empty or longer than {MAX_PATH_BYTES} bytes.")
    segments = path.split("/")
    if "" in segments or "." in segments or ".." in segments:
        raise Invalid(f"The path {path!a:.80} must be relative, without empty, '.' and '..' segments.")
    if "\\" in path or _has_control(path):
        raise Invalid(f"The path {path!a:.80} holds a backslash or a control character.")
    return path


def is_file_path(path: str) -> bool:
    try:
        return bool(check_file_path(path))
    except Invalid:
        return False
