"""Where a submodule is: relative URLs as git reads them, other schemes of well-known hosts as https."""

import pytest

from builder.protocol.giturls import parse_git_url
from builder.sources.submodules import resolve_url

SITE = parse_git_url("https://git.example:8443/group/site.git")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://github.com/a/theme", "https://github.com/a/theme"),
        ("../theme.git", "https://git.example:8443/group/theme.git"),
        ("../../other/theme", "https://git.example:8443/other/theme"),
        ("./theme", "https://git.example:8443/group/site.git/theme"),
        ("git@github.com:a/theme.git", "https://github.com/a/theme.git"),
        ("git@GitLab.com:/a/theme.git", "https://gitlab.com/a/theme.git"),
        ("ssh://git@codeberg.org:22/a/theme", "https://codeberg.org/a/theme"),
        ("git://github.com/a/theme", "https://github.com/a/theme"),
        ("http://github.com/a/theme", "https://github.com/a/theme"),
        ("git@git.example:other/theme.git", "https://git.example:8443/other/theme.git"),
    ],
)
def test_a_submodules_url_is_found(text, url):
    assert str(resolve_url(SITE, text)) == url


@pytest.mark.parametrize(
    "text",
    [
        "git@elsewhere.example:a/theme.git",
        "ssh://git@elsewhere.example/a",
        "git://elsewhere.example/a",
        "http://elsewhere.example/a",
        "file:///etc",
        "/etc",
        "C:\\theme",
        "ext::sh -c id",
        "https://169.254.169.254/a",
        "https://user:word@github.com/a/b",
        "--upload-pack=touch x",
        "-oProxyCommand=id@github.com:a/b",
        "../../../theme",
        "../../..//etc",
        "../theme/../../../x",
        "https://github.com/a/../../b",
        "",
    ],
)
def test_a_submodules_url_that_leads_elsewhere_is_refused(text):
    with pytest.raises(ValueError, match=r"git URL|SSH addresses|leads above|private address"):
        resolve_url(SITE, text)
