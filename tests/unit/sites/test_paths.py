"""Paths: decoded once, and refused where two readers could differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.sites.paths import check_file_path, decode_path, encode_path, is_canonical, is_file_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/a%20b", "/a b"),
        ("/%C3%B2", "/ò"),
        ("/%2541", "/%41"),
        ("/%252e%252e/x", "/%2e%2e/x"),
        ("/a..b/...", "/a..b/..."),
        ("//x", "//x"),
        ("/%3Fa", "/?a"),
    ],
)
def test_a_path_is_decoded_exactly_once(raw: str, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        *("", "x", "*", "http://a/b"),
        *("/..", "/../x", "/x/..", "/a/../b", "/%2e%2e", "/%2E%2e/x", "/.%2e/x", "/a/%2e%2e/b"),
        *("/%00", "/a%00.html", "/%0a", "/%0D%0ASet-Cookie:x", "/%1f", "/%7f", "/%C2%85", "/a\x00"),
        *("/a\\b", "/%5c", "/..%5c..", "/%5C%5Cevil.example"),
        *("/%2f", "/%2Fetc", "/a%2fb", "/..%2f"),
        *("/%", "/%2", "/%zz", "/a%"),
        *("/%ff", "/%C3", "/%ed%a0%80", "/\udcff"),
    ],
)
def test_a_tricky_path_is_invalid(raw: str) -> None:
    with pytest.raises(Invalid):
        decode_path(raw)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\/"), min_size=1))
def test_an_encoded_path_decodes_to_itself_and_is_canonical(name: str) -> None:
    path = f"/{name}"
    if name != "..":
        assert decode_path(encode_path(path)) == path
        assert is_canonical(encode_path(path), path)


@pytest.mark.parametrize("raw", ["/@a/b,c", "/%40a/b%2Cc", "/%40a/b%2cc"])
def test_letters_that_may_stand_for_themselves_are_canonical_both_ways(raw: str) -> None:
    assert is_canonical(raw, "/@a/b,c")


@pytest.mark.parametrize(("raw", "path"), [("/[a]", "/[a]"), ("/%61", "/a"), ("/ò", "/ò")])
def test_other_spellings_are_not_canonical(raw: str, path: str) -> None:
    assert not is_canonical(raw, path)


@pytest.mark.parametrize("path", ["index.html", "a/b c/ò.txt", "bin%2F", "a?b", ".well-known/x", "a..b"])
def test_a_file_may_be_called_like_this(path: str) -> None:
    assert check_file_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "a\\b", "a\0", "a\n", "\ud800", "a" * 1025]
)
def test_a_file_may_not_be_called_like_this(path: str) -> None:
    assert not is_file_path(path)
