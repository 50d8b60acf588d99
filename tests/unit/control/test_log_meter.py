"""The log of an attempt is bounded, however its lines come in."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.protocol.lines import Line, LineBatch
from gateway.engines import log_meter
from gateway.engines.log_meter import LogMeter
from gateway.errors import TooLarge

ID = uuid.uuid4()


def make_batch(*texts, first_seq=1, attempt=1):
    lines = tuple(Line(1, "stdout", "build", text) for text in texts or ("hello",))
    return LineBatch("crimson-elephant", ID, attempt, first_seq, lines)


def test_the_meter_refuses_what_exceeds_the_limit():
    meter = LogMeter(1000)
    size = meter._most_bytes // 2 + 1
    meter.count(make_batch(first_seq=1), size)
    with pytest.raises(TooLarge):
        meter.check(make_batch(first_seq=2), size)


def test_a_batch_that_is_sent_again_is_not_counted_again():
    meter = LogMeter(1000)
    for _ in range(10):
        meter.check(make_batch(), meter._most_bytes)
        meter.count(make_batch(), meter._most_bytes)


def test_lines_that_come_out_of_order_are_counted_as_well():
    meter = LogMeter(1000)
    meter.count(make_batch(first_seq=900), 1)
    meter.count(make_batch(first_seq=1), meter._most_bytes)
    with pytest.raises(TooLarge):
        meter.check(make_batch(first_seq=2), 1)
    meter.check(make_batch(first_seq=900), 1)


def test_a_log_of_gaps_is_refused(monkeypatch):
    monkeypatch.setattr(log_meter, "MOST_RUNS", 3)
    meter = LogMeter(1000)
    for seq in (1, 3, 5):
        meter.count(make_batch(first_seq=seq), 1)
    with pytest.raises(TooLarge, match="gaps"):
        meter.check(make_batch(first_seq=7), 1)
    meter.check(make_batch(first_seq=3), 1)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), max_size=30))
def test_the_meter_knows_exactly_which_lines_were_taken(batches):
    taken, known = log_meter._Taken(), set()
    for first_seq, length in batches:
        batch = make_batch(*["x"] * length, first_seq=first_seq)
        seqs = set(range(first_seq, first_seq + length))
        assert taken.has(batch) == (seqs <= known)
        taken.add(batch)
        known |= seqs
    assert sorted(seq for run in zip(taken.begins, taken.ends, strict=True) for seq in range(*run)) == sorted(known)


def test_the_meter_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(log_meter, "REMEMBERED_LOGS", 2)
    meter = LogMeter(1000)
    for attempt in (1, 2, 3):
        meter.count(make_batch(attempt=attempt), 1)
    assert len(meter._known) == 2
