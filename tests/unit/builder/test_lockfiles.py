"""What a lockfile lacks of package.json."""

from pathlib import PurePosixPath

import pytest

from builder.lockfiles import Difference, compare, is_refusal, listed, read_differences
from tests.unit.builder.projects import write_project

HERE = PurePosixPath(".")
EVEN = Difference("is-even", "1.0.0", None)
YARN_1 = (
    '# yarn lockfile v1\n\n\n"@a/b@^1.0.0", "@a/b@^1.1.0":\n  version "1.2.0"\n\nis-odd@3.0.1:\n  version "3.0.1"\n'
)
BERRY = '__metadata:\n  version: 8\n\n"@a/b@npm:^1.0.0":\n  version: 1.2.0\n\n"is-odd@npm:3.0.1":\n  version: 3.0.1\n'
BUN = """{"workspaces": {"": {"dependencies": {"is-odd": "3.0.1", "@a/b": "^1.0.0"}}},
"packages": {"@a/b": ["@a/b@1.2.0", ""]}}"""


@pytest.mark.parametrize(
    "line",
    [
        "npm error `npm ci` can only install packages when your package.json and package-lock.json or"
        " npm-shrinkwrap.json are in sync. Please update your lock file with `npm install` before continuing.",
        "npm ERR! cipm can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json"
        " are in sync.",
        ' ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile" because pnpm-lock.yaml is not up to date',
        ' ERR_PNPM_NO_LOCKFILE  Cannot install with "frozen-lockfile" because pnpm-lock.yaml is absent',
        "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.",
        "➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.",
        "error: lockfile had changes, but lockfile is frozen",
    ],
)
def test_a_manager_says_that_the_lockfile_does_not_fit(line):
    assert is_refusal(line)


@pytest.mark.parametrize("line", ["npm error code ERESOLVE", "ERR_PNPM_FETCH_404", "added 3 packages"])
def test_other_lines_say_nothing_of_the_lockfile(line):
    assert not is_refusal(line)


@pytest.mark.parametrize(
    ("line", "differences"),
    [
        ("npm error Missing: is-even@1.0.0 from lock file", [EVEN]),
        (
            "npm error Invalid: lock file's @a/b@1.0.0 does not satisfy @a/b@2.0.0",
            [Difference("@a/b", "2.0.0", "1.0.0")],
        ),
        (
            "* 2 dependencies were added: is-even@1.0.0, @a/b@^2.0.0",
            [EVEN, Difference("@a/b", "^2.0.0", None)],
        ),
        ("      * 1 dependency was added: is-even@1.0.0", [EVEN]),
        ("  - is-odd (lockfile: 3.0.0, manifest: ^3.0.1)", [Difference("is-odd", "^3.0.1", "3.0.0")]),
        (
            'specifiers in the lockfile ({"is-odd":"3.0.0"}) don\'t match specs in package.json'
            ' ({"is-odd":"3.0.1","is-even":"1.0.0"})',
            [Difference("is-odd", "3.0.1", "3.0.0"), EVEN],
        ),
        ("specifiers in the lockfile ({}}) don't match specs in package.json ({[})", []),
        ("added 3 packages", []),
    ],
)
def test_npm_and_pnpm_name_what_differs(line, differences):
    assert list(read_differences(line)) == differences


@pytest.mark.parametrize(("file", "lock"), [("yarn.lock", YARN_1), ("yarn.lock", BERRY), ("bun.lock", BUN)])
def test_the_direct_dependencies_are_compared(tmp_path, file, lock):
    wanted = {"is-odd": "3.0.1", "is-even": "1.0.0", "@a/b": "^2.0.0"}
    checkout = write_project(tmp_path, {file: lock, "package.json": {"dependencies": wanted}})
    assert list(compare(checkout, HERE, file)) == [EVEN, Difference("@a/b", "^2.0.0", "1.2.0")]


@pytest.mark.parametrize("files", [{}, {"package.json": {"dependencies": []}}, {"yarn.lock": "x" * 1_100_000}])
def test_what_cannot_be_compared_differs_in_nothing(tmp_path, files):
    assert list(compare(write_project(tmp_path, files), HERE, "yarn.lock")) == []


def test_few_differences_are_listed():
    assert listed([EVEN, Difference("a", "2", "1")]) == "is-even (wanted 1.0.0, not locked), a (wanted 2, locked 1)"
    assert listed([EVEN] * 9).endswith("not locked) and 4 more")
