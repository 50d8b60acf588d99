"""The SQL that is written for an old ClickHouse also runs on the newest: the same files, the same texts."""

import uuid

import pytest
from asynch.proto.utils.escape import escape_params

from gateway.config.resources import clickhouse_migrations_folder
from gateway.engines.clickhouse import clickhouse_logs as logs_clickhouse
from gateway.engines.clickhouse.clickhouse_migrations import CREATE_RECORDS, READ_RECORDS, RECORD
from tests.engines.chdb import running_chdb

BUILD = uuid.UUID(int=1)
MARCH, APRIL = 1_772_500_000, 1_775_500_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with running_chdb(tmp_path_factory.mktemp("chdb")) as engine:
        for file in sorted(clickhouse_migrations_folder().iterdir(), key=lambda file: file.name):
            engine.query(file.read_text())
            engine.query(file.read_text())
        for received_at in (MARCH, APRIL):
            for seq in (1, 2, 3, 5, 9):
                row = f"('{BUILD}', 1, {seq}, {seq}123, 'stdout', 'build', 'line {seq}', {received_at})"
                engine.query(logs_clickhouse.INSERT + row)
        yield engine


def ask(engine, query, **parameters):
    return engine.query(query % escape_params({"deployment_id": BUILD, "attempt": 1, **parameters}))


def test_a_page_shows_repeated_lines_once(engine):
    rows = ask(engine, logs_clickhouse.READ, after=1, last=100, limit=2)
    assert rows == [[2, 2123, "stdout", "build", "line 2"], [3, 3123, "stdout", "build", "line 3"]]


def test_a_line_has_the_id_that_is_derived_from_its_place(engine):
    ids = engine.query("SELECT DISTINCT seq, event_id FROM log_events ORDER BY seq")
    assert ids == [[seq, str(uuid.uuid5(BUILD, f"1/{seq}"))] for seq in (1, 2, 3, 5, 9)]


def test_the_next_line_is_found_behind_a_gap(engine):
    assert ask(engine, logs_clickhouse.NEXT, after=5) == [[1, 9]]
    assert ask(engine, logs_clickhouse.NEXT, after=9) == []


def test_gaps_are_named(engine):
    assert ask(engine, logs_clickhouse.MISSING, last_seq=12) == [[4, 4], [6, 8], [10, 12]]
    assert ask(engine, logs_clickhouse.MISSING, last_seq=3) == []
    assert ask(engine, logs_clickhouse.MISSING, attempt=2, last_seq=7) == [[1, 7]]


def test_the_check_and_the_records_of_migrations_work(engine):
    engine.query(CREATE_RECORDS)
    engine.query(RECORD + "('0001_one.sql', 'abc', 1772500000)")
    assert engine.query(READ_RECORDS) == [["0001_one.sql", "abc"]]
    assert engine.query(logs_clickhouse.CHECK) == [[0]]


def test_a_month_is_dropped(engine):
    march, *later = ask(engine, logs_clickhouse.PARTITIONS)
    assert march == [202603]
    ask(engine, logs_clickhouse.DROP_PARTITION, month=202603)
    assert ask(engine, logs_clickhouse.PARTITIONS) == later
