"""The package manager is told by the lockfile."""

from pathlib import PurePosixPath

import pytest

from builder.managers import Manager, choose_manager
from tests.unit.builder.projects import write_project

HERE = PurePosixPath(".")


NODE_24 = (24, 19, 0)
NODE_20 = (20, 20, 2)


@pytest.mark.parametrize(
    ("files", "version", "install"),
    [
        ({"package-lock.json": "{}"}, "11.6.2", "npm ci"),
        ({"npm-shrinkwrap.json": "{}"}, "11.6.2", "npm ci"),
        ({}, "11.6.2", "npm install"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "10.34.9", "pnpm install --frozen-lockfile"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, "8.15.9", "pnpm install --frozen-lockfile"),
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4\n"}, "7.33.7", "pnpm install --frozen-lockfile"),
        ({"pnpm-workspace.yaml": ""}, "10.34.9", "pnpm install --no-frozen-lockfile"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, "1.22.22", "yarn install --frozen-lockfile --non-interactive"),
        ({"yarn.lock": "__metadata:\n  version: 10\n"}, "4.18.1", "yarn install --immutable"),
        ({"yarn.lock": "__metadata:\n  version: 8\n"}, "4.9.2", "yarn install --immutable"),
        ({"yarn.lock": "__metadata:\n  version: 6\n"}, "3.8.7", "yarn install --immutable"),
        ({".yarnrc.yml": ""}, "4.18.1", "yarn install --no-immutable"),
        ({"bun.lock": "{}"}, "1.4.5", "bun install --frozen-lockfile"),
        ({"bun.lockb": "x"}, "1.4.5", "bun install --frozen-lockfile"),
    ],
)
def test_the_lockfile_decides(tmp_path, files, version, install):
    choice = choose_manager(write_project(tmp_path, {"package.json": {}, **files}), HERE)
    assert choice.manager.wanted == ""
    assert (choice.manager.fitting_version(NODE_24), " ".join(choice.install)) == (version, install)


@pytest.mark.parametrize(
    ("manager", "node", "version"),
    [
        (Manager("npm"), (14, 21, 3), "6.14.18"),
        (Manager("npm", lock=3), (14, 21, 3), "8.19.4"),
        (Manager("npm"), (16, 20, 2), "8.19.4"),
        (Manager("npm"), (18, 20, 8), "10.8.2"),
        (Manager("npm"), (18, 0, 0), "8.19.4"),
        (Manager("npm"), NODE_20, "10.8.2"),
        (Manager("npm"), (22, 1, 0), "10.9.4"),
        (Manager("npm"), (26, 0, 0), "11.6.2"),
        (Manager("pnpm"), (14, 21, 3), "7.33.7"),
        (Manager("pnpm"), (16, 20, 2), "8.15.9"),
        (Manager("pnpm"), (18, 12, 0), "10.34.9"),
        (Manager("yarn", lock=8), NODE_20, "4.9.2"),
    ],
)
def test_a_version_fits_the_node(manager, node, version):
    assert manager.fitting_version(node) == version


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
    ("package", "name", "wanted", "hashed"),
    [
        ({"packageManager": "pnpm@9.8.0"}, "pnpm", "9.8.0", ""),
        ({"packageManager": "pnpm@12.0.0+sha512.AbC1"}, "pnpm", "12.0.0", "sha512.abc1"),
        ({"packageManager": "pnpm@9"}, "pnpm", "9", ""),
        ({"packageManager": "npm@10.8.0"}, "npm", "10.8.0", ""),
        ({"packageManager": "yarn@1.22.22"}, "yarn", "1.22.22", ""),
        ({"packageManager": "bun@1.3.0-canary.1"}, "bun", "1.3.0-canary.1", ""),
        ({"devEngines": {"packageManager": {"name": "pnpm", "version": ">=9 <10"}}}, "pnpm", ">=9 <10", ""),
        ({"devEngines": {"packageManager": [{"name": "yarn"}]}}, "yarn", "", ""),
        (
            {"packageManager": "npm@10.8.0", "devEngines": {"packageManager": {"name": "yarn"}}},
            "npm",
            "10.8.0",
            "",
        ),
        ({"packageManager": "pnpm@$(id)"}, "npm", "", ""),
        ({"packageManager": "deno@2.0.0"}, "npm", "", ""),
        ({"devEngines": {"packageManager": "pnpm"}}, "npm", "", ""),
        ({"devEngines": []}, "npm", "", ""),
    ],
)
def test_the_manager_that_the_project_names_is_used(tmp_path, package, name, wanted, hashed):
    manager = choose_manager(write_project(tmp_path, {"package.json": package}), HERE).manager
    assert (manager.name, manager.wanted, manager.hash) == (name, wanted, hashed)


