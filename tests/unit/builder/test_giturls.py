"""Which git URLs are taken, and which addresses they may lead to."""

import ipaddress

import pytest

from builder.protocol.giturls import check_allowed_hosts, is_allowed_address, is_public, parse_git_url, parse_ssh_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("HTTPS://GitHub.com:443/a/b.git", "https://github.com/a/b.git"),
        ("https://git.example.org.:8443/a", "https://git.example.org:8443/a"),
        ("https://münchen.example/ä", "https://xn--mnchen-3ya.example/%C3%A4"),
        ("https://example.org/~ada/site.git", "https://example.org/~ada/site.git"),
        ("https://1.1.1.1/x", "https://1.1.1.1/x"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
    ],
)
def test_what_a_builder_can_clone_is_taken(text, url):
    assert str(parse_git_url(text)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        " https://github.com/a/b",
        "https://github.com/a/b\n",
        "https://github.com/a\x00b",
        "https://github.com/a b",
        "https://github.com/a\u2028b",
        "https://github.com/" + "a" * 2048,
        "-chttps://github.com/a/b",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "ext::https://github.com/a",
        "fd::17",
        "file:///etc",
        "/etc",
        "../other",
        "C:\\sites",
        "ssh://git@github.com/a/b",
        "git://github.com/a/b",
        "git+ssh://github.com/a/b",
        "ftp://example.org/a",
        "git@github.com:a/b.git",
        "javascript:alert(1)",
        "https:github.com/a/b",
        "https:///a/b",
        "https://",
        "https://github.com",
        "https://github.com/",
        "https://user:secret@github.com/a/b",
        "https://github.com@127.0.0.1/a",
        "https://github.com\\@127.0.0.1/a",
        "https://github.com/a?b=c",
        "https://github.com/a#b",
        "https://github.com/a/../../b",
        "https://github.com/a/%2e%2e/b",
        "https://github.com/a%00b",
        "https://github.com/a%0ab",
        "https://github.com/a%5cb",
        "https://github.com/a%zz",
        "https://github.com/a<b>",
        "https://github.com:0/a",
        "https://github.com:65536/a",
        "https://github.com:22x/a",
        "https://github.com:-1/a",
        "https://git_hub..com/a",
        "https://%31%32%37.0.0.1/a",
        "https://exa mple.org/a",
        "https://[::1/a",
        "https://[::1]x/a",
        "https://[fe80::1%25eth0]/a",
        "https://[v1.x]/a",
        "https://256.0.0.1/a",
        "https://1.2.3.4.5/a",
        "https://0x/../a",
        "http://github.com/a/b",
        "\ud800https://github.com/a",
    ],
)
def test_what_is_not_a_plain_https_url_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"^[A-Z].*[^ ]$"):
        parse_git_url(text)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.01",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "１２７.0.0.1",
        "127。0。0。1",
        "ⓛocalhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
    ],
)
def test_a_private_address_is_refused_in_every_notation(host):
    with pytest.raises(ValueError, match="private address"):
        parse_git_url(f"https://{host}/a")


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:8123", "http://127.0.0.1:8123/a"),
        ("127.0.0.1", "http://127.0.0.1:1/a"),
        ("127.0.0.0/8", "http://localhost:8123/a"),
        ("[::1]:8123", "http://[::1]:8123/a"),
        ("git.internal", "http://git.internal/a"),
        ("git.internal:8080", "http://git.internal:8080/a"),
        ("10.0.0.0/8", "http://10.1.2.3/a"),
        ("10.0.0.0/8", "https://[::ffff:10.1.2.3]/a"),
    ],
)
def test_the_operator_opens_private_hosts_for_http_too(entry, url):
    assert parse_git_url(url, [entry]).path == "/a"


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("127.0.0.1:8123", "http://127.0.0.1:8124/a"),
        ("10.0.0.0/8", "http://192.168.0.1/a"),
        ("git.internal", "http://git.internal.example/a"),
    ],
)
def test_what_the_operator_did_not_open_stays_closed(entry, url):
    with pytest.raises(ValueError, match=r"\."):
        parse_git_url(url, [entry])


def test_a_name_that_resolves_to_a_private_address_is_not_followed():
    url = parse_git_url("https://rebound.example/a")
    assert not is_allowed_address(url, ipaddress.ip_address("127.0.0.1"), [])
    assert not is_allowed_address(url, ipaddress.ip_address("::ffff:10.0.0.1"), ["127.0.0.0/8"])
    assert is_allowed_address(url, ipaddress.ip_address("10.0.0.1"), ["rebound.example"])
    assert is_allowed_address(url, ipaddress.ip_address("140.82.112.3"), [])


def test_wrapped_public_addresses_are_public():
    assert is_public(ipaddress.ip_address("::ffff:1.1.1.1"))
    assert is_public(ipaddress.ip_address("2606:4700::1111"))


def test_an_entry_that_is_no_host_is_refused():
    with pytest.raises(ValueError, match="not a valid name"):
        check_allowed_hosts(["git.internal", "10.0.0.0/8", "[::1]:80", "a b"])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("git@github.com:owner/site.git", "ssh://git@github.com/owner/site.git"),
        ("github.com:owner/site", "ssh://git@github.com/owner/site"),
        ("ssh://git@Git.example:2222/owner/site", "ssh://git@git.example:2222/owner/site"),
        ("ssh://git.example/owner/site", "ssh://git@git.example/owner/site"),
    ],
)
def test_an_ssh_url_is_read(text, url):
    assert str(parse_ssh_url(text)) == url
    assert str(parse_ssh_url(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "-oProxyCommand=id@git.example:a",
        "ssh://-oProxyCommand=id/a",
        "ssh://-x@git.example/a",
        "git@-oProxyCommand=id:a",
        "git@10.0.0.1:a",
        "ssh://git@[::1]/a",
        "git@git.example:../a",
        "git@git.example:",
        "ssh://git:word@git.example/a",
        "https://git.example/a",
        "file:///etc",
        "git@git.example:a b",
        "git@git.example:a\nb",
        "",
    ],
)
def test_an_ssh_url_that_is_not_one_is_refused(text):
    with pytest.raises(ValueError, match=r"\."):
        parse_ssh_url(text)
