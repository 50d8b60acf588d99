"""Which git is refused."""

import pytest

from builder.protocol.git_version import refuse_old_git


@pytest.mark.parametrize("printed", ["git version 2.37.0", "git version 2.39.5 (Apple Git-154)", "git version 3.0.0"])
def test_a_git_that_keeps_to_the_checked_addresses_is_used(printed):
    assert refuse_old_git(printed) is None


@pytest.mark.parametrize("printed", ["git version 2.36.6", "git version 2.34.1", "git version 1.9", "", "hub 2.99"])
def test_an_older_or_unknown_git_is_refused(printed):
    assert "builds need git 2.37 or newer" in refuse_old_git(printed)
