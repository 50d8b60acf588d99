"""What the log says of errors that no caller receives."""

import asyncio
import gc
import types

import pytest

from gateway.wire.lost_errors import name_lost_errors

PROGRAM = """
async def fail():
    raise ConnectionError("the broker is gone")
"""


async def lose(module):
    """Let a task of this module fail without a reader."""
    made = types.ModuleType(module)
    exec(PROGRAM, made.__dict__)
    name_lost_errors(asyncio.get_running_loop())
    task = asyncio.ensure_future(made.fail())
    await asyncio.wait([task])
    del task
    gc.collect()


@pytest.mark.parametrize(
    ("module", "engine"), [("aiokafka.consumer.fetcher", "Kafka"), ("asynch.proto.connection", "ClickHouse")]
)
async def test_a_lost_error_of_a_driver_is_one_line_that_names_the_engine(caplog, module, engine):
    await lose(module)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"a background task of the driver of {engine} failed: ConnectionError: the broker is gone"
    )
    assert (record.levelname, record.exc_info) == ("WARNING", None)


async def test_a_lost_error_of_our_own_keeps_its_traceback(caplog):
    await lose("gateway.something")
    (record,) = caplog.records
    assert (record.name, record.exc_info[0]) == ("asyncio", ConnectionError)
