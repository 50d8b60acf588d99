"""How one builder is, as its launcher says."""

from __future__ import annotations

from gateway.roles import BuilderState, Launcher


async def state_of(launcher: Launcher, handle: str) -> BuilderState | None:
    """None: the launcher cannot say."""
    return (await launcher.find([handle])).get(handle)
