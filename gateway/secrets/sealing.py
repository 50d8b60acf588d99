"""AES-256-GCM: bytes that open under the same key, and only for the owner and the name that they were sealed for."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"\x01"
"""Of the layout: version, nonce, ciphertext with its tag."""


class WrongSeal(Exception):
    """The bytes were changed, were sealed under another key, or belong to another owner or name."""


def make_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, content: bytes, *belongs_to: str) -> bytes:
    # A random nonce is safe for 2^32 texts under one key, and each project has a key of its own.
    nonce = os.urandom(NONCE_BYTES)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, content, _bound(belongs_to))


def unseal(key: bytes, sealed: bytes, *belongs_to: str) -> bytes:
    """Raises WrongSeal."""
    version, nonce, rest = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if version != VERSION or len(nonce) < NONCE_BYTES:
        raise WrongSeal
    try:
        return AESGCM(key).decrypt(nonce, rest, _bound(belongs_to))
    except InvalidTag as error:
        raise WrongSeal from error


def _bound(belongs_to: tuple[str, ...]) -> bytes:
    """Each part with its length, so that no two lists of parts give the same bytes."""
    parts = [part.encode() for part in belongs_to]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
