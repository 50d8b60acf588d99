"""Installs the dependencies: with the lockfile as it is, or freely if the lockfile does not fit package.json."""

from __future__ import annotations

from builder.commands import Commands
from builder.logs import LineSender
from builder.run import Runner


async def install(commands: Commands, runner: Runner, log: LineSender) -> None:
    """Raises BuildFailed."""
    command = commands.install()
    if command is not None:
        await runner.run(command)
