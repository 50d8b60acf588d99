"""The build token: derived, never stored, valid for one attempt of one deployment.

It also signs records in Kafka, and proves the gateway to the builder.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid

SIGNATURE_HEADER = "signature"
NONCE_BYTES = 32
PROOF_BYTES = 64
# All other signed data are JSON objects, so a proof of the gateway can never be the signature of a record.
_PROOF_LABEL = "the gateway knows the build token"


def make_token(install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> str:
    return hmac.new(install_key, f"{deployment_id}|{attempt}".encode(), hashlib.sha256).hexdigest()


def is_token(token: str, install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(token.encode(), make_token(install_key, deployment_id, attempt).encode())


def sign(token: str, record: bytes) -> bytes:
    """The value of the header SIGNATURE_HEADER. Making it needs the attempt's token."""
    return hmac.new(token.encode(), record, hashlib.sha256).hexdigest().encode()


def is_signature(signature: bytes, token: str, record: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(signature, sign(token, record))


def make_proof(token: str, deployment_id: uuid.UUID, attempt: int, nonce: str) -> bytes:
    """The gateway's answer to a nonce of NONCE_BYTES in hex: PROOF_BYTES long."""
    message = f"{_PROOF_LABEL}|{deployment_id}|{attempt}|{nonce}"
    return hmac.new(token.encode(), message.encode(), hashlib.sha256).hexdigest().encode()


def is_proof(proof: bytes, token: str, deployment_id: uuid.UUID, attempt: int, nonce: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(proof, make_proof(token, deployment_id, attempt, nonce))
