"""Stores in memory for the tests of what runs in the background."""

import asyncio

import pytest

from gateway import consumer
from gateway.control.leases import Leases
from tests.unit.control.fake_engines import BreakingObjects, FakeLauncher, MemoryLogs
from tests.unit.control.fakes import Clock, MemoryDeployments


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def deployments(clock):
    return MemoryDeployments(clock)


@pytest.fixture
def objects(clock):
    return BreakingObjects(clock)


@pytest.fixture
def logs():
    return MemoryLogs()


@pytest.fixture
def launcher():
    return FakeLauncher()


@pytest.fixture
def work(deployments, launcher, clock):
    """On the memory kit, with a clock that passes when told."""
    return Leases(deployments, launcher, 3, time_limit_seconds=900, late_lines_seconds=0, clock=clock)


@pytest.fixture
def running(deployments, launcher):
    """A deployment whose builder runs."""
    launcher.running.add("fake:1")
    return deployments.add_building(handle="fake:1")


@pytest.fixture
def row(deployments, running):
    return lambda: deployments.rows[running.id]


@pytest.fixture
def stopping():
    return asyncio.Event()


@pytest.fixture(autouse=True)
def _quick_stops(monkeypatch):
    """A consumer hears of its stop between two fetches."""
    monkeypatch.setattr(consumer, "FETCH_SECONDS", 0.01)
