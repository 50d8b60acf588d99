"""The attack table, run for real: under the account of the tests, and under an ordinary one."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import pytest

from builder.sandbox.attacks import ATTACKS
from builder.sandbox.gaps import COMMAND_LINES, gaps_of
from builder.sandbox.ownership import build_account
from builder.sandbox.probe import attack
from tests.hostile.confined import run_as_ordinary

NAMES = [each.__name__ for each in ATTACKS]
NOT_HELD = {("basic", "udp"), ("basic", "command_lines")}
"""By an ordinary account. Root hides the command lines of others too."""
ATTACK = """
import asyncio, json, sys
from builder.sandbox.probe import attack
print(json.dumps(sorted(asyncio.run(attack(sys.argv[1])))))
"""


@functools.cache
def reached_by_ordinary(grade: str) -> frozenset[str]:
    with tempfile.TemporaryDirectory() as folder:
        done = run_as_ordinary(ATTACK, grade, folder=Path(folder))
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout))


HELD = [(grade, name) for grade in ("strong", "basic") for name in NAMES if (grade, name) not in NOT_HELD]


@pytest.mark.parametrize(("grade", "name"), HELD)
def test_an_ordinary_account_is_held(grade: str, name: str) -> None:
    assert name not in reached_by_ordinary(grade)


@pytest.mark.parametrize("name", NAMES)
def test_each_attack_succeeds_where_nothing_holds_it(name: str) -> None:
    assert name in reached_by_ordinary("none")


@pytest.mark.parametrize("grade", ["strong", "basic"])
async def test_the_account_of_the_tests_is_held(grade: str) -> None:
    assert await attack(grade) <= {gap.attack for gap in gaps_of(grade)}


def test_command_lines_are_a_gap_where_the_build_has_no_account_of_its_own() -> None:
    assert (COMMAND_LINES in gaps_of("basic")) == (build_account() is None)
