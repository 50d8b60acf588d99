"""What holds for all tests."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import settings

from tests import order
from tests.engines.ecs import running_moto
from tests.engines.postgres import PostgresServer, running_postgres
from tests.engines.s3 import S3Server, running_s3

NAMED_ONLY = ("conformance", "image")
WAITING_WORKERS = 4
"""Most tests wait for a server or a process: more of them than cores are useful."""

settings.register_profile("test", max_examples=25, deadline=None)
settings.register_profile("soak", max_examples=500, deadline=None)
settings.load_profile("test")  # --hypothesis-profile names the other one


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The conformance tests need data that is not part of the project, those of the images minutes and a Docker engine:
    they run when they are named.
    """
    if collection_path.parent != Path(__file__).parent or collection_path.name not in NAMED_ONLY:
        return None
    is_named = any(collection_path.name in argument for argument in config.args)
    return None if is_named else True


def pytest_sessionstart() -> None:
    """What tests start must not inherit that nohup, or a script that runs them in its background, has these ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: order.place(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The tests of unit/ compute: one worker for each core."""
    is_unit = all("tests/unit" in argument for argument in config.args)
    return os.cpu_count() or 1 if is_unit else WAITING_WORKERS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> order.ByServer:
    return order.ByServer(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """Each client of AWS's services would parse the models of its service again: 0.15 s of CPU in place of 0.03."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """For all tests that leave the server alone: each makes databases of its own."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """The S3 servers by their names, each started when it is first asked for. As above: buckets of one's own."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(name: str) -> S3Server:
            return stack.enter_context(running_s3(name, tmp_path_factory.mktemp(name)))

        yield start


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto, for ECS. As above: clusters of one's own."""
    with running_moto(tmp_path_factory.mktemp("moto")) as address:
        yield address
