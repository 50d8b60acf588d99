"""A key of AWS KMS as the key of the ring: it never leaves KMS, which encrypts and decrypts data keys with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from gateway.config import Secrets
from gateway.errors import Unavailable
from gateway.secrets.sealing import WrongSeal

CONNECT_SECONDS = 3.0
READ_SECONDS = 9.0
CALL_SECONDS = 15.0


class KmsKey:
    """Its client is made by the first call: the driver is slow to import, and finding credentials may take long."""

    def __init__(self, settings: Secrets) -> None:
        self.id = f"kms:{settings.kms_key}"
        self._settings = settings
        self._client: Any = None
        self._making = asyncio.Lock()
        self._open = contextlib.AsyncExitStack()

    async def wrap(self, data_key: bytes, owner: str) -> bytes:
        """Raises Unavailable."""
        answer = await self._call("encrypt", owner, Plaintext=data_key)
        return bytes(answer["CiphertextBlob"])

    async def unwrap(self, wrapped: bytes, owner: str) -> bytes:
        """Raises Unavailable, and WrongSeal for bytes that were changed or belong to another owner."""
        answer = await self._call("decrypt", owner, CiphertextBlob=wrapped)
        return bytes(answer["Plaintext"])

    async def close(self) -> None:
        await self._open.aclose()

    async def _call(self, operation: str, owner: str, **parameters: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            async with asyncio.timeout(CALL_SECONDS):
                client = self._client or await self._make()
                return await getattr(client, operation)(
                    KeyId=self._settings.kms_key, EncryptionContext={"project": owner}, **parameters
                )
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "InvalidCiphertextException":
                raise WrongSeal from error
            said = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
            raise Unavailable(
                f"AWS KMS refused to {operation} with {self._settings.kms_key} ({code}: {said})."
            ) from error
        # RuntimeError: raised by botocore if a role gives expired keys.
        except (BotoCoreError, aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            raise Unavailable(f"AWS KMS did not {operation}: {error or type(error).__name__}.") from error

    async def _make(self) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        async with self._making:
            if self._client is None:
                creating = get_session().create_client(
                    "kms",
                    region_name=self._settings.kms_region or _region_of(self._settings.kms_key),
                    endpoint_url=self._settings.kms_endpoint or None,
                    config=AioConfig(
                        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"mode": "standard"}
                    ),
                )
                self._client = await self._open.enter_async_context(creating)
        return self._client


@contextlib.asynccontextmanager
async def open_kms(settings: Secrets) -> AsyncIterator[KmsKey | None]:
    """None: no key of KMS is configured."""
    key = KmsKey(settings) if settings.kms_key else None
    try:
        yield key
    finally:
        if key is not None:
            await key.close()


def _region_of(key: str) -> str | None:
    """That of the key's ARN. None: the default of the environment."""
    parts = key.split(":")
    return parts[3] if parts[0] == "arn" and len(parts) > 5 else None
