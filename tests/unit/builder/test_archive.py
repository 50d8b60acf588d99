"""Archives of saved installations: what they keep, and that a hostile one leads nowhere."""

import gzip
import io
import os
import time
from pathlib import PurePosixPath

import pytest

from builder.archive import END, FILE, FOLDER, LINK, MAGIC, RECORD, BadArchive, Limits, Unpackable, is_inside, pack
from builder.archive import unpack as unpack_archive

MODULES = PurePosixPath("node_modules")
LIMITS = Limits(entries=1000, bytes=10**6, deadline=time.monotonic() + 3600)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "node_modules/.bin").mkdir(parents=True)
    (folder / "node_modules/tool").mkdir(mode=0o750)
    (folder / "node_modules/tool/run.js").write_bytes(b"#!/usr/bin/env node\n" * 100)
    (folder / "node_modules/tool/run.js").chmod(0o755)
    (folder / "node_modules/tool/empty").touch()
    (folder / "node_modules/.bin/tool").symlink_to("../tool/run.js")
    os.utime(folder / "node_modules/tool", ns=(5, 1_700_000_000_123_456_789))
    return folder


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def packed(source, folders=(MODULES,), limits=LIMITS, check=lambda path, status: None):
    file = io.BytesIO()
    pack(source, folders, file, limits, check)
    file.seek(0)
    return file


def unpack(file, target, folders=(MODULES,), limits=LIMITS):
    return unpack_archive(file, target, folders, limits)


def forged(*records, end=None):
    """An archive of these (kind, path, content)."""
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb") as file:
        file.write(MAGIC)
        for kind, path, content in records:
            file.write(RECORD.pack(kind, 0o755, len(path.encode()), len(content), 0) + path.encode() + content)
        file.write(RECORD.pack(END, 0, 0, len(records) if end is None else end, 0))
    return io.BytesIO(body.getvalue())


ROOT = (FOLDER, "node_modules", b"")


def test_files_links_modes_and_times_are_kept(source, target):
    count = unpack(packed(source), target)
    assert (count.files, count.bytes) == (2, 2000)
    tool = target / "node_modules/tool"
    assert (tool / "run.js").read_bytes() == b"#!/usr/bin/env node\n" * 100
    assert [oct(path.stat().st_mode & 0o777) for path in (tool, tool / "run.js")] == ["0o750", "0o755"]
    assert tool.stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert os.readlink(target / "node_modules/.bin/tool") == "../tool/run.js"


def test_the_copy_shares_no_file_with_another(source, target):
    os.link(source / "node_modules/tool/run.js", source / "node_modules/tool/same.js")
    unpack(packed(source), target)
    names = ("run.js", "same.js")
    assert {(target / "node_modules/tool" / name).stat().st_nlink for name in names} == {1}


def test_a_folder_without_write_permission_is_filled(source, target):
    (source / "node_modules/tool").chmod(0o555)
    unpack(packed(source), target)
    assert (target / "node_modules/tool/run.js").stat().st_size == 2000


def test_what_is_neither_file_nor_folder_nor_link_is_left_out(source, target):
    os.mkfifo(source / "node_modules/pipe")
    unpack(packed(source), target)
    assert sorted(path.name for path in (target / "node_modules").iterdir()) == [".bin", "tool"]


@pytest.mark.parametrize("link", ["/etc/passwd", "../../outside", "../../../etc"])
def test_a_link_out_of_the_repository_is_not_packed(source, link):
    (source / "node_modules/link").symlink_to(link)
    with pytest.raises(Unpackable, match="node_modules/link is a link out of the repository"):
        packed(source)


def test_a_link_to_a_member_of_the_workspace_is_kept(source, target):
    (source / "node_modules/member").symlink_to("../packages/member")
    unpack(packed(source), target)
    assert os.readlink(target / "node_modules/member") == "../packages/member"


