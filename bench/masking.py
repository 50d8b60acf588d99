"""What masking costs in the path of log lines: `python -m bench.masking` needs nothing else.

The path is the builder's own: pieces of output become lines, the lines are looked at for errors and become batches.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from builder.logs import LineSender
from builder.masking import Masker
from builder.protocol.steps import Stream
from builder.run import CHUNK_BYTES, read_lines

LINES, ROUNDS, SECRETS = 100_000, 9, 50
TEXTS = (
    "npm http fetch GET 200 https://registry.npmjs.org/@babel%2fhelper-module-transforms 43ms (cache miss)",
    "dist/assets/chunk-{number:08x}.js                 41.20 kB \u2502 gzip: 13.37 kB",
    "transforming ({number}) node_modules/.pnpm/react-dom@19.2.0/node_modules/react-dom/cjs/react-dom-client.js",
    "\x1b[32m\u2713\x1b[39m 1 page built in {number} ms",
    "warning: unused import of `useEffect` in src/components/Header-{number}.tsx:12:8",
)


def make_output() -> bytes:
    return "".join(TEXTS[number % len(TEXTS)].format(number=number) + "\n" for number in range(LINES)).encode()


async def pass_through(output: bytes, masker: Masker) -> float:
    """Processor seconds from the pipe to batches that are ready to be sent."""

    async def drop(_: bytes) -> None:
        pass

    with tempfile.TemporaryDirectory() as folder:
        log = LineSender(
            drop,
            project="bench",
            deployment_id=uuid.uuid4(),
            attempt=1,
            spool_directory=Path(folder),
            limit_bytes=2**40,
            masker=masker,
        )
        reader = asyncio.StreamReader(limit=2**30)
        reader.feed_data(output)
        reader.feed_eof()

        async def keep(stream: Stream, text: str) -> None:
            await log.write(stream, text)

        began = time.process_time()
        sending = asyncio.ensure_future(log.run())
        await read_lines(reader, Stream.STDOUT, keep, masker)
        log.close()
        await sending
        return time.process_time() - began


async def main() -> None:
    output = make_output()
    began = time.process_time()
    masker = Masker([secrets.token_urlsafe(24) for _ in range(SECRETS)])
    built = time.process_time() - began
    without, with_secrets = [], []
    for _ in range(ROUNDS):
        without.append(await pass_through(output, Masker()))
        with_secrets.append(await pass_through(output, masker))
    plain, masked = statistics.median(without), statistics.median(with_secrets)
    print(f"{LINES} lines, {len(output) / 1e6:.1f} MB, pieces of {CHUNK_BYTES // 1024} KiB")
    print(f"without secrets     {plain:.3f} s  {len(output) / plain / 1e6:.0f} MB/s")
    print(f"with {SECRETS} secrets     {masked:.3f} s  {len(output) / masked / 1e6:.0f} MB/s")
    print(f"masking adds        {100 * (masked - plain) / plain:.1f} %; preparing it once {built * 1000:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
