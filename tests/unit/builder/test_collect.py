"""What of a build's output is published."""

import hashlib
from pathlib import PurePosixPath

import pytest

from builder.collect import (
    Limits,
    bears_digest,
    collect_output,
    is_single_page,
    keep_hashed,
    read_file,
)
from builder.errors import BuildFailed
from builder.protocol.calls import ManifestFile
from tests.unit.builder.projects import write_project

HERE = PurePosixPath(".")
DIST = PurePosixPath("dist")
AMPLE = Limits(files=100, bytes=10**6, file_bytes=10**6)


def collect(root, folder=DIST, limits=AMPLE, is_source=False):
    return collect_output(root, folder, limits, is_source=is_source, deadline=float("inf"))


def paths(output):
    return [file.path for file in output.files]


def listed(*names):
    return [ManifestFile(name, "0" * 64, 1) for name in names]


def test_files_come_with_digest_and_size_in_order(tmp_path):
    write_project(tmp_path, {"dist/b/ä.txt": "bb", "dist/a.html": "<p>", "dist/empty": ""})
    output = collect(tmp_path)
    assert [(file.path, file.size) for file in output.files] == [("a.html", 3), ("b/ä.txt", 2), ("empty", 0)]
    assert output.files[0].sha256 == hashlib.sha256(b"<p>").hexdigest()
    assert output.bytes == 5


def test_a_collected_file_can_be_read_again(tmp_path):
    write_project(tmp_path, {"dist/b/a.txt": "abc"})
    assert b"".join(read_file(tmp_path, DIST, "b/a.txt")) == b"abc"


def test_a_sparse_file_is_published_whole_and_the_log_names_it(tmp_path):
    write_project(tmp_path, {"dist/index.html": "<p>"})
    with (tmp_path / "dist" / "hole.bin").open("wb") as file:
        file.truncate(8 * 1024**2)
    output = collect(tmp_path, limits=Limits(files=9, bytes=9 * 1024**2, file_bytes=9 * 1024**2))
    assert output.bytes == 8 * 1024**2 + 3
    assert output.notes == (
        "Warning: hole.bin is sparse: it has 8388608 bytes and takes 0 on the disk here. All 8388608 are published.",
    )
    assert output.files[0].sha256 == hashlib.sha256(bytes(8 * 1024**2)).hexdigest()


def test_a_large_file_without_holes_is_not_worth_a_word(tmp_path):
    write_project(tmp_path, {"dist/full.bin": "x" * 2 * 1024**2})
    assert collect(tmp_path, limits=Limits(files=9, bytes=9 * 1024**2, file_bytes=9 * 1024**2)).notes == ()


def test_of_a_repository_only_what_is_meant_for_the_public_is_taken(tmp_path):
    names = ["index.html", ".env", ".git/config", "node_modules/x/a.js", ".well-known/a", "sub/.htpasswd", "sub/a.css"]
    write_project(tmp_path, dict.fromkeys(names, "x"))
    assert paths(collect(tmp_path, HERE, is_source=True)) == [".well-known/a", "index.html", "sub/a.css"]


def test_an_output_keeps_its_dotfiles_but_never_a_repository(tmp_path):
    write_project(tmp_path, dict.fromkeys(["dist/.nojekyll", "dist/.git/config", "dist/a"], "x"))
    assert paths(collect(tmp_path)) == [".nojekyll", "a"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(1, 100, 100), "more than 1 files"),
        (Limits(9, 15, 100), "more than 15 bytes"),
        (Limits(9, 100, 9), "a file of a site has at most 9"),
    ],
)
def test_a_limit_that_is_passed_fails_the_build(tmp_path, limits, reason):
    write_project(tmp_path, {"dist/a": "x" * 10, "dist/b": "x" * 10})
    with pytest.raises(BuildFailed, match=reason):
        collect(tmp_path, limits=limits)


def test_one_page_is_a_single_page_application_and_two_are_not():
    assert is_single_page(listed("index.html", "404.html", "a.js"))
    assert not is_single_page(listed("index.html", "about.html"))
    assert not is_single_page(listed("a.js"))


@pytest.mark.parametrize(
    "name",
    [
        "index-BkX3s9_1.js",
        "index-BkX3s9_1.js.map",
        "main.3f2a1b9c.chunk.css",
        "BkX3s9_1.js",
        "a.5e88Z1aQ.woff2",
        "0a1b2c3d/logo.svg",
    ],
)
def test_names_with_a_digest(name):
    assert bears_digest(name)


@pytest.mark.parametrize("name", ["index.js", "application.js", "some-component.css", "logo.svg", "img/photo.jpeg"])
def test_names_without_a_digest(name):
    assert not bears_digest(name)


def test_a_folder_with_files_of_the_projects_own_is_not_cached_for_ever():
    files = listed("assets/index-BkX3s9_1.js", "assets/logo.svg", "_astro/logo.svg", "index.html")
    assert keep_hashed(["assets/", "_astro/", "static/"], files) == ("_astro/",)
