"""What a grade does not hold stands in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.sandbox import gaps
from builder.sandbox.gaps import Gap

GAPS = [each for each in vars(gaps).values() if isinstance(each, Gap)]
DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.words)
def test_each_gap_is_documented(gap: Gap) -> None:
    assert gap.words in DOCUMENTATION.read_text()