def test_a_link_in_place_of_the_folder_is_not_followed(source, tmp_path):
    (source / "node_modules").rename(tmp_path / "elsewhere")
    (source / "node_modules").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="node_modules"):
        packed(source)


@pytest.mark.parametrize("limits", [Limits(4, 10**6, LIMITS.deadline), Limits(1000, 1999, LIMITS.deadline)])
def test_more_than_the_limit_is_neither_packed_nor_unpacked(source, target, limits):
    with pytest.raises(Unpackable):
        packed(source, limits=limits)
    with pytest.raises(Unpackable):
        unpack(packed(source), target, limits=limits)


def test_the_deadline_ends_both(source, target):
    over = Limits(1000, 10**6, time.monotonic())
    with pytest.raises(TimeoutError):
        packed(source, limits=over)
    with pytest.raises(TimeoutError):
        unpack(packed(source), target, limits=over)


@pytest.mark.parametrize(
    "records",
    [
        [(FILE, "/etc/cron.d/x", b"x")],
        [(FOLDER, "../out", b"")],
        [ROOT, (FILE, "node_modules/../../out", b"x")],
        [ROOT, (FILE, "node_modules/./x", b"x")],
        [ROOT, (FILE, "node_modules//x", b"x")],
        [(FILE, "package.json", b"{}")],
        [ROOT, (FILE, "node_modules/a/b", b"x")],
        [ROOT, (LINK, "node_modules/a", b"/etc")],
        [ROOT, (LINK, "node_modules/a", b"../../..")],
        [ROOT, (LINK, "node_modules/a", b"."), (FILE, "node_modules/a/b", b"x")],
        [ROOT, (LINK, "node_modules/a", b"b" * 5000)],
        [ROOT, (b"c", "node_modules/device", b"")],
        [ROOT, (FILE, "node_modules/\0", b"x")],
    ],
)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(target, records):
    before = sorted(target.parent.iterdir())
    with pytest.raises(BadArchive):
        unpack(forged(*records), target)
    assert sorted(target.parent.iterdir()) == before
    assert {path.name for path in target.iterdir()} <= {"node_modules"}


def test_an_entry_never_replaces_another(target):
    with pytest.raises(FileExistsError):
        unpack(forged(ROOT, (FILE, "node_modules/a", b"1"), (FILE, "node_modules/a", b"2")), target)
    assert (target / "node_modules/a").read_bytes() == b"1"


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_written(target):
    body = MAGIC + RECORD.pack(FOLDER, 0o755, 12, 0, 0) + b"node_modules" + RECORD.pack(FILE, 0o644, 14, 2**60, 0)
    with pytest.raises(Unpackable):
        unpack(io.BytesIO(gzip.compress(body + b"node_modules/a")), target)
    assert list((target / "node_modules").iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_archive_is_refused(source, target, share):
    whole = packed(source).getvalue()
    with pytest.raises(BadArchive):
        unpack(io.BytesIO(whole[: int(len(whole) * share)]), target)


def test_an_archive_that_lacks_records_is_refused(target):
    with pytest.raises(BadArchive):
        unpack(forged(ROOT, end=2), target)


@pytest.mark.parametrize(
    "body",
    # The time is fixed, because workers must collect the same names.
    [b"<html>", gzip.compress(b"something else", mtime=0), gzip.compress(MAGIC, mtime=0)],
)
def test_what_is_no_archive_is_refused(target, body):
    with pytest.raises(BadArchive):
        unpack(io.BytesIO(body), target)


@pytest.mark.parametrize(
    ("path", "link", "expected"),
    [
        ("node_modules/a", "b", True),
        ("node_modules/a", "../packages/a", True),
        ("node_modules/a", "..", True),
        ("node_modules/a", "../..", False),
        ("a", "..", False),
        ("node_modules/a", "/b", False),
    ],
)
def test_a_link_is_inside_by_its_words(path, link, expected):
    assert is_inside(path, link) is expected
