"""Secrets in the forms that programs print, wherever the output is cut."""

import base64
import dataclasses
import html
import json
import re
import urllib.parse

import hypothesis
import pytest
from hypothesis import strategies as st

from builder.masking import Masker
from builder.protocol.calls import Exit, Facts, Finish
from builder.protocol.lines import MAX_LINE_BYTES
from builder.protocol.steps import Step
from builder.splitting import LineSplitter

SECRET = "s3cr3t/+\"'ключ?&=€ x"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq\nend\nq2Xx9LmNoPqRsT==\n-----END KEY-----\n"

FORMS = {
    "exact": SECRET,
    "json": json.dumps(SECRET, ensure_ascii=False),
    "json in ascii": json.dumps(SECRET),
    "json in a string": json.dumps({"a": SECRET}, ensure_ascii=False),
    "php": json.dumps(SECRET, ensure_ascii=False).replace("/", "\\/"),
    "html": html.escape(SECRET),
    "javascript": "'" + SECRET.replace("'", "\\'") + "'",
    "quote": urllib.parse.quote(SECRET),
    "quote of everything": urllib.parse.quote(SECRET, ""),
    "plus": urllib.parse.quote_plus(SECRET),
    "lower": re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(SECRET, "")),
    "encodeURIComponent": urllib.parse.quote(SECRET, "!'()*~"),
    "encodeURI": urllib.parse.quote(SECRET, ";,/?:@&=+$#!'()*~"),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_every_form_is_masked(text: str) -> None:
    start, end = ("'", "'") if text.startswith("'") else ('"', '"') if text.startswith('"') else ("", "")
    assert text.startswith(start)
    masked = Masker([SECRET]).mask_text(f"before {text} after")
    assert "***" in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert "s3cr3t" not in masked
    assert end in masked


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user", b"user:", b"user:p"])
@pytest.mark.parametrize("after", [b"", b"\n", b"@host", b"12"])
def test_base64_is_masked_wherever_the_secret_stands_in_it(encode, before: bytes, after: bytes) -> None:
    secret = b"hunter2-hunter2??>>"
    encoded = encode(before + secret + after).decode()
    masked = Masker([secret.decode()]).mask_text(f"Basic {encoded}.")
    assert masked.startswith("Basic ")
    kept = masked.removeprefix("Basic ").removesuffix(".").split("***")
    assert len(kept) == 2
    assert max(len(part) for part in kept) <= 12


@pytest.mark.parametrize("columns", [64, 76])
def test_base64_in_columns_is_masked(columns: int) -> None:
    encoded = base64.b64encode(bytes(range(33, 126)) * 3).decode()
    lines = [encoded[at : at + columns] for at in range(0, len(encoded), columns)]
    masked = Masker([(bytes(range(33, 126)) * 3).decode()]).mask_text("\n".join(lines))
    assert set(masked.replace("=", "").split("\n")) == {"***"}


def test_a_value_of_several_lines_is_masked_line_by_line() -> None:
    masked = Masker([KEY]).mask_text(KEY)
    assert masked == "***\n***\nend\n***\n***\n"
    assert Masker([KEY]).mask_text("the end of the road") == "the end of the road"


def test_a_value_of_several_lines_is_masked_in_one_line_of_json() -> None:
    assert Masker([KEY]).mask_text(json.dumps({"key": KEY})) == '{"key": "***\\n"}'


def test_windows_line_ends_do_not_uncover_it() -> None:
    assert Masker([KEY.replace("\n", "\r\n")]).mask_text(KEY) == "***\n***\nend\n***\n***\n"


def test_overlapping_secrets_leave_nothing() -> None:
    assert Masker(["aaaabbbb", "bbbbcccc", "abbbbcccc9"]).mask_text("aaaabbbbcccc9") == "***"


def test_of_two_secrets_that_begin_alike_the_longer_is_masked() -> None:
    assert Masker(["password", "password-of-the-database"]).mask_text("password-of-the-database") == "***"


