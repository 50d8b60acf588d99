"""The install cache: when it is used, and what its key depends on."""

import dataclasses
import os
from pathlib import PurePosixPath

import pytest

from builder.archive import Unpackable
from builder.cache import find_packages, is_installed, plan_use
from builder.detect import make_plan
from builder.protocol.calls import Variable
from builder.toolchain import Toolchain
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

PACKAGE = {"name": "site", "scripts": {"build": "node build.js"}, "dependencies": {"a": "^1.0.0"}}
SITE = {"package.json": PACKAGE, "package-lock.json": {"lockfileVersion": 3}}
TOOLS = Toolchain({}, versions=("24.1.0", "npm 11.0.0"))


@pytest.fixture
def use(tmp_path):
    """How a build of these files uses the cache."""

    def use(files=None, toolchain=TOOLS, **job):
        made = make_job("https://example.org/a.git", **job)
        number = len(list(tmp_path.iterdir()))
        checkout = write_project(tmp_path / str(number), {**SITE, **(files or {})})
        plan = make_plan(made, checkout)
        return plan_use(plan, plan.manager, toolchain, checkout, made)

    return use


def variable(value, *, is_secret=False):
    return Variable("NODE_ENV", value, is_secret, False)


def test_the_same_files_have_the_same_key(use):
    assert use().key == use({"README.md": "# Other"}).key


@pytest.mark.parametrize(
    "files",
    [
        {"package-lock.json": {"lockfileVersion": 2}},
        {"package.json": {**PACKAGE, "overrides": {"b": "1"}}},
        {"packages/one/package.json": {"name": "one"}},
        {".npmrc": "legacy-peer-deps=true"},
        {"packages/one/package.json": {"name": "one"}, "packages/one/.npmrc": "x=1"},
        {"patches/a.patch": "--- a"},
    ],
)
def test_another_lockfile_package_configuration_or_patch_has_another_key(use, files):
    assert use(files).key != use().key


@pytest.mark.parametrize("versions", [("24.1.1", "npm 11.0.0"), ("24.1.0", "npm 11.0.1")])
def test_another_node_or_manager_has_another_key(use, versions):
    assert use(toolchain=dataclasses.replace(TOOLS, versions=versions)).key != use().key


def test_another_platform_has_another_key(use, monkeypatch):
    here = use().key
    monkeypatch.setattr("builder.cache.platform.machine", lambda: "riscv64")
    assert use().key != here


def test_a_variable_changes_the_key_and_a_secret_value_does_not(use):
    keys = [use(variables=(variable(value),)).key for value in ("production", "development")]
    assert len({*keys, use().key}) == 3
    secret = [use(variables=(variable(value, is_secret=True),)).key for value in ("12345678", "87654321")]
    assert secret[0] == secret[1]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package.json": {**PACKAGE, "scripts": {"build": "b", "postinstall": "patch-package"}}}, "`postinstall`"),
        ({"packages/one/package.json": {"scripts": {"prepare": "tsc"}}}, r"packages/one/package\.json has the script"),
        ({"package.json": {**PACKAGE, "dependencies": {"a": "file:../a"}}}, "takes a from a folder"),
    ],
)
def test_an_installation_that_depends_on_other_files_is_not_cached(use, files, why):
    with pytest.raises(Unpackable, match=why):
        use(files)


def test_without_a_lockfile_nothing_is_cached(tmp_path):
    job = make_job("https://example.org/a.git")
    checkout = write_project(tmp_path, {"package.json": PACKAGE})
    plan = make_plan(job, checkout)
    with pytest.raises(Unpackable, match="no lockfile"):
        plan_use(plan, plan.manager, TOOLS, checkout, job)


def test_with_an_install_command_of_its_own_nothing_is_cached(use):
    with pytest.raises(Unpackable, match="install command of its own"):
        use(install_command="npm ci && make tools")


def test_the_folders_are_those_of_all_packages_and_of_the_framework(use):
    found = use({"packages/one/package.json": {"name": "one"}})
    assert [str(folder) for folder in found.modules] == ["node_modules", "packages/one/node_modules"]
    assert {str(folder) for folder in found.folders} == {
        *("node_modules", "packages/one/node_modules", ".next/cache", ".astro", ".cache")
    }


def test_gatsbys_cache_is_left_out_because_it_belongs_to_its_output(use):
    found = use({"package.json": {**PACKAGE, "dependencies": {"gatsby": "5"}}})
    assert PurePosixPath(".cache") not in found.folders


def test_links_to_folders_hold_no_packages(tmp_path):
    checkout = write_project(tmp_path / "site", {"package.json": {}})
    write_project(tmp_path / "outside", {"package.json": {}})
    os.symlink(tmp_path / "outside", tmp_path / "site/packages")
    assert find_packages(checkout, PurePosixPath()) == [PurePosixPath()]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("node_modules", False),
        ("node_modules/a/index.js", True),
        ("node_modules/.bin/a", True),
        ("node_modules/.pnpm/a@1/node_modules/a/x.js", True),
        ("node_modules/.vite/deps/x.js", False),
        ("node_modules/.cache/x", False),
        ("node_modules/a/node_modules", True),
        (".next/cache/x", False),
    ],
)
def test_the_installation_is_told_from_the_caches_of_programs(path, expected):
    assert is_installed(path, [PurePosixPath("node_modules")]) is expected
