"""Keeps objects in a bucket of S3 or of a compatible store."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver

from gateway.config import S3
from gateway.engines.directory.files import check_key, is_key
from gateway.engines.object_examination import try_objects
from gateway.engines.s3.s3_client import S3Client
from gateway.engines.s3.s3_uploads import Incoming, Uploads
from gateway.engines.s3.s3_words import NoSuchRange, Unexplained, name_of
from gateway.errors import NotFound, Unavailable
from gateway.models.object_keys import PREFIXES
from gateway.roles import ObjectInfo, ignore

PIECE_BYTES = 256 * 1024
BYTES = "application/octet-stream"
CHECK_SECONDS = 5.0
COPY_SECONDS = 60.0
COPY_BYTES = 64 * 1024**2
"""Larger objects are downloaded and uploaded again: a copy inside the store could take longer than a call's limit."""
PLACE_SECONDS = 10.0
PAGE_KEYS = 200
"""Parsing a page blocks the loop: a page of 1,000 keys for 50 ms, one of this size for 10 ms."""
DELETED_AT_ONCE = 1000
TRUSTED_SECONDS = 10.0
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@contextlib.asynccontextmanager
async def open_s3(config: S3, resolver: AbstractResolver | None = None) -> AsyncIterator[S3ObjectStore]:
    """The bucket of these settings. Makes no call yet: the first call raises Unavailable if the store is away."""
    client = S3Client(config, resolver)
    try:
        yield S3ObjectStore(client)
    finally:
        await client.close()


