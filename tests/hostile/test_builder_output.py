"""A build's output that tries to reach beyond itself."""

import math
import os
import socket
from pathlib import Path, PurePosixPath

import pytest

from builder.checkout import Checkout, open_file, opened_folder
from builder.collect import Limits, collect_output, read_file
from builder.errors import BuildFailed

DIST = PurePosixPath("dist")
AMPLE = Limits(files=100, bytes=10**9, file_bytes=10**9)


@pytest.fixture
def dist(tmp_path):
    folder = tmp_path / "repo" / "dist"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<p>")
    return folder


def collected(dist):
    output = collect_output(dist.parent, DIST, AMPLE, is_source=False, deadline=math.inf)
    return [file.path for file in output.files], "\n".join(output.notes)


def make_link(dist):
    (dist / "x").symlink_to("/etc/passwd")


def make_folder_link(dist):
    (dist / "x").symlink_to("/etc")


def make_process_link(dist):
    (dist / "x").symlink_to("/proc/self/environ")


def make_loop(dist):
    (dist / "x").symlink_to(".")


def make_fifo(dist):
    os.mkfifo(dist / "x")


def make_hard_link(dist):
    os.link(dist / "index.html", dist.parent / "elsewhere")
    (dist / "index.html").rename(dist / "x")
    (dist / "index.html").write_text("<p>")


def make_newline(dist):
    (dist / "a\nb").write_text("")
    (dist / "x").symlink_to("/")


def make_backslash(dist):
    (dist / "..\\x").write_text("")


def make_not_utf8(dist):
    Path(os.fsdecode(os.fsencode(dist) + b"/x\xff")).write_text("")


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        make_folder_link,
        make_process_link,
        make_loop,
        make_fifo,
        make_hard_link,
        make_newline,
        make_backslash,
        make_not_utf8,
    ],
)
def test_what_is_no_plain_file_is_left_out_with_a_line(dist, make):
    make(dist)
    paths, notes = collected(dist)
    assert paths == ["index.html"]
    assert "Left out" in notes
    assert "x" in notes


def test_a_socket_is_left_out(dist, monkeypatch):
    monkeypatch.chdir(dist)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("x")
        assert collected(dist) == (["index.html"], "Left out x: it is not a regular file.")


def test_many_left_out_files_make_few_lines(dist):
    for number in range(150):
        (dist / f"link{number}").symlink_to("/etc/passwd")
    _, notes = collected(dist)
    assert len(notes.splitlines()) == 21
    assert notes.endswith("130 more were left out.")


def test_an_endless_sparse_file_is_refused_without_reading_it(dist):
    with (dist / "huge").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BuildFailed, match="huge has 1099511627776 bytes"):
        collected(dist)


def test_a_very_deep_tree_is_cut(dist):
    deep = dist
    for _ in range(150):
        deep = deep / "d"
        deep.mkdir()
    (deep / "x").write_text("x")
    paths, notes = collected(dist)
    assert paths == ["index.html"]
    assert "Left out d/d/d" in notes


def test_an_output_folder_that_is_a_link_is_not_followed(dist):
    (dist.parent / "out").symlink_to("/etc")
    with pytest.raises(OSError, match="out"):
        collect_output(dist.parent, PurePosixPath("out"), AMPLE, is_source=False, deadline=math.inf)
    assert not Checkout(dist.parent).is_folder(PurePosixPath("out/ssl"))


def test_a_file_that_became_a_link_is_not_uploaded(dist):
    collected(dist)
    (dist / "index.html").unlink()
    (dist / "index.html").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match=r"index\.html"):
        list(read_file(dist.parent, DIST, "index.html"))


def test_a_file_that_became_a_fifo_does_not_hang_the_builder(dist):
    (dist / "index.html").unlink()
    os.mkfifo(dist / "index.html")
    with opened_folder(dist.parent, DIST) as folder, pytest.raises(OSError, match="not a regular file"):
        open_file("index.html", folder)
    assert Checkout(dist.parent).read(DIST / "index.html") is None
