"""What host names lead to, and for how long that is believed."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import NotFound, Unavailable
from gateway.models.deployment import Status
from gateway.sites import pointers as module
from gateway.sites.pointers import SitePointers
from tests.unit.sites.fakes import Clock, MemoryHosts, make_release

TEMPLATE = "http://{slug}.localhost:8000"
RELEASE = make_release(["index.html"])


@pytest.fixture
def hosts() -> MemoryHosts:
    return MemoryHosts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pointers(hosts: MemoryHosts, clock: Clock) -> SitePointers:
    return SitePointers(hosts, TEMPLATE, 5.0, clock)


async def settle() -> None:
    """Let what is under way come to its end."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_slug_leads_to_its_site(pointers: SitePointers, hosts: MemoryHosts) -> None:
    published = hosts.publish("blog", RELEASE)
    assert await pointers.find("blog.localhost") == published


async def test_a_deployments_own_host_leads_to_it_as_a_preview(pointers: SitePointers, hosts: MemoryHosts) -> None:
    hosts.publish("blog", RELEASE)
    found = await pointers.find("blog-22222222.localhost")
    assert (found.deployment_id, found.is_preview) == (RELEASE.deployment_id, True)


async def test_a_custom_domain_leads_to_its_site(pointers: SitePointers, hosts: MemoryHosts) -> None:
    hosts.sites["www.example.com"] = hosts.publish("blog", RELEASE)
    assert (await pointers.find("www.example.com")).slug == "blog"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "blog", "localhost"])
async def test_an_address_or_a_bare_label_leads_nowhere(pointers: SitePointers, hosts: MemoryHosts, host: str) -> None:
    hosts.publish("blog", RELEASE)
    with pytest.raises(NotFound):
        await pointers.find(host)
    assert hosts.asked == []


async def test_a_pointer_is_kept_for_its_seconds(pointers: SitePointers, hosts: MemoryHosts, clock: Clock) -> None:
    hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    clock.now += 4.9
    await pointers.find("blog.localhost")
    assert hosts.asked == ["blog"]
    clock.now += 0.2
    await pointers.find("blog.localhost")
    assert hosts.asked == ["blog", "blog"]


async def test_who_wants_a_younger_one_gets_it(pointers: SitePointers, hosts: MemoryHosts, clock: Clock) -> None:
    hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    clock.now += 0.9
    await pointers.find("blog.localhost", 1.0)
    assert len(hosts.asked) == 1
    clock.now += 0.2
    await pointers.find("blog.localhost", 1.0)
    assert len(hosts.asked) == 2


async def test_a_name_without_a_site_is_remembered_for_a_second(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock
) -> None:
    with pytest.raises(NotFound):
        await pointers.find("none.localhost")
    with pytest.raises(NotFound):
        await pointers.find("none.localhost")
    assert hosts.asked == ["none"]
    clock.now += 1.1
    published = hosts.publish("none", RELEASE)
    assert await pointers.find("none.localhost") == published


