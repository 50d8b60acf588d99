"""Which Node a project asks for, and where it says so."""

from pathlib import PurePosixPath

import pytest

from builder.wishes import read_wish
from tests.unit.builder.projects import write_project

SITE = PurePosixPath("site")


@pytest.mark.parametrize(
    ("setting", "files", "source", "text"),
    [
        ("22", {".nvmrc": "20"}, "The setting nodeVersion", "22"),
        (None, {"site/.nvmrc": "# ours\nv20\n", ".nvmrc": "18"}, ".nvmrc", "v20"),
        (None, {"site/.node-version": "20.1.0"}, ".node-version", "20.1.0"),
        (None, {"site/.tool-versions": "ruby 3.1\nnodejs 20.11.0 18.0.0 # both\n"}, ".tool-versions", "20.11.0"),
        (None, {".tool-versions": "node latest:22\n"}, ".tool-versions", "22"),
        (None, {"site/package.json": {"volta": {"node": "16.20.2"}}}, "volta.node", "16.20.2"),
        (
            None,
            {"site/package.json": {"volta": {"extends": "../package.json"}}, "package.json": {"volta": {"node": "18"}}},
            "volta.node",
            "18",
        ),
        (None, {"site/package.json": {"engines": {"node": ">=20"}}}, "engines.node", ">=20"),
        (None, {"package.json": {"engines": {"node": ">=20"}}}, "engines.node", ">=20"),
        (
            None,
            {"package.json": {"devEngines": {"runtime": [{"name": "bun"}, {"name": "node", "version": "^22"}]}}},
            "devEngines.runtime",
            "^22",
        ),
        (None, {"site/package.json": {"engines": {"node": ">=18"}}, ".nvmrc": "20"}, ".nvmrc", "20"),
        (None, {".nvmrc": "lts/Iron"}, ".nvmrc", "lts/Iron"),
        ("nonsense", {".nvmrc": "20"}, ".nvmrc", "20"),
    ],
)
def test_a_wish_is_read_from_the_first_place_that_has_one(tmp_path, setting, files, source, text):
    wish, _ = read_wish(setting, write_project(tmp_path, files | {"site/x": ""}), SITE)
    assert (wish.source, wish.range.text) == (source, text)


@pytest.mark.parametrize("extends", ["../../../etc/package.json", "/etc/package.json", "package.json", "missing.json"])
def test_volta_extends_nothing_outside_and_ends(tmp_path, extends):
    checkout = write_project(tmp_path, {"site/package.json": {"volta": {"extends": extends}}})
    assert read_wish(None, checkout, SITE) == (None, [])


def test_a_wish_that_is_not_understood_is_named_in_the_log(tmp_path):
    checkout = write_project(tmp_path, {"package.json": {"engines": {"node": ["20"]}}, ".nvmrc": "system"})
    wish, notes = read_wish("nonsense", checkout, PurePosixPath("."))
    assert wish is None
    assert notes == [
        "The setting nodeVersion is ignored: 'nonsense' is not a version range.",
        ".nvmrc is ignored: 'system' is not a version range.",
    ]


@pytest.mark.parametrize(("text", "is_newest"), [("node", True), ("latest", True), ("lts/*", False), (">=1", False)])
def test_some_names_mean_the_newest(tmp_path, text, is_newest):
    wish, _ = read_wish(text, write_project(tmp_path, {}), SITE)
    assert wish.is_newest is is_newest
