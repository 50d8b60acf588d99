"""If-None-Match and its like."""

from __future__ import annotations

import datetime

import pytest

from gateway.sites.conditionals import Verdict, format_date, judge, may_send_part, parse_date
from tests.unit.sites.fakes import PUBLISHED, PUBLISHED_DATE

ETAG = '"abc"'
EARLIER = "Wed, 04 Mar 2026 05:06:06 GMT"
LATER = "Wed, 04 Mar 2026 05:06:08 GMT"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Verdict.GO_ON),
        ({"if-none-match": '"abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": 'W/"abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x", W/"y" ,"abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": "*"}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x"'}, Verdict.GO_ON),
        ({"if-none-match": "abc"}, Verdict.GO_ON),
        ({"if-none-match": ""}, Verdict.GO_ON),
        ({"if-none-match": '"x"', "if-modified-since": PUBLISHED_DATE}, Verdict.GO_ON),
        ({"if-modified-since": PUBLISHED_DATE}, Verdict.NOT_MODIFIED),
        ({"if-modified-since": EARLIER}, Verdict.GO_ON),
        ({"if-modified-since": "yesterday"}, Verdict.GO_ON),
        ({"if-match": '"abc"'}, Verdict.GO_ON),
        ({"if-match": '"x", "abc"'}, Verdict.GO_ON),
        ({"if-match": "*"}, Verdict.GO_ON),
        ({"if-match": 'W/"abc"'}, Verdict.FAILED),
        ({"if-match": '"x"'}, Verdict.FAILED),
        ({"if-unmodified-since": PUBLISHED_DATE}, Verdict.GO_ON),
        ({"if-unmodified-since": LATER}, Verdict.GO_ON),
        ({"if-unmodified-since": EARLIER}, Verdict.FAILED),
        ({"if-unmodified-since": "never"}, Verdict.GO_ON),
        ({"if-match": '"abc"', "if-unmodified-since": EARLIER}, Verdict.GO_ON),
        ({"if-match": '"x"', "if-none-match": '"abc"'}, Verdict.FAILED),
        ({"if-match": '"abc"', "if-none-match": '"abc"'}, Verdict.NOT_MODIFIED),
    ],
)
def test_the_verdict(headers: dict[str, str], verdict: Verdict) -> None:
    assert judge(headers, ETAG, PUBLISHED) is verdict


def test_a_release_older_than_what_a_client_has_is_sent_to_it() -> None:
    """After a rollback: the client's copy is of a later release."""
    assert judge({"if-modified-since": LATER}, ETAG, PUBLISHED) is Verdict.GO_ON


def test_what_has_no_etag_matches_the_star_only() -> None:
    assert judge({"if-none-match": '"abc"'}, None, PUBLISHED) is Verdict.GO_ON
    assert judge({"if-match": "*"}, None, PUBLISHED) is Verdict.GO_ON


@pytest.mark.parametrize(
    ("if_range", "may"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        (PUBLISHED_DATE, True),
        (EARLIER, False),
        (LATER, False),
        ("abc", False),
    ],
)
def test_if_range_wants_exactly_this(if_range: str | None, may: bool) -> None:
    assert may_send_part(if_range, ETAG, PUBLISHED) is may


@pytest.mark.parametrize("text", ["Wednesday, 04-Mar-26 05:06:07 GMT", "Wed Mar  4 05:06:07 2026", PUBLISHED_DATE])
def test_a_date_is_read_in_its_three_forms(text: str) -> None:
    assert parse_date(text) == PUBLISHED.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "0", "-1", "x" * 9000, "Wed, 99 Mar 2026 05:06:07 GMT", "1, 2, 3", None])
def test_no_date_is_none(text: str | None) -> None:
    assert parse_date(text) is None


def test_a_date_is_written_in_gmt() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert format_date(PUBLISHED.astimezone(zone)) == PUBLISHED_DATE


def test_a_hostile_list_takes_no_time() -> None:
    assert judge({"if-none-match": '"' * 8000 + " " * 8000}, ETAG, PUBLISHED) is Verdict.GO_ON
