"""Uploads the output: the manifest first, then the bytes that the gateway lacks, several files at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from builder.api import BuildersApi
from builder.collect import Output, read_file
from builder.logs import LineSender
from builder.protocol.calls import Manifest, ManifestFile

AT_ONCE = 4
PROGRESS_SECONDS = 5.0
_END = object()


async def upload(api: BuildersApi, log: LineSender, root: Path, output: Output, manifest: Manifest) -> None:
    """Returns once the gateway has every byte. Raises BuildFailed or Lost with its sentence."""
    missing = set(await api.send_manifest(manifest))
    # Files with the same content are sent once.
    wanted = list({file.sha256: file for file in output.files if file.sha256 in missing}.values())
    progress = _Progress(log, wanted)
    waiting = iter(wanted)

    async def send_some() -> None:
        for file in waiting:
            await api.put_blob(file.sha256, file.size, lambda file=file: _body(root, output, file))  # type: ignore[misc]
            await progress.sent(file)

    senders = [asyncio.create_task(send_some()) for _ in range(min(AT_ONCE, len(wanted)))]
    try:
        await asyncio.gather(*senders)
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    await log.say(
        f"Uploaded {count_files(len(output.files))}, {megabytes(output.bytes)} "
        f"({len(wanted)} new, {megabytes(sum(file.size for file in wanted))})"
    )


class _Progress:
    """Reports the progress of long uploads now and then."""

    def __init__(self, log: LineSender, wanted: list[ManifestFile]) -> None:
        self._log = log
        self._files = len(wanted)
        self._bytes = sum(file.size for file in wanted)
        self._sent_files = 0
        self._sent_bytes = 0
        self._spoken_at = asyncio.get_running_loop().time()

    async def sent(self, file: ManifestFile) -> None:
        self._sent_files += 1
        self._sent_bytes += file.size
        now = asyncio.get_running_loop().time()
        if now - self._spoken_at >= PROGRESS_SECONDS:
            self._spoken_at = now
            await self._log.say(
                f"Uploading: {self._sent_files} of {self._files} files, "
                f"{megabytes(self._sent_bytes)} of {megabytes(self._bytes)}"
            )


async def _body(root: Path, output: Output, file: ManifestFile) -> AsyncIterator[bytes]:
    chunks = read_file(root, output.folder, output.copies.get(file.path, file.path))
    while (chunk := await asyncio.to_thread(next, chunks, _END)) is not _END:
        assert isinstance(chunk, bytes)  # noqa: S101 - for the type checker
        yield chunk


def megabytes(size: int) -> str:
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def count_files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
