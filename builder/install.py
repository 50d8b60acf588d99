"""Installs the dependencies: with the lockfile as it is, or freely if the lockfile does not fit package.json."""

from __future__ import annotations

import asyncio
import re

from builder.checkout import Checkout
from builder.commands import Commands
from builder.detect import Plan
from builder.errors import BuildFailed
from builder.lockfiles import Difference, compare, is_refusal, listed, read_differences
from builder.logs import LineSender
from builder.run import Runner
from builder.splitting import strip_ansi

MAX_LETTERS = 4000
MAX_KEPT = 200
_PNPM_SKIPPED = re.compile(r"Ignored build scripts: ([^│]{1,2000})")
_BUN_SKIPPED = re.compile(r"Blocked \d+ (?:post|pre)?installs?\b")
_YARN_SKIPPED = re.compile(r"YN0004: (?:│ )?(\S{1,200}?)@\S{1,200} lists build scripts")


class InstallOutput:
    """What the lines of an install say about the lockfile, and about install scripts that did not run."""

    def __init__(self) -> None:
        self.is_lockfile_refused = False
        self.differences: list[Difference] = []
        self._skipped: list[str] = []
        self._how = ""

    def hear(self, text: str) -> None:
        line = strip_ansi(text[:MAX_LETTERS])
        self.is_lockfile_refused |= is_refusal(line)
        if len(self.differences) < MAX_KEPT:
            self.differences.extend(each for each in read_differences(line) if each not in self.differences)
        if len(self._skipped) < MAX_KEPT:
            self._hear_skipped(line)

    def _hear_skipped(self, line: str) -> None:
        if found := _PNPM_SKIPPED.search(line):
            self._skipped.extend(_package_names(found[1]))
            self._how = (
                "pnpm.onlyBuiltDependencies in package.json (pnpm 11 and later: allowBuilds in pnpm-workspace.yaml)"
            )
        elif found := _YARN_SKIPPED.search(line):
            self._skipped.append(found[1])
            self._how = 'dependenciesMeta in package.json, with "built": true, and set enableScripts in .yarnrc.yml'
        elif _BUN_SKIPPED.search(line):
            self._skipped.append("some packages, which `bun pm untrusted` lists,")
            self._how = "trustedDependencies in package.json"

    @property
    def warning(self) -> str:
        """Empty if every install script ran."""
        if not self._skipped:
            return ""
        names = ", ".join(dict.fromkeys(self._skipped))
        return f"Warning: the install scripts of {names} did not run. If the build needs them, add them to {self._how}."


def _package_names(text: str) -> list[str]:
    """Of `esbuild@0.25.0, @parcel/watcher@2.5.1.`"""
    names = (each.strip().rstrip(".") for each in text.strip().rstrip(".").split(","))
    return [name[0] + name[1:].partition("@")[0] for name in names if name]


async def install(
    plan: Plan, commands: Commands, runner: Runner, log: LineSender, checkout: Checkout, *, is_restored: bool
) -> bool:
    """Whether an install has run and the lockfile fitted. `is_restored`: the packages of the lockfile are there.

    Raises BuildFailed; for a lockfile that does not fit only if the project wants that (strictLockfile).
    """
    for each in commands.python():
        await runner.run(each)
    command = None if is_restored else commands.install()
    if command is None:
        return False
    output = InstallOutput()
    try:
        await runner.run(command, output.hear)
        return True
    except BuildFailed:
        free = commands.free_install()
        if free is None or not output.is_lockfile_refused or plan.settings.flag("strict_lockfile"):
            raise
        await log.say(await asyncio.to_thread(_explain, plan, output, checkout, free.shown))
        output = InstallOutput()
        await runner.run(free, output.hear)
        return False
    finally:
        if output.warning:
            await log.say(output.warning)


def _explain(plan: Plan, output: InstallOutput, checkout: Checkout, shown: str) -> str:
    choice = plan.manager
    assert choice is not None  # noqa: S101 - there is a lockfile
    differences = output.differences or list(compare(checkout, choice.root, choice.lockfile or ""))
    what = f": {listed(differences)}" if differences else ""
    return (
        f"Warning: {choice.lockfile} does not fit package.json{what}. The build goes on with `{shown}`; the setting"
        " strictLockfile would end it here."
    )