async def test_made_up_names_fill_no_memory_and_push_out_no_site(
    pointers: SitePointers, hosts: MemoryHosts, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(module, "MAX_UNKNOWN", 10)
    pointers = SitePointers(hosts, TEMPLATE, 5.0, clock)
    hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    names = [f"name{number}.localhost" for number in range(100)]
    found = await asyncio.gather(*map(pointers.find, names), return_exceptions=True)
    assert {type(error) for error in found} == {NotFound}
    assert len(pointers._unknown) == 10
    hosts.asked.clear()
    await pointers.find("blog.localhost")
    assert hosts.asked == []


async def test_a_notice_makes_the_next_one_read_again(pointers: SitePointers, hosts: MemoryHosts) -> None:
    hosts.publish("blog", RELEASE)
    hosts.publish("shop", RELEASE)
    await asyncio.gather(pointers.find("blog.localhost"), pointers.find("shop.localhost"))
    pointers.forget("blog")
    await asyncio.gather(pointers.find("blog.localhost"), pointers.find("shop.localhost"))
    assert sorted(hosts.asked) == ["blog", "blog", "shop"]


async def test_a_notice_for_all_makes_all_read_again(pointers: SitePointers, hosts: MemoryHosts) -> None:
    hosts.publish("blog", RELEASE)
    hosts.publish("shop", RELEASE)
    await asyncio.gather(pointers.find("blog.localhost"), pointers.find("shop.localhost"))
    pointers.forget("")
    await asyncio.gather(pointers.find("blog.localhost"), pointers.find("shop.localhost"))
    assert sorted(hosts.asked) == ["blog", "blog", "shop", "shop"]


async def test_a_read_that_began_before_a_notice_is_not_believed_after_it(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock
) -> None:
    hosts.await_release("blog", Status.BUILDING)
    hosts.gate.clear()
    early = asyncio.create_task(pointers.find("blog.localhost"))
    await settle()
    clock.now += 0.1
    pointers.forget("blog")
    hosts.gate.set()
    await early
    published = hosts.publish("blog", RELEASE)
    assert await pointers.find("blog.localhost") == published


async def test_identical_reads_are_one(pointers: SitePointers, hosts: MemoryHosts) -> None:
    hosts.publish("blog", RELEASE)
    await asyncio.gather(*(pointers.find("blog.localhost") for _ in range(50)))
    assert hosts.asked == ["blog"]


async def test_one_who_leaves_does_not_take_the_read_with_him(pointers: SitePointers, hosts: MemoryHosts) -> None:
    published = hosts.publish("blog", RELEASE)
    hosts.gate.clear()
    impatient = asyncio.create_task(pointers.find("blog.localhost"))
    patient = asyncio.create_task(pointers.find("blog.localhost"))
    await settle()
    impatient.cancel()
    await settle()
    hosts.gate.set()
    assert await patient == published
    assert hosts.asked == ["blog"]


async def test_while_the_database_is_away_what_was_known_goes_on_however_old(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock
) -> None:
    published = hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    hosts.is_away = True
    pointers.forget("")
    clock.now += 100_000
    assert await pointers.find("blog.localhost") == published


async def test_while_the_database_is_away_an_unknown_name_is_unavailable(
    pointers: SitePointers, hosts: MemoryHosts
) -> None:
    hosts.is_away = True
    with pytest.raises(Unavailable):
        await pointers.find("blog.localhost")


async def test_nobody_waits_for_a_database_that_is_known_to_be_away(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock
) -> None:
    published = hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    hosts.is_away = True
    clock.now += 10
    await pointers.find("blog.localhost")
    hosts.gate.clear()
    clock.now += 10
    async with asyncio.timeout(1):
        assert await pointers.find("blog.localhost") == published
    hosts.gate.set()
    await settle()


async def test_a_database_that_is_back_is_noticed_at_the_next_visit(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock
) -> None:
    hosts.await_release("blog", Status.BUILDING)
    await pointers.find("blog.localhost")
    hosts.is_away = True
    clock.now += 10
    await pointers.find("blog.localhost")
    hosts.is_away = False
    published = hosts.publish("blog", RELEASE)
    clock.now += 1
    await pointers.find("blog.localhost")
    await settle()
    assert await pointers.find("blog.localhost") == published


async def test_a_database_that_hangs_is_away(
    pointers: SitePointers, hosts: MemoryHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.01)
    hosts.gate.clear()
    with pytest.raises(Unavailable):
        await pointers.find("blog.localhost")


async def test_nobody_waits_long_for_a_database_that_hangs_where_something_is_known(
    pointers: SitePointers, hosts: MemoryHosts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    known = hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    clock.now += 10
    hosts.gate.clear()
    assert await pointers.find("blog.localhost") == known
    hosts.gate.set()


async def test_a_project_that_is_gone_is_forgotten(pointers: SitePointers, hosts: MemoryHosts, clock: Clock) -> None:
    hosts.publish("blog", RELEASE)
    await pointers.find("blog.localhost")
    del hosts.sites["blog"]
    clock.now += 10
    with pytest.raises(NotFound):
        await pointers.find("blog.localhost")
