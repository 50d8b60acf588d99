"""The build token: derived, never stored, good for one attempt of one deployment.

It also signs records in Kafka, and proves the gateway to the builder.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid

SIGNATURE_HEADER = "signature"
NONCE_BYTES = 32
PROOF_BYTES = 64
# What is signed otherwise is a JSON object, so no proof that the gateway gives is the signature of a record.
_PROOF_LABEL = "the gateway knows the build token"


def make_token(install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> str:
    return hmac.new(install_key, f"{deployment_id}|{attempt}".encode(), hashlib.sha256).hexdigest()


def is_token(token: str, install_key: bytes, deployment_id: uuid.UUID, attempt: int) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(token.encode(), make_token(install_key, deployment_id, attempt).encode())


def sign(token: str, record: bytes) -> bytes:
    """The value of the header SIGNATURE_HEADER: only who holds the token of the attempt can make it."""
    return hmac.new(token.encode(), record, hashlib.sha256).hexdigest().encode()


def is_signature(signature: bytes, token: str, record: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(signature, sign(token, record))


def make_proof(token: str, deployment_id: uuid.UUID, attempt: int, nonce: str) -> bytes:
    """The gateway's answer to a nonce of NONCE_BYTES as hex digits: PROOF_BYTES long."""
    message = f"{_PROOF_LABEL}|{deployment_id}|{attempt}|{nonce}"
    return hmac.new(token.encode(), message.encode(), hashlib.sha256).hexdigest().encode()


def is_proof(proof: bytes, token: str, deployment_id: uuid.UUID, attempt: int, nonce: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(proof, make_proof(token, deployment_id, attempt, nonce))
