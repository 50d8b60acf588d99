"""A job that fails is tried again, shows in the health, and harms nothing else."""

import asyncio
import logging

import pytest

from gateway.background import Health, kept_running
from gateway.errors import Unavailable
from tests.unit.control.fakes import until

AWAY = Unavailable("The log store does not answer.")


class Moody:
    """A job that fails as often as it has moods left, then works until stopped."""

    def __init__(self, *moods):
        self.moods = list(moods)
        self.is_working = False

    async def run(self, *, stopping, progress):
        if self.moods:
            raise self.moods.pop(0)
        progress()
        self.is_working = True
        await stopping.wait()


def kept(job, health):
    return kept_running("a job", job.run, health, first_delay_seconds=0.001, last_delay_seconds=0.001)


async def test_a_job_whose_engine_comes_back_works_and_the_health_recovers():
    health, job = Health(), Moody(AWAY, AWAY)
    async with kept(job, health):
        await until(lambda: job.is_working)
        assert health.troubles == {}


async def test_an_engine_that_is_away_shows_with_its_own_sentence():
    health, job = Health(), Moody(*[AWAY] * 100_000)
    async with kept(job, health):
        await until(lambda: health.troubles)
        assert health.troubles == {"a job": "The log store does not answer."}


async def test_an_engine_that_is_away_for_long_is_logged_once_and_so_is_its_return(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.background")
    job = Moody(*[AWAY] * 50)
    async with kept(job, Health()):
        await until(lambda: job.is_working)
    assert [record.getMessage() for record in caplog.records] == [
        "a job waits: The log store does not answer.",
        "a job works again",
    ]


async def test_what_nobody_foresaw_is_logged_with_its_traceback_and_tried_again(caplog: pytest.LogCaptureFixture):
    health, job = Health(), Moody(ValueError("odd"))
    async with kept(job, health):
        await until(lambda: job.is_working)
    assert [(record.levelno, bool(record.exc_info)) for record in caplog.records] == [(logging.ERROR, True)]


async def test_a_job_that_waits_is_tried_again_once_another_trouble_is_over():
    health, job = Health(), Moody(AWAY)
    health.trouble("object store", "The disk is full.")
    async with asyncio.timeout(5), kept_running("a job", job.run, health, first_delay_seconds=3600):
        await until(lambda: "a job" in health.troubles)
        health.recovered("object store")
        await until(lambda: job.is_working)
        assert health.troubles == {}


async def test_what_is_well_wakes_no_job():
    health, job = Health(), Moody(AWAY, AWAY)
    async with asyncio.timeout(5), kept_running("a job", job.run, health, first_delay_seconds=3600):
        await until(lambda: "a job" in health.troubles)
        health.recovered("object store")
        await asyncio.sleep(0)
        assert len(job.moods) == 1


async def test_a_stop_does_not_wait_for_the_back_off():
    job = Moody(AWAY)
    async with asyncio.timeout(5):
        async with kept_running("a job", job.run, Health(), first_delay_seconds=3600):
            await until(lambda: not job.moods)
    assert not job.is_working
