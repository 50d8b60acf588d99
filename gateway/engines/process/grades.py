"""Chooses the isolation of builds at start, by trying it. There is no fallback later."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence

from builder.protocol.calls import Isolation
from gateway.engines.builder_environment import PACKAGE_ROOT, pick_environment
from gateway.errors import LaunchRefused

TIME_LIMIT_SECONDS = 40.0
ISOLATING = (Isolation.STRONG, Isolation.BASIC, Isolation.ACCOUNT)
PROBE = (sys.executable, "-P", "-m", "builder.sandbox", "probe")
MEMORY = (sys.executable, "-P", "-m", "builder.sandbox", "memory")


@dataclasses.dataclass(frozen=True, slots=True)
class Grade:
    """`sentence` says what it holds, and why no stronger grade was chosen."""

    name: Isolation
    sentence: str


async def choose_grade(wanted: str, loopback_only: bool, probe: Sequence[str] = PROBE) -> Grade:
    """The grade of all builds until the next start.

    Raises LaunchRefused, with what is missing, if builds must not run: the required grade is not available, or none is
    and the gateway can be reached from other machines.
    """
    if wanted == Isolation.NONE and not loopback_only:
        raise LaunchRefused(
            "Builds are refused: builder.isolation is none, and the API listens beyond this machine."
            " Set builder.isolation to auto, or let the gateway listen on loopback only.",
            final=True,
        )
    if wanted == Isolation.NONE:
        return Grade(
            Isolation.NONE,
            "Builds are not isolated, because builder.isolation is none: they can do whatever the gateway can.",
        )
    missing: list[str] = []
    for name in ISOLATING if wanted == "auto" else (Isolation(wanted),):
        holds, sentence = await try_grade(name, probe)
        if holds:
            return Grade(name, " ".join([sentence, *missing]))
        missing.append(f"No {name} isolation: {sentence}")
    if wanted == "auto" and loopback_only:
        return Grade(
            Isolation.NONE,
            " ".join(
                ["Builds are not isolated. They are allowed because the gateway listens on loopback only.", *missing]
            ),
        )
    raise LaunchRefused(" ".join(["Builds are refused, because they cannot be isolated.", *missing]), final=True)


async def find_memory_limit(gateway: int | None = None) -> str:
    """How the memory of builds is limited, in a sentence.

    `gateway`, a process, is moved into a leaf of the cgroup that was delegated to it, so that builds can have cgroups
    beside it.
    """
    _, sentence = await _run([*MEMORY, *([str(gateway)] if gateway else [])])
    return sentence


async def try_grade(name: Isolation, probe: Sequence[str]) -> tuple[bool, str]:
    """Whether the grade holds, and the probe's sentence."""
    return await _run([*probe, name])


async def _run(argv: Sequence[str]) -> tuple[bool, str]:
    """Whether the command succeeded, and its last line."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**pick_environment(os.environ), "PYTHONPATH": str(PACKAGE_ROOT)},
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), TIME_LIMIT_SECONDS)
    except TimeoutError:
        return False, f"its probe did not end within {TIME_LIMIT_SECONDS:.0f} s."
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = (output or errors).decode(errors="replace").strip().splitlines()
    return process.returncode == 0, lines[-1] if lines else f"its probe ended with exit code {process.returncode}."
