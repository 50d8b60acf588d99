"""The build token: derived, never stored, good for one attempt of one deployment."""

from __future__ import annotations

import hashlib
import hmac
import uuid


def make_token(install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> str:
    return hmac.new(install_key, f"{deployment_id}|{attempt}".encode(), hashlib.sha256).hexdigest()


def is_token(token: str, install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(token.encode(), make_token(install_key, deployment_id, attempt).encode())
