"""Sites that are plain files in the bucket."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import NotFound, Unavailable
from gateway.roles import ObjectInfo
from gateway.sites.plain import LOOK_SECONDS, PlainSites, candidates, represent_object
from tests.unit.sites.fakes import PUBLISHED, Clock, MemoryObjects


@pytest.fixture
def objects() -> MemoryObjects:
    store = MemoryObjects()
    store.bodies |= {"__outputs/blog/index.html": b"home", "__outputs/blog/about/index.html": b"about"}
    return store


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("index.html",)),
        ("/about/", ("about/index.html",)),
        ("/about", ("about", "about/index.html", "about.html")),
        ("/app.js", ("app.js",)),
    ],
)
def test_the_files_that_a_path_may_mean(path: str, expected: tuple[str, ...]) -> None:
    assert candidates(path) == expected


async def test_a_folder_shows_its_index(objects: MemoryObjects) -> None:
    path, stored = await PlainSites(objects).open("blog", "/about")
    assert (path, [piece async for piece in stored.pieces(5)]) == ("about/index.html", [b"about"])
    await stored.close()


@pytest.mark.parametrize("path", ["//", "//index.html", "/./index.html", "/about//", "/" + "a" * 1100, "/missing"])
async def test_a_path_that_can_be_no_file_is_not_found(objects: MemoryObjects, path: str) -> None:
    with pytest.raises(NotFound):
        await PlainSites(objects).open("blog", path)


async def test_only_well_formed_keys_reach_the_store(objects: MemoryObjects) -> None:
    with pytest.raises(NotFound):
        await PlainSites(objects).open("blog", "/./../x//y")
    assert objects.opened == []


async def test_whether_there_are_files_is_asked_once_in_a_while(objects: MemoryObjects) -> None:
    clock = Clock()
    plain = PlainSites(objects, clock)
    assert await asyncio.gather(*(plain.has_files("blog") for _ in range(9)), plain.has_files("shop")) == [
        *[True] * 9,
        False,
    ]
    assert await plain.has_files("shop") is False
    assert sorted(objects.listed) == ["__outputs/blog/", "__outputs/shop/"]
    clock.now += LOOK_SECONDS
    assert await plain.has_files("shop") is False
    assert len(objects.listed) == 3


async def test_a_store_that_is_away_says_nothing_about_files(objects: MemoryObjects) -> None:
    objects.is_away = True
    with pytest.raises(Unavailable):
        await PlainSites(objects).has_files("blog")


@pytest.mark.parametrize(
    ("opaque", "etag"), [("abc", '"abc"'), ('"abc-2"', '"abc-2"'), ("", None), ('a"b', None), ("a\r\nb", None)]
)
def test_the_stores_tag_becomes_a_tag_of_ours_or_none(opaque: str, etag: str | None) -> None:
    assert represent_object("a.js", ObjectInfo("k", 1, PUBLISHED, opaque)).etag == etag
