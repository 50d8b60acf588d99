"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent / "conformance"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The conformance tests need data that is not part of the project: they run when they are named."""
    is_named = any("conformance" in argument for argument in config.args)
    return True if collection_path == CONFORMANCE and not is_named else None