def test_a_manager_that_is_not_understood_is_named_in_the_log(tmp_path):
    notes = choose_manager(write_project(tmp_path, {"package.json": {"packageManager": "pnpm@x@y"}}), HERE).notes
    assert notes[0] == "The packageManager 'pnpm@x@y' is not understood and is ignored."


def test_the_named_manager_is_used_without_its_lockfile_and_the_log_says_so(tmp_path):
    files = {"package.json": {"packageManager": "yarn@4.0.0"}, "pnpm-lock.yaml": "lockfileVersion: '9.0'"}
    choice = choose_manager(write_project(tmp_path, files), HERE)
    assert choice.install == ("yarn", "install", "--no-immutable")
    assert choice.notes == (
        "yarn has no lockfile here (pnpm-lock.yaml is of another manager), so versions may differ from one build to the"
        " next.",
    )


@pytest.mark.parametrize(
    ("files", "is_classic"),
    [
        ({"package.json": {"packageManager": "yarn@1.22.22"}}, True),
        ({"package.json": {"packageManager": "yarn@^1.22"}}, True),
        ({"package.json": {"packageManager": "yarn@2.4.3"}}, False),
        ({"package.json": {"packageManager": "yarn@4.5.0"}, "yarn.lock": "# yarn lockfile v1\n"}, False),
        ({"package.json": {}, "yarn.lock": "# yarn lockfile v1\n"}, True),
        ({"package.json": {}, "yarn.lock": "# yarn lockfile v1\n", ".yarnrc.yml": "a: b"}, False),
        ({"package.json": {}, ".yarnrc.yml": "a: b"}, False),
    ],
)
def test_yarn_1_and_its_successors_are_told_apart(tmp_path, files, is_classic):
    assert choose_manager(write_project(tmp_path, files), HERE).manager.is_classic is is_classic


@pytest.mark.parametrize(
    ("files", "linker"),
    [
        ({}, "node-modules"),
        ({".yarnrc.yml": "enableScripts: true\n"}, "node-modules"),
        ({".yarnrc.yml": "nodeLinker: pnp\n"}, None),
        ({".yarnrc.yml": "a: b\nnodeLinker: 'pnpm'\n"}, None),
        ({".pnp.cjs": ""}, None),
    ],
)
def test_yarn_links_as_the_project_says(tmp_path, files, linker):
    checkout = write_project(tmp_path, {"package.json": {}, "yarn.lock": "__metadata:\n  version: 8\n", **files})
    assert choose_manager(checkout, HERE).manager.environment.get("YARN_NODE_LINKER") == linker


@pytest.mark.parametrize(
    ("files", "program"),
    [
        ({".yarnrc.yml": "yarnPath: .yarn/releases/yarn-3.6.4.cjs\n"}, ".yarn/releases/yarn-3.6.4.cjs"),
        ({".yarnrc.yml": 'a: b\nyarnPath: "./.yarn/releases/yarn-3.6.4.cjs"\n'}, ".yarn/releases/yarn-3.6.4.cjs"),
        ({".yarnrc": 'yarn-path ".yarn/releases/yarn-3.6.4.cjs"\n'}, ".yarn/releases/yarn-3.6.4.cjs"),
        ({".yarnrc.yml": "yarnPath: .yarn/releases/yarn-9.cjs\n"}, ""),
        ({".yarnrc.yml": "yarnPath: ../outside.cjs\n"}, ""),
        ({".yarnrc.yml": "yarnPath: /etc/x.js\n"}, ""),
    ],
)
def test_the_yarn_in_the_repository_is_run(tmp_path, files, program):
    (tmp_path / "outside.cjs").touch()
    more = {"package.json": {}, "yarn.lock": "", ".yarn/releases/yarn-3.6.4.cjs": ""}
    checkout = write_project(tmp_path / "src", more | files)
    assert choose_manager(checkout, HERE).manager.program == program


@pytest.mark.parametrize(
    ("files", "has_policy"),
    [({}, False), ({"package.json": {"allowScripts": {}}}, True), ({".npmrc": "allow-scripts=sharp\n"}, True)],
)
def test_a_projects_own_rule_for_install_scripts_is_seen(tmp_path, files, has_policy):
    checkout = write_project(tmp_path, {"package.json": {}} | files)
    assert choose_manager(checkout, HERE).manager.has_script_policy is has_policy


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
