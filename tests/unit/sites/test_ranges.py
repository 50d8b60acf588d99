"""Range: one part, or the whole."""

from __future__ import annotations

import pytest

from gateway.sites.ranges import Part, Unsatisfiable, choose_part


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=2-4", Part(2, 3)),
        ("bytes=0-9", Part(0, 10)),
        ("bytes=5-", Part(5, 5)),
        ("bytes=0-999", Part(0, 10)),
        ("bytes=-3", Part(7, 3)),
        ("bytes=-99", Part(0, 10)),
        ("Bytes=9-9", Part(9, 1)),
        ("bytes=0-" + "9" * 5000, Part(0, 10)),
        ("bytes=" + "0" * 5000 + "1-1", Part(1, 1)),
    ],
)
def test_a_part_is_chosen(header: str, part: Part) -> None:
    assert choose_part(header, 10) == part


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-0", "bytes=--1", "bytes=1", "items=0-1"),
        *("bytes=0-1,3-4", "bytes=0-0,-1", "bytes=0-1, bytes=3-4", "bytes=" + " " * 8000 + "x", "bytes=٣-٤"),
    ],
)
def test_no_range_several_and_nonsense_are_the_whole(header: str | None) -> None:
    assert choose_part(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=-1", 0),
        ("bytes=" + "9" * 5000 + "-", 10),
    ],
)
def test_a_range_past_the_end_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        choose_part(header, size)


def test_a_part_says_where_it_is() -> None:
    assert Part(2, 3).content_range(10) == "bytes 2-4/10"
