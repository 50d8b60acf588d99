"""Bytes that commands print become lines."""

import pytest

from builder.protocol.lines import MAX_LINE_BYTES, split_text
from builder.splitting import LineSplitter, strip_ansi


def split(*chunks):
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.flush()


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a\nb"], ["a", "b"]),
        ([b"a\n\nb\n"], ["a", "", "b"]),
        ([b"a\r\nb\r\n"], ["a", "b"]),
        ([b"a\r", b"\nb"], ["a", "b"]),
        ([b"10%\r50%\r100%\n"], ["100%"]),
        ([b"10%\r", b"50%\r", b"100%\r\n"], ["100%"]),
        ([b"10%\r50%\r"], ["50%"]),
        ([b"\xc3", b"\xa4\n"], ["ä"]),
        ([b"\xff\xfe\n"], ["\ufffd\ufffd"]),
        ([], []),
    ],
)
def test_lines_are_what_a_terminal_would_leave(chunks, lines):
    assert split(*chunks) == lines


def test_a_huge_line_is_split_without_loss_between_characters():
    text = "aä€🙂" * 50_000
    lines = split(*[text.encode()[start : start + 1000] for start in range(0, len(text.encode()), 1000)])
    assert "".join(lines) == text
    assert max(len(line.encode()) for line in lines) <= MAX_LINE_BYTES


def test_a_huge_line_of_broken_bytes_keeps_its_length():
    lines = split(b"\xff" * 100_000)
    assert sum(map(len, lines)) == 100_000
    assert max(len(line.encode()) for line in lines) <= MAX_LINE_BYTES


def test_progress_without_an_end_is_not_held():
    splitter = LineSplitter()
    assert splitter.feed(b"working...\r" * 100_000) == []
    assert splitter.feed(b"done\n") == ["done"]


def test_text_is_cut_between_characters():
    assert split_text("ää", 3) == ["ä", "ä"]
    assert split_text("") == [""]


def test_colours_are_taken_out_of_reasons():
    assert strip_ansi("\x1b[31merror\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07") == "error link"