def test_other_text_stays_as_it_is() -> None:
    text = "s3cr3t is a word, and so is ключ \ud800"
    assert Masker([]).mask_text(text) == text
    assert Masker([SECRET]).mask_text("half of it: s3cr3t") == "half of it: s3cr3t"


def split(masker: Masker, content: bytes, cuts: list[int]) -> list[str]:
    splitter, lines, at = LineSplitter(masker), [], 0
    for cut in [*sorted(cuts), len(content)]:
        lines += splitter.feed(content[at:cut])
        at = max(at, cut)
    return lines + splitter.flush()


@pytest.mark.parametrize("at", range(len(SECRET.encode()) + 1))
def test_a_secret_across_two_pieces_of_output_is_masked(at: int) -> None:
    content = b"token " + SECRET.encode() + b" end\n"
    assert split(Masker([SECRET]), content, [6 + at]) == ["token *** end"]


@pytest.mark.parametrize("size", [701, 65536])
@pytest.mark.parametrize("around", range(-30, 31, 6))
def test_a_secret_where_a_long_line_is_cut_is_masked(around: int, size: int) -> None:
    before = b"." * (MAX_LINE_BYTES + around - 10)
    content = before + SECRET.encode() + b"." * 50_000 + SECRET.encode()
    lines = split(Masker([SECRET]), content, list(range(size, len(content), size)))
    joined = "".join(lines)
    assert joined == f"{'.' * len(before)}***{'.' * 50_000}***"
    assert max(len(line.encode()) for line in lines) <= MAX_LINE_BYTES


def test_a_long_run_of_one_letter_is_not_held_back() -> None:
    splitter = LineSplitter(Masker(["aaaaaaaa"]))
    seen = [line for _ in range(100) for line in splitter.feed(b"a" * 65536)] + splitter.flush()
    assert set("".join(seen)) == {"*"}


def test_the_longer_of_two_secrets_is_masked_although_it_goes_on_later() -> None:
    short, long = "a-secret", "a-secret-and-its-long-end"
    content = b"." * (MAX_LINE_BYTES + 40) + long.encode() + b"." * 100
    for cut in range(MAX_LINE_BYTES + 30, len(content)):
        joined = "".join(split(Masker([short, long]), content, [cut]))
        assert joined == f"{'.' * (MAX_LINE_BYTES + 40)}***{'.' * 100}"


PIECES = st.lists(
    st.one_of(
        st.sampled_from([SECRET, KEY, "a-secret", "a-secret-with-more", "\n", "\r\n", "\x1b[1m", "é"]),
        st.text("ab\n .", max_size=30),
        st.integers(1, 40_000).map("x".__mul__),
    ),
    max_size=12,
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(PIECES, st.lists(st.integers(0, 100_000), max_size=8))
def test_no_cut_uncovers_a_secret_or_loses_other_text(pieces: list[str], cuts: list[int]) -> None:
    content = "".join(pieces).encode()
    masker = Masker([SECRET, KEY, "a-secret", "a-secret-with-more"])
    cuts = [cut for cut in cuts if cut < len(content)]
    shown = "".join(split(masker, content, cuts))
    assert "s3cr3t" not in shown
    assert "MIIEpAIB" not in shown
    assert "-with-more" not in shown
    assert shown == "".join(split(masker, content, []))


def test_reasons_and_facts_are_masked_and_words_of_the_protocol_are_not() -> None:
    masker = Masker(["hunter2-hunter2", "collect-and-more"])
    finish = Finish(Exit.FAILED, 3, reason="exit: hunter2-hunter2", step=Step.COLLECT, exit_code=1)
    assert masker.mask_message(finish) == dataclasses.replace(finish, reason="exit: ***")
    facts = masker.mask_message(Facts(commit_message="add hunter2-hunter2"))
    assert facts == Facts(commit_message="add ***")
    assert Masker().mask_message(finish) is finish
