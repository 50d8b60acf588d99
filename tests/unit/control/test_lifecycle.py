"""States, events and bounds."""

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.protocol.lines import MAX_SEQ
from gateway import lifecycle
from gateway.errors import Conflict
from gateway.lifecycle import Event, LogEnd
from gateway.models import Status

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
FINAL = [status for status in Status if status.is_final]


@pytest.mark.parametrize(("status", "event"), list(itertools.product(FINAL, Event)))
def test_nothing_follows_a_final_state(status, event):
    with pytest.raises(Conflict):
        lifecycle.follow(status, event)


@pytest.mark.parametrize(
    ("status", "event", "following"),
    [
        (Status.QUEUE, Event.CLAIMED, Status.BUILDING),
        (Status.QUEUE, Event.CANCELED, Status.CANCELED),
        (Status.BUILDING, Event.REFUSED, Status.QUEUE),
        (Status.BUILDING, Event.LOST, Status.QUEUE),
        (Status.BUILDING, Event.PUBLISHED, Status.READY),
        (Status.BUILDING, Event.FAILED, Status.FAILED),
        (Status.BUILDING, Event.CANCELED, Status.CANCELED),
    ],
)
def test_what_follows(status, event, following):
    assert lifecycle.follow(status, event) is following


@pytest.mark.parametrize("event", [Event.REFUSED, Event.LOST])
def test_after_the_last_try_it_fails(event):
    assert lifecycle.follow(Status.BUILDING, event, is_last_try=True) is Status.FAILED


@pytest.mark.parametrize("event", [Event.REFUSED, Event.PUBLISHED, Event.FAILED, Event.LOST])
def test_what_waits_cannot_end_as_if_it_had_run(event):
    with pytest.raises(Conflict):
        lifecycle.follow(Status.QUEUE, event)


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


@given(st.lists(st.tuples(st.sampled_from(Event), st.booleans()), max_size=30))
def test_whatever_happens_a_life_ends_once(events):
    status, ends = Status.QUEUE, 0
    for event, is_last_try in events:
        try:
            status = lifecycle.follow(status, event, is_last_try=is_last_try)
        except Conflict:
            continue
        ends += status.is_final
    assert ends <= 1


def test_of_very_many_gaps_the_last_are_told_as_one():
    missing = [(seq, seq) for seq in range(1, 200_000, 2)]
    end = lifecycle.decide_log_end(200_000, missing, 60)
    assert (len(end.missing), end.missing[0], end.missing[-1]) == (1000, (1, 1), (1999, 199_999))
