"""What a branch is: one rule for the API and the builder, and git's own word on it."""

import subprocess

import pytest

from builder.protocol.branches import check_branch

TAKEN = ["main", "feature/x-1", "v1.2.3", "release_2", "a@b", "@a", "日本", "x" * 255, "lock", "a.lockx", "a/-b"]
REFUSED_BY_GIT = [
    *("a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "*", "a[b", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a."),
    *("feature/.hidden", "a.lock", "a.lock/b", "x/a.lock/b", "a@{b", "@{-1}", "a\nb", "main\n", "a\x7f", ""),
]
REFUSED_BY_US_TOO = ["-main", "-c", "--upload-pack=touch x", "@", "x" * 256]


@pytest.mark.parametrize("branch", TAKEN)
def test_a_branch_that_git_takes_is_taken(branch):
    check_branch(branch)
    assert is_taken_by_git(branch)


@pytest.mark.parametrize("branch", REFUSED_BY_GIT)
def test_a_branch_that_git_refuses_is_refused(branch):
    with pytest.raises(ValueError, match="not a name that git accepts"):
        check_branch(branch)
    assert not is_taken_by_git(branch)


@pytest.mark.parametrize("branch", REFUSED_BY_US_TOO)
def test_an_option_a_shorthand_and_a_very_long_name_are_refused(branch):
    with pytest.raises(ValueError, match="not a name that git accepts"):
        check_branch(branch)


def is_taken_by_git(branch):
    return subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"], check=False).returncode == 0
