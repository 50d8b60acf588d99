"""Where scripts/engines/ puts the programs of the engines, and what becomes of a test for which one is missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

PROGRAMS = Path(os.environ.get("BUILDSPACE_ENGINES") or Path.home() / ".cache" / "buildspace-engines")


def fail_without(sentence: str) -> NoReturn:
    """End the test: it fails, or is skipped with ALLOW_MISSING_ENGINES=1."""
    if os.environ.get("ALLOW_MISSING_ENGINES") == "1":
        pytest.skip(sentence)
    pytest.fail(sentence, pytrace=False)
