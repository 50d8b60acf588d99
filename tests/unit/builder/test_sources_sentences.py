"""A git that failed is explained in a sentence."""

import pytest

from builder.protocol.giturls import parse_git_url
from builder.sandbox import Limits
from builder.sources.program import Done
from builder.sources.sentences import explain

URL = parse_git_url("https://git.example/a.git", ())


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("error: unable to write file: No space left on device", "The builder's disk is full."),
        ("fatal: sha1 file '.git/index.lock' write error. Out of diskspace", "The builder's disk is full."),
        (
            "error: index-pack died of signal 25",
            "git clone ran out of disk: a build, and so each of its files, has at most",
        ),
        ("fatal: Out of memory, malloc failed", "git clone ran out of memory: a build has at most 4096 MiB."),
        ("fatal: unheard of", "git clone failed with exit code 128.\nfatal: unheard of"),
    ],
)
def test_a_failed_clone_is_told_in_words(tail: str, sentence: str) -> None:
    assert explain(URL, Done(128, tail), Limits()).startswith(sentence)
