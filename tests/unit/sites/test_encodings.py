"""Accept-Encoding."""

from __future__ import annotations

import pytest

from gateway.sites.encodings import choose_coding

BOTH = ("br", "gzip")


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate, zstd", None),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.5, gzip;q=0.5", "br"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "br"),
        ("br;q=0, gzip;q=0", None),
        ("*;q=0", None),
        ("identity", None),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("identity;q=1, *;q=0", None),
        ("br;q=2, gzip", "gzip"),
        ("br;level=3, gzip", "gzip"),
        (" gzip ;q = 0.7", "gzip"),
        (",,;q=1,gzip,", "gzip"),
        ("gzip;q=0, gzip", None),
    ],
)
def test_the_best_form_that_the_client_takes(header: str | None, coding: str | None) -> None:
    assert choose_coding(header, BOTH) == coding


def test_only_what_is_there_is_chosen() -> None:
    assert choose_coding("br, gzip;q=0.1", ["gzip"]) == "gzip"
    assert choose_coding("br, gzip", []) is None
