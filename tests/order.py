"""In which order the tests run, and which of them share a worker of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = (
    "tests/docker/",
    "tests/acceptance/",
    "tests/kafka/",
    "tests/integration/test_api_start.py",
    "tests/stores/test_object_store.py",
    "tests/integration/test_builder_process.py",
    "tests/hostile/",
    "tests/integration/",
    "tests/stores/",
    "tests/browser/",
)
"""So that no worker begins the longest when the others are done."""
ON_PRODUCTION = ("test_engines_away.py", "test_replicas.py", "test_whole_path.py")
ONE_SERVER = ("tests/docker/", "tests/kafka/", "tests/browser/")
"""Folders whose tests share a server that is slow to start."""


def place(test: str) -> int:
    """Where in LONGEST_FIRST this test stands."""
    return next((number for number, name in enumerate(LONGEST_FIRST) if test.startswith(name)), len(LONGEST_FIRST))


def together(test: str) -> str:
    """What all tests of one worker have in common: a server, or the file."""
    file = test.split("::")[0]
    if file.endswith(ON_PRODUCTION):
        return "production"
    return next((folder for folder in ONE_SERVER if file.startswith(folder)), file)


class ByServer(LoadScopeScheduling):
    """As `--dist loadscope`, where the scope is a server."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)
