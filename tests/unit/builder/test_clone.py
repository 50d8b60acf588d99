"""A clone that failed is told in words."""

import pytest

from builder.clone import explain
from builder.protocol.giturls import parse_git_url

URL = parse_git_url("https://git.example/a.git", ())


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("error: unable to write file: No space left on device", "The builder's disk is full."),
        ("fatal: sha1 file '.git/index.lock' write error. Out of diskspace", "The builder's disk is full."),
        ("fatal: Remote branch x not found in upstream origin", "There is no branch or tag called 'x' in"),
        ("fatal: unheard of", "git clone failed with exit code 128.\nfatal: unheard of"),
    ],
)
def test_a_failed_clone_is_told_in_words(tail: str, sentence: str) -> None:
    assert explain(URL, "x", 128, tail).startswith(sentence)
