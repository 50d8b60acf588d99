"""The keys of the ring as text, and the file in the data directory that holds them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.errors import ConfigError
from gateway.secrets.sealing import KEY_BYTES

FILE_NAME = "secrets.key"
ID_LETTERS = 16
HEADER = """\
# The keys that encrypt the secrets of all projects. Without this file they are lost: keep a copy of it apart from the
# copies of the database. One key a line; the last one encrypts. `buildspace secrets rotate` adds a new one.
"""


def key_id(key: bytes) -> str:
    """A name for the key that does not reveal it."""
    return hashlib.sha256(b"buildspace key id\0" + key).hexdigest()[:ID_LETTERS]


def parse_keys(text: str, origin: str) -> dict[str, bytes]:
    """The keys by their ids, in order. Raises ConfigError; its sentence does not show the text."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    words = [word for line in lines for word in re.split(r"[\s,]+", line) if word]
    keys = [_parse_key(word, place, origin) for place, word in enumerate(words, 1)]
    return {key_id(key): key for key in keys}


def _parse_key(word: str, place: int, origin: str) -> bytes:
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(word, validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise ConfigError(
        f"{origin}: key {place} is not the base64 form of {KEY_BYTES} bytes, as `openssl rand -base64 32` prints it."
    )


class KeyFile:
    """Replaced as a whole and written through to the disk, so that a crash leaves the old file or the new one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def read(self) -> dict[str, bytes]:
        """The keys by their ids. Empty: there is no file. Raises ConfigError."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The file {self.path} cannot be read: {error}.") from error
        return parse_keys(text, str(self.path))

    def write(self, keys: Mapping[str, bytes]) -> None:
        """Raises ConfigError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace(HEADER + "".join(f"{_spelled(key)}\n" for key in keys.values()))
        except OSError as error:
            raise ConfigError(f"The file {self.path} cannot be written: {error.strerror}.") from error

    def _replace(self, text: str) -> None:
        new = self.path.with_name(f".{FILE_NAME}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _spelled(key: bytes) -> str:
    return base64.b64encode(key).decode()


def without(keys: Mapping[str, bytes], unused: Sequence[str]) -> dict[str, bytes]:
    return {name: key for name, key in keys.items() if name not in unused}
