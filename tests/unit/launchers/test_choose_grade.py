"""The choice of the isolation, with small programs in the probe's place."""

from __future__ import annotations

import sys

import pytest

from gateway.engines.process import grades as sandbox
from gateway.engines.process.grades import choose_grade
from gateway.errors import LaunchRefused


def probe_that(holds: str) -> tuple[str, ...]:
    """Says yes to the grades named."""
    program = (
        "import sys; name = sys.argv[1]; "
        f"yes = name in {holds.split()!r}; print(name, 'holds' if yes else 'needs bwrap'); sys.exit(not yes)"
    )
    return (sys.executable, "-c", program)


async def test_auto_takes_strong_where_it_holds() -> None:
    grade = await choose_grade("auto", False, probe_that("strong basic"))
    assert (grade.name, grade.sentence) == ("strong", "strong holds")


async def test_auto_takes_basic_and_says_why_not_strong() -> None:
    grade = await choose_grade("auto", False, probe_that("basic"))
    assert (grade.name, grade.sentence) == ("basic", "basic holds No strong isolation: strong needs bwrap")


async def test_auto_takes_account_where_nothing_else_holds() -> None:
    grade = await choose_grade("auto", False, probe_that("account"))
    assert (grade.name, "No basic isolation: basic needs bwrap" in grade.sentence) == ("account", True)


async def test_auto_without_isolation_builds_for_this_machine_alone() -> None:
    grade = await choose_grade("auto", True, probe_that(""))
    assert grade.name == "none"
    assert "basic needs bwrap" in grade.sentence


async def test_auto_without_isolation_refuses_where_others_reach_the_gateway() -> None:
    with pytest.raises(LaunchRefused, match="strong needs bwrap") as refusal:
        await choose_grade("auto", False, probe_that(""))
    assert refusal.value.final


@pytest.mark.parametrize("wanted", ["strong", "basic"])
async def test_a_wanted_grade_that_does_not_hold_is_never_lowered(wanted: str) -> None:
    with pytest.raises(LaunchRefused, match=f"No {wanted} isolation"):
        await choose_grade(wanted, True, probe_that("strong basic".replace(wanted, "")))


@pytest.mark.parametrize("wanted", ["strong", "basic"])
async def test_a_wanted_grade_that_holds_is_taken(wanted: str) -> None:
    assert (await choose_grade(wanted, False, probe_that(wanted))).name == wanted


async def test_none_can_be_asked_for_on_loopback_and_is_told() -> None:
    grade = await choose_grade("none", True, probe_that("strong"))
    assert (grade.name, "not isolated" in grade.sentence) == ("none", True)


async def test_none_is_refused_where_others_reach_the_gateway() -> None:
    with pytest.raises(LaunchRefused, match="loopback only") as refusal:
        await choose_grade("none", False, probe_that("strong"))
    assert refusal.value.final


async def test_a_probe_that_hangs_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "TIME_LIMIT_SECONDS", 0.2)
    with pytest.raises(LaunchRefused, match="did not end within"):
        await choose_grade("strong", True, (sys.executable, "-c", "import time; time.sleep(60)"))


async def test_a_probe_that_crashes_is_a_no_with_its_last_line() -> None:
    with pytest.raises(LaunchRefused, match="ZeroDivisionError"):
        await choose_grade("strong", True, (sys.executable, "-c", "1/0"))
