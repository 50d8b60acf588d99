"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMED_ONLY = ("conformance", "image")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The conformance tests need data that is not part of the project, those of the images minutes and a Docker engine:
    they run when they are named.
    """
    if collection_path.parent != Path(__file__).parent or collection_path.name not in NAMED_ONLY:
        return None
    is_named = any(collection_path.name in argument for argument in config.args)
    return None if is_named else True
