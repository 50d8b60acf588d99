"""Wrong tokens are refused later and later, within bounds of memory and of waiting requests."""

import asyncio

import pytest

from gateway.access import wrong_tokens
from gateway.access.wrong_tokens import MOST_WAITING_OF_A_CLIENT, PROMPT, WrongTokens
from gateway.errors import TooMany

CLIENT = "203.0.113.7"


class Clock:
    """`slept`: each delay that was asked for. A delay ends at once, or with `over` where that is set."""

    def __init__(self):
        self.at = 1000.0
        self.slept = []
        self.over = None

    def now(self):
        return self.at

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if self.over is not None:
            await self.over.wait()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return WrongTokens(clock.now, clock.sleep)


async def refuse(tokens, times, client=CLIENT):
    for _ in range(times):
        await tokens.delay(client)


async def waiting(tokens, clock, count, client=CLIENT):
    """Refusals that wait until the clock says that it is over."""
    clock.over = asyncio.Event()
    tasks = [asyncio.ensure_future(tokens.delay(client)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_the_first_wrong_tokens_are_refused_at_once(tokens, clock):
    await refuse(tokens, PROMPT)
    assert clock.slept == []


async def test_each_further_one_takes_twice_as_long_up_to_a_bound(tokens, clock):
    await refuse(tokens, PROMPT + 8)
    assert clock.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


async def test_one_that_tried_for_ever_waits_no_longer(tokens, clock):
    await refuse(tokens, 5000)
    assert clock.slept[-1] == 8.0


async def test_another_address_does_not_wait(tokens, clock):
    await refuse(tokens, PROMPT)
    await refuse(tokens, 1, "198.51.100.1")
    assert clock.slept == []


async def test_addresses_of_one_ipv6_network_are_one_client(tokens, clock):
    await refuse(tokens, PROMPT, "2001:db8::1")
    await refuse(tokens, 1, "2001:db8::2")
    assert clock.slept == [0.25]


async def test_a_client_is_forgotten_after_a_while(tokens, clock):
    await refuse(tokens, PROMPT + 1)
    clock.at += wrong_tokens.FORGET_SECONDS + 1
    await refuse(tokens, PROMPT)
    assert clock.slept == [0.25]


async def test_more_than_a_few_refusals_of_a_client_never_wait(tokens, clock):
    await refuse(tokens, PROMPT)
    tasks = await waiting(tokens, clock, MOST_WAITING_OF_A_CLIENT)
    with pytest.raises(TooMany) as refused:
        await tokens.delay(CLIENT)
    assert refused.value.retry_seconds == 4.0
    clock.over.set()
    await asyncio.gather(*tasks)
    await refuse(tokens, 1)


async def test_all_clients_together_may_hold_so_many_requests(tokens, clock, monkeypatch):
    monkeypatch.setattr(wrong_tokens, "MOST_WAITING", 1)
    await refuse(tokens, PROMPT)
    await refuse(tokens, PROMPT, "198.51.100.1")
    (held,) = await waiting(tokens, clock, 1)
    with pytest.raises(TooMany):
        await tokens.delay("198.51.100.1")
    clock.over.set()
    await held


async def test_a_request_that_is_canceled_makes_room(tokens, clock):
    await refuse(tokens, PROMPT)
    tasks = await waiting(tokens, clock, MOST_WAITING_OF_A_CLIENT)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    clock.over.set()
    await refuse(tokens, 1)
    await asyncio.gather(*tasks[1:])


async def test_the_table_of_clients_is_bounded_and_keeps_the_latest(tokens, clock, monkeypatch):
    monkeypatch.setattr(wrong_tokens, "MOST_CLIENTS", 2)
    await refuse(tokens, PROMPT, "198.51.100.1")
    await refuse(tokens, PROMPT, "198.51.100.2")
    await refuse(tokens, PROMPT, "198.51.100.3")
    await refuse(tokens, 1, "198.51.100.3")
    assert clock.slept == [0.25]
    await refuse(tokens, 1, "198.51.100.1")
    assert clock.slept == [0.25]
    assert len(tokens._clients) == 2
