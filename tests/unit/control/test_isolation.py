"""The isolation of builds: chosen once; without one, builds wait and the health says why."""

from __future__ import annotations

import pytest

from gateway.background import Health
from gateway.engines.process.isolation import BUILDERS, IsolationChoice
from gateway.errors import LaunchRefused


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def isolation(health: Health) -> IsolationChoice:
    return IsolationChoice(health)


def test_builds_wait_until_it_is_chosen(isolation: IsolationChoice) -> None:
    assert isolation.name is None
    with pytest.raises(LaunchRefused, match="not been chosen yet"):
        isolation.grade()


async def test_what_was_chosen_is_given_to_builds(isolation: IsolationChoice, health: Health) -> None:
    await isolation.choose("none", is_loopback_only=True)
    assert isolation.grade().name == isolation.name == "none"
    assert health.troubles == {}


async def test_a_refusal_holds_the_builds_and_shows_in_the_health(isolation: IsolationChoice, health: Health) -> None:
    await isolation.choose("none", is_loopback_only=False)
    with pytest.raises(LaunchRefused, match="beyond this machine"):
        isolation.grade()
    assert health.troubles == {BUILDERS: isolation.sentence}


def test_containers_are_an_isolation_of_their_own(isolation: IsolationChoice, health: Health) -> None:
    isolation.leave_to_containers()
    assert (isolation.grade().name, health.troubles) == ("container", {})
