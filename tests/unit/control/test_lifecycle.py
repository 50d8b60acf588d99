"""States, events and bounds."""

import datetime

import pytest

from builder.protocol.lines import MAX_SEQ
from gateway.models import lifecycle
from gateway.models.lifecycle import LogEnd

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def test_an_attempt_is_bound_by_its_time_limit_and_a_grace():
    assert lifecycle.bound_seconds(900) == 1200


@pytest.mark.parametrize(
    ("seconds", "words"), [(900, "15 minutes."), (60, "1 minute."), (12, "12 seconds."), (119, "2 minutes.")]
)
def test_the_time_limit_is_said_in_words(seconds, words):
    assert lifecycle.time_limit_sentence(seconds).endswith(words)


def test_a_log_with_all_its_lines_is_complete_at_once():
    assert lifecycle.decide_log_end(7, [], 0) == LogEnd(True, ())


def test_a_log_without_any_line_is_complete():
    assert lifecycle.decide_log_end(0, [], 0) == LogEnd(True, ())


def test_missing_lines_are_waited_for_and_then_named():
    missing = [(2, 3), (9, 9)]
    assert lifecycle.decide_log_end(9, missing, 59) is None
    assert lifecycle.decide_log_end(9, missing, 60) == LogEnd(False, ((2, 3), (9, 9)))


def test_a_log_of_unknown_length_is_never_complete():
    assert lifecycle.look_until(None) == MAX_SEQ
    assert lifecycle.decide_log_end(None, [(6, MAX_SEQ)], 0) is None
    assert lifecycle.decide_log_end(None, [(6, MAX_SEQ)], 5) == LogEnd(False, ())


def test_the_gaps_of_a_log_of_unknown_length_are_named():
    assert lifecycle.decide_log_end(None, [(2, 4), (6, MAX_SEQ)], 5) == LogEnd(False, ((2, 4),))


def test_of_very_many_gaps_the_last_are_told_as_one():
    missing = [(seq, seq) for seq in range(1, 200_000, 2)]
    end = lifecycle.decide_log_end(200_000, missing, 60)
    assert (len(end.missing), end.missing[0], end.missing[-1]) == (1000, (1, 1), (1999, 199_999))
