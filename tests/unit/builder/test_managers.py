"""The package manager is told by the lockfile."""

from pathlib import PurePosixPath

import pytest

from builder.managers import choose_manager
from tests.unit.builder.projects import write_project

HERE = PurePosixPath(".")


@pytest.mark.parametrize(
    ("files", "package", "install"),
    [
        ({"package-lock.json": "{}"}, "", "npm ci"),
        ({"npm-shrinkwrap.json": "{}"}, "", "npm ci"),
        ({}, "", "npm install"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "pnpm@10.34.9", "pnpm install --frozen-lockfile"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, "pnpm@8.15.9", "pnpm install --frozen-lockfile"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, "yarn@1.22.22", "yarn install --frozen-lockfile --non-interactive"),
        ({"yarn.lock": "__metadata:\n  version: 10\n"}, "@yarnpkg/cli-dist@4.18.1", "yarn install --immutable"),
        ({"yarn.lock": "__metadata:\n  version: 8\n"}, "@yarnpkg/cli-dist@4.9.2", "yarn install --immutable"),
        ({"yarn.lock": "__metadata:\n  version: 6\n"}, "@yarnpkg/cli-dist@3.8.7", "yarn install --immutable"),
        ({"bun.lock": "{}"}, "bun@1.4.5", "bun install --frozen-lockfile"),
        ({"bun.lockb": "x"}, "bun@1.4.5", "bun install --frozen-lockfile"),
    ],
)
def test_the_lockfile_decides(tmp_path, files, package, install):
    choice = choose_manager(write_project(tmp_path, {"package.json": {}, **files}), HERE)
    assert (choice.manager.package, " ".join(choice.install)) == (package, install)


def test_of_several_lockfiles_one_wins_and_the_log_says_which(tmp_path):
    files = {"package.json": {}, "package-lock.json": "{}", "pnpm-lock.yaml": ""}
    choice = choose_manager(write_project(tmp_path, files), HERE)
    assert choice.manager.name == "pnpm"
    assert "pnpm-lock.yaml is used, not package-lock.json" in choice.notes[0]


def test_of_several_lockfiles_the_named_manager_wins(tmp_path):
    files = {"package.json": {"packageManager": "npm@11.0.0"}, "package-lock.json": "{}", "pnpm-lock.yaml": ""}
    assert choose_manager(write_project(tmp_path, files), HERE).manager.name == "npm"


def test_without_a_lockfile_the_log_says_so(tmp_path):
    assert "no lockfile" in choose_manager(write_project(tmp_path, {"package.json": {}}), HERE).notes[0]


@pytest.mark.parametrize(
    ("field", "package", "note"),
    [
        ("pnpm@10.12.1", "pnpm@10.12.1", ""),
        ("pnpm@10.12.1+sha512.abc", "pnpm@10.12.1", ""),
        ("pnpm@12.0.0", "pnpm@10.34.9", "asks for pnpm 12.0.0; 10.34.9 is used"),
        ("pnpm@$(id)", "pnpm@10.34.9", "not understood"),
        ("yarn@4.0.0", "pnpm@10.34.9", ""),
    ],
)
def test_the_version_of_the_field_is_honoured_within_a_major(tmp_path, field, package, note):
    files = {"package.json": {"packageManager": field}, "pnpm-lock.yaml": "lockfileVersion: '9.0'"}
    choice = choose_manager(write_project(tmp_path, files), HERE)
    assert choice.manager.package == package
    assert note in " ".join(choice.notes)


@pytest.mark.parametrize(
    ("root_files", "expected"),
    [
        ({"package.json": {"workspaces": ["apps/*"]}, "package-lock.json": "{}"}, "."),
        ({"package.json": {"workspaces": {"packages": ["./apps/**"]}}, "yarn.lock": ""}, "."),
        ({"package.json": {}, "pnpm-lock.yaml": "", "pnpm-workspace.yaml": ""}, "."),
        ({"package.json": {"workspaces": ["libs/*"]}, "package-lock.json": "{}"}, "apps/site"),
        ({"package.json": {"workspaces": ["apps/*", "!apps/site"]}, "package-lock.json": "{}"}, "apps/site"),
        ({"package.json": {}, "package-lock.json": "{}"}, "apps/site"),
        ({}, "apps/site"),
    ],
)
def test_a_member_of_a_workspace_is_installed_at_its_root(tmp_path, root_files, expected):
    checkout = write_project(tmp_path, {"apps/site/package.json": {}, **root_files})
    assert str(choose_manager(checkout, PurePosixPath("apps/site")).root) == expected
