"""Stores in memory for the tests of what runs in the background."""

import asyncio

import pytest

from gateway import consumer
from tests.unit.control.fakes import Clock, FakeLauncher, MemoryDeployments, MemoryLogs, MemoryObjects


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def deployments(clock):
    return MemoryDeployments(clock)


@pytest.fixture
def objects(clock):
    return MemoryObjects(clock)


@pytest.fixture
def logs():
    return MemoryLogs()


@pytest.fixture
def launcher():
    return FakeLauncher()


@pytest.fixture
def stopping():
    return asyncio.Event()


@pytest.fixture(autouse=True)
def _quick_stops(monkeypatch):
    """A consumer hears of its stop between two fetches."""
    monkeypatch.setattr(consumer, "FETCH_SECONDS", 0.01)