class S3ObjectStore:
    """Keys obey the rules of the directory store, so that no server can read one as a path elsewhere."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._uploads = Uploads(client)
        # Each slow reader of a large object occupies a connection; this keeps the others free for other calls.
        self._streams = asyncio.Semaphore(client.connections * 3 // 4)
        self._bucket_seen = float("-inf")

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int,
        sha256: str | None = None,
        content_type: str = BYTES,
    ) -> None:
        """Store exactly `size` bytes; readers see nothing or all. Invalid, Conflict and Unavailable store nothing."""
        check_key(key)
        await self._uploads.put(key, Incoming(chunks, size, sha256), size, content_type)

    async def copy(self, source: str, target: str, *, size: int, content_type: str = BYTES) -> None:
        """Store a copy of `source`, which has this size, under another key. Raises NotFound, as `open` does."""
        check_key(target)
        if not is_key(source):
            raise NotFound("There is no such object.")
        if size > COPY_BYTES:
            async with self.open(source) as reader:
                await self._uploads.put(target, Incoming(reader.chunks(), size, None), size, content_type)
            return
        await self._client.call(
            "copy_object",
            seconds=COPY_SECONDS,
            Key=target,
            CopySource={"Bucket": self._client.config.bucket, "Key": source},
            MetadataDirective="REPLACE",
            ContentType=content_type,
        )

    @contextlib.asynccontextmanager
    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[S3Reader]:
        """Read `length` bytes from `start` (to the end by default)."""
        if not is_key(key):
            raise NotFound("There is no such object.")
        async with contextlib.AsyncExitStack() as stack:
            reader = await self._get(key, start, length)
            stack.callback(lambda: reader.close())
            if reader.is_long:
                if self._streams.locked():
                    reader.close()  # it must not occupy a connection while it waits
                    await stack.enter_async_context(self._place())
                    reader = await self._get(key, start, length)
                else:
                    await stack.enter_async_context(self._streams)
            yield reader

    async def exists(self, key: str) -> bool:
        if not is_key(key):
            return False
        try:
            await self._head("head_object", Key=key)
        except NotFound:
            # A missing bucket gives the same answer.
            if time.monotonic() - self._bucket_seen > TRUSTED_SECONDS:
                await self.check()
            return False
        return True

    async def list(self, prefix: str, pass_over: Callable[[str], None] = ignore) -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no order. `pass_over` gets each name that is no key."""
        if not is_key(prefix + "x"):
            return
        more: dict[str, Any] = {}
        while True:
            page = await self._client.call("list_objects_v2", Prefix=prefix, MaxKeys=PAGE_KEYS, **more)
            for found in page.get("Contents", []):
                if is_key(found["Key"]):
                    yield _info(found["Key"], found["Size"], found)
                else:
                    pass_over(found["Key"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys. A key that is not stored is not an error. Raises Unavailable if a key could not go."""
        waiting = (key for key in keys if is_key(key))
        while some := list(itertools.islice(waiting, DELETED_AT_ONCE)):
            for key in filter(_NOT_XML.search, some):
                await self._client.call("delete_object", Key=key)
            await self._delete_together([key for key in some if not _NOT_XML.search(key)])

    async def check(self) -> None:
        """Raises Unavailable, with what would be right, if the bucket cannot be used."""
        await self._head("head_bucket", seconds=CHECK_SECONDS)
        self._bucket_seen = time.monotonic()

    async def examine(self) -> str:
        await self.check()
        config = self._client.config
        return f"bucket '{config.bucket}' of {name_of(config)}; {await try_objects(self)}"

    async def tidy(self) -> int:
        """Abort the uploads under our keys that began over a day ago. Returns how many."""
        return sum([await self._uploads.abort_abandoned(prefix) for prefix in PREFIXES])

    async def _get(self, key: str, start: int, length: int | None) -> S3Reader:
        """Raises NotFound and Unavailable. The caller closes the reader."""
        if length is not None and length <= 0:
            return await self._get_nothing(key)
        last = "" if length is None else start + length - 1
        wanted: dict[str, Any] = {"Range": f"bytes={start}-{last}"} if start or length is not None else {}
        try:
            answer = await self._client.call("get_object", Key=key, **wanted)
        except NoSuchRange:
            return await self._get_nothing(key)
        reader = S3Reader(self._client, key, answer)
        try:
            if start and "ContentRange" not in answer:
                raise Unavailable("The object store sends a whole object where a range was requested.")
            await reader.begin()
        except BaseException:
            reader.close()
            raise
        return reader

    async def _get_nothing(self, key: str) -> S3Reader:
        return S3Reader(self._client, key, await self._head("head_object", Key=key))

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._streams.acquire(), PLACE_SECONDS)
        except TimeoutError as error:
            raise Unavailable(
                "All connections for large objects are busy: raise s3.connections if this happens often."
            ) from error
        try:
            yield
        finally:
            self._streams.release()

    async def _head(self, operation: str, **parameters: Any) -> Any:
        """An error answer to HEAD has no body. Another call then tells the reason, or the bucket's region."""
        try:
            return await self._client.call(operation, **parameters)
        except Unexplained:
            await self._client.call("list_objects_v2", MaxKeys=1, seconds=CHECK_SECONDS)
            return await self._client.call(operation, **parameters)

    async def _delete_together(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        doomed = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = await self._client.call("delete_objects", Delete=doomed)
        left = [error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"]
        if left:
            raise Unavailable(
                f"{len(left)} of {len(keys)} objects could not be deleted: the store says {left[0].get('Code')}."
            )


class S3Reader:
    """An answer to GET. It occupies a connection until it is read to its end or closed."""

    def __init__(self, client: S3Client, key: str, answer: dict[str, Any]) -> None:
        self._client = client
        self._body = answer.get("Body")
        self._length = answer["ContentLength"] if self._body is not None else 0
        self._first = b""
        whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
        self.info = _info(key, int(whole) if whole.isdigit() else answer["ContentLength"], answer)
        self.is_long = self._length > PIECE_BYTES

    async def begin(self) -> None:
        """Reads at once what fits into one piece, which frees the connection."""
        if self.is_long:
            return
        body = bytearray()
        while piece := await self._read():
            body += piece
        self._first = bytes(body)
        self.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        while piece := await self._read():
            yield piece

    def close(self) -> None:
        """Closes the connection too if the body was not read to its end."""
        if self._body is not None:
            self._body.close()
            self._body = None

    async def _read(self) -> bytes:
        if self._body is None:
            return b""
        with self._client.in_our_words("get_object"):
            piece: bytes = await self._body.read(PIECE_BYTES)
            return piece


def _info(key: str, size: int, answer: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(key, size, answer["LastModified"], str(answer.get("ETag", "")).strip('"'))
