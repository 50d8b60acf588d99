"""Files of a repository and of an output that would cost the builder, not the build, time or memory."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path, PurePosixPath

import pytest

from builder import checkout
from builder.checkout import MAX_FILE_BYTES, Checkout
from builder.collect import Limits, bears_digest, collect_output
from builder.detect import make_plan
from builder.disk import disk_use
from builder.errors import BuildFailed
from builder.managers import choose_manager
from builder.wishes import read_wish
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

JOB = make_job("https://example.org/a")
HERE = PurePosixPath(".")
NEVER = float("inf")
QUICK = pytest.mark.timeout(60)
"""The refused ways of reading these took minutes, hours or for ever."""


def plan_of(root: Path, files: dict[str, object], **settings: object):
    return make_plan(make_job("https://example.org/a", **settings), write_project(root, files))


@pytest.mark.parametrize("name", ["package.json", "next.config.js"])
def test_a_file_that_is_too_large_to_be_parsed_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    files = {"package.json": {"dependencies": {"next": "16"}}, name: "[" + "[]," * (MAX_FILE_BYTES // 3) + "[]]"}
    with pytest.raises(BuildFailed, match=rf"{name} has more than 1 MiB"):
        plan_of(tmp_path, files)


@pytest.mark.parametrize("text", ["[" * 300_000, '{"a":' * 100_000])
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BuildFailed, match="nested too deeply"):
        plan_of(tmp_path, {"package.json": text})


def test_a_lockfile_may_be_large_as_only_its_beginning_is_read(tmp_path: Path) -> None:
    text = "lockfileVersion: '6.0'\n" + "#" * MAX_FILE_BYTES
    found = choose_manager(write_project(tmp_path, {"package.json": "{}", "pnpm-lock.yaml": text}), HERE)
    assert found.manager.lock == 6


def test_of_a_node_version_only_the_beginning_is_read(tmp_path: Path) -> None:
    files = {"package.json": "{}", ".nvmrc": "22\n" + "#" * MAX_FILE_BYTES}
    wish, _ = read_wish(None, write_project(tmp_path, files), HERE)
    assert wish is not None
    assert wish.range.text == "22"


def test_angular_names_few_outputs(tmp_path: Path) -> None:
    outputs = ",".join(f'"outputPath":"o/{number}"' for number in range(30_000))
    found = plan_of(tmp_path, {"package.json": {"devDependencies": {"@angular/cli": "20"}}, "angular.json": outputs})
    assert len(found.outputs) < 60


HOSTILE_CONFIGS = [
    ("next", "next.config.js", "output:" * 28_000),
    ("next", "next.config.js", "output" + " " * 200_000 + ":"),
    ("next", "next.config.js", "/*" * 100_000),
    ("next", "next.config.js", "output:" + " '" * 100_000),
    ("@tanstack/react-start", "vite.config.ts", "spa:{" * 40_000),
    ("@tanstack/react-start", "vite.config.ts", "spa:{" + "enabled:" * 25_000),
    ("astro", "astro.config.mjs", 'output:"' * 25_000),
    ("nuxt", "nuxt.config.ts", "preset:'" + "-" * 200_000),
    ("nitropack", "nitro.config.ts", "preset: " * 25_000),
]


@QUICK
@pytest.mark.parametrize(("framework", "name", "text"), HOSTILE_CONFIGS)
def test_a_configuration_is_searched_in_linear_time(tmp_path: Path, framework: str, name: str, text: str) -> None:
    build = "nuxt build " * 50_000 + "--prerender"
    files = {"package.json": {"dependencies": {framework: "1"}, "scripts": {"build": build}}, name: text}
    assert plan_of(tmp_path, files, output_directory="dist").outputs == ("dist",)


@QUICK
def test_workspaces_are_matched_in_bounded_time(tmp_path: Path) -> None:
    patterns = [f"*{number}" + "*a" * 50 for number in range(3000)] + ["*a" * 100_000, "apps/*"]
    files = {"package.json": {"workspaces": patterns}, "yarn.lock": "", "apps/site/package.json": "{}"}
    found = choose_manager(write_project(tmp_path, files), PurePosixPath("apps/site"))
    assert str(found.root) == "apps/site"


@QUICK
@pytest.mark.parametrize("name", [".map" * 63 + "!", "-" * 100_000 + "!", "a" * 100_000, "_" * 100_000 + "é"])
def test_a_name_is_judged_in_linear_time(name: str) -> None:
    assert not bears_digest(name)


def test_folders_without_end_are_not_all_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "MAX_NAMES", 10)
    for number in range(30):
        (tmp_path / f"{number:02}").mkdir()
    assert Checkout(tmp_path).folders() == [f"{number:02}" for number in range(10)]


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink("x", path)])
def test_an_output_of_folders_or_links_without_end_is_refused(tmp_path: Path, make) -> None:
    for number in range(30):
        make(tmp_path / str(number))
    with pytest.raises(BuildFailed, match="more than 20 files, folders and links"):
        collect_output(tmp_path, HERE, Limits(10, 100, 100), is_source=False, deadline=NEVER)


def test_collecting_ends_with_the_time_of_the_build(tmp_path: Path) -> None:
    write_project(tmp_path, {"a": "x"})
    with pytest.raises(TimeoutError):
        collect_output(tmp_path, HERE, Limits(10, 100, 100), is_source=False, deadline=time.monotonic())


def test_a_folder_takes_a_block_of_the_disk_whatever_the_file_system_says(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).mkdir()
    assert disk_use(tmp_path, 2**50) >= 100 * 4096


def test_a_package_json_of_numbers_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"package\.json can't be read"):
        plan_of(tmp_path, {"package.json": json.dumps({"a": 1})[:-2] + "1" * 10_000 + "}"})
