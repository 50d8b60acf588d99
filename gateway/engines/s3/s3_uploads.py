"""Uploads to S3: bytes are counted, hashed and cut into parts, and checked before the object becomes visible."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import io
import logging
from collections.abc import AsyncIterator
from typing import Any

from gateway.engines.s3.s3_client import S3Client
from gateway.errors import GatewayError, Invalid

log = logging.getLogger(__name__)

PART_BYTES = 8 * 1024**2
MOST_PARTS = 10_000
"""The most parts that S3 accepts: larger objects get larger parts."""
SMALL_BYTES = 256 * 1024
PARTS_AT_ONCE = 8
PART_SECONDS = 120.0
ABORT_SECONDS = 5.0
HASH_HERE_BYTES = 64 * 1024
"""Hashing this little is faster than a call in a thread."""
ABANDONED = datetime.timedelta(days=1)
"""Longer than any put takes: its sender is gone."""


class Incoming:
    """The bytes of a sender. Holds at most the part that was asked for."""

    def __init__(self, chunks: AsyncIterator[bytes], size: int, sha256: str | None) -> None:
        self._chunks = chunks
        self._size = size
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        self._came = 0
        self._over = b""

    async def part(self, wanted: int) -> bytes:
        """The next bytes, fewer at the end. Raises Invalid if there are more than announced."""
        part = bytearray(self._over)
        self._over = b""
        while len(part) < wanted and (chunk := await anext(self._chunks, None)) is not None:
            self._came += len(chunk)
            if self._came > self._size:
                raise Invalid(f"There are more than the {self._size} bytes that were announced.")
            part += chunk
        if len(part) > wanted:
            self._over = bytes(memoryview(part)[wanted:])
            del part[wanted:]
        await self._hash(part)
        return bytes(part)

    async def last_part(self, wanted: int) -> bytes:
        """All remaining bytes, which may be at most this many. Raises Invalid, as `check` does."""
        part = await self.part(wanted + 1)
        self.check()
        return part

    def check(self) -> None:
        """Raises Invalid unless the bytes are complete and have the announced hash."""
        if self._came != self._size:
            raise Invalid(f"{self._size} bytes were announced, {self._came} came.")
        if self._sha256 is not None and self._digest.hexdigest() != self._sha256:
            raise Invalid(f"The bytes have the sha256 {self._digest.hexdigest()}, not {self._sha256}.")

    async def _hash(self, part: bytearray) -> None:
        if self._sha256 is None:
            return
        if len(part) <= HASH_HERE_BYTES:
            self._digest.update(part)
        else:
            await asyncio.to_thread(self._digest.update, part)


class Uploads:
    """Puts whole objects. The memory of all puts together is limited: larger ones wait for their turn."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._places = asyncio.Semaphore(PARTS_AT_ONCE)

    async def put(self, key: str, incoming: Incoming, size: int, content_type: str) -> None:
        """Raises Invalid, Conflict and Unavailable; then the object is not visible."""
        if size > PART_BYTES:
            await self._put_in_parts(key, incoming, size, content_type)
            return
        async with self._places if size > SMALL_BYTES else contextlib.nullcontext():
            body = await incoming.last_part(size)
            await self._client.call(
                "put_object",
                seconds=PART_SECONDS,
                Key=key,
                Body=io.BytesIO(body),
                ContentLength=len(body),
                ContentType=content_type,
            )

    async def abort_abandoned(self, prefix: str) -> int:
        """Abort unfinished uploads, which occupy storage invisibly. Returns how many."""
        # The local clock is good enough: S3 refuses calls whose clock is 15 minutes off.
        old = datetime.datetime.now(datetime.UTC) - ABANDONED
        abandoned = [found async for found in self._unfinished(prefix) if found["Initiated"] < old]
        for found in abandoned:
            await self._client.call("abort_multipart_upload", Key=found["Key"], UploadId=found["UploadId"])
        return len(abandoned)

    async def _put_in_parts(self, key: str, incoming: Incoming, size: int, content_type: str) -> None:
        begun = await self._client.call("create_multipart_upload", Key=key, ContentType=content_type)
        upload = begun["UploadId"]
        try:
            parts = await self._send_parts(key, upload, incoming, max(PART_BYTES, -(-size // MOST_PARTS)))
            incoming.check()
            await self._client.call(
                "complete_multipart_upload",
                seconds=PART_SECONDS,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except BaseException:
            await self._abort(key, upload)
            raise

    async def _send_parts(self, key: str, upload: str, incoming: Incoming, part_bytes: int) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        while True:
            async with self._places:
                body = await incoming.part(part_bytes)
                if not body:
                    return parts
                answer = await self._client.call(
                    "upload_part",
                    seconds=PART_SECONDS,
                    Key=key,
                    UploadId=upload,
                    PartNumber=len(parts) + 1,
                    Body=io.BytesIO(body),
                    ContentLength=len(body),
                )
            parts.append({"PartNumber": len(parts) + 1, "ETag": answer["ETag"]})

    async def _abort(self, key: str, upload: str) -> None:
        try:
            await self._client.call("abort_multipart_upload", seconds=ABORT_SECONDS, Key=key, UploadId=upload)
        except GatewayError as error:
            log.warning("an unfinished upload is left for the next sweep: %s: %s", key, error)

    async def _unfinished(self, prefix: str) -> AsyncIterator[dict[str, Any]]:
        markers: dict[str, Any] = {}
        while True:
            page = await self._client.call("list_multipart_uploads", Prefix=prefix, **markers)
            for found in page.get("Uploads", []):
                yield found
            if not page.get("IsTruncated"):
                return
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
