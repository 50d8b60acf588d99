"""A clone that failed is told in words."""

import pytest

from builder.clone import explain
from builder.protocol.giturls import parse_git_url
from builder.sandbox import Limits

URL = parse_git_url("https://git.example/a.git", ())


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("error: unable to write file: No space left on device", "The builder's disk is full."),
        ("fatal: sha1 file '.git/index.lock' write error. Out of diskspace", "The builder's disk is full."),
        ("fatal: Remote branch x not found in upstream origin", "There is no branch or tag called 'x' in"),
        (
            "error: index-pack died of signal 25",
            "git clone ran out of disk: a build, and so each of its files, has at most",
        ),
        ("fatal: Out of memory, malloc failed", "git clone ran out of memory: a build has at most 4096 MiB."),
        ("fatal: unheard of", "git clone failed with exit code 128.\nfatal: unheard of"),
    ],
)
def test_a_failed_clone_is_told_in_words(tail: str, sentence: str) -> None:
    assert explain(URL, "x", 128, tail, Limits()).startswith(sentence)
