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


def test_links_inside_the_output_are_copies_of_what_they_mean(tmp_path):
    write_project(tmp_path, {"dist/1.2/index.html": "<p>", "dist/1.2/css/a.css": "a", "dist/index.html": "home"})
    for link, target in {
        "latest": "1.2",
        "stable": "latest",
        "404.html": "index.html",
        "en/1.2": "../latest/",
        "1.2/logo.css": "./css/../css/a.css",
    }.items():
        (tmp_path / "dist" / link).parent.mkdir(exist_ok=True)
        (tmp_path / "dist" / link).symlink_to(target)
    output = collect(tmp_path)
    names = ["css/a.css", "index.html", "logo.css"]
    folders = ["1.2", "en/1.2", "latest", "stable"]
    assert paths(output) == [
        *sorted([f"{folder}/{name}" for folder in folders for name in names] + ["404.html", "index.html"])
    ]
    assert output.copies["stable/logo.css"] == "1.2/css/a.css"
    assert output.bytes == sum(file.size for file in output.files)
    assert output.notes == ()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/etc/passwd", "it links to nothing in the output"),
        ("../secret", "it links to nothing in the output"),
        ("../dist/a", "it links to nothing in the output"),
        ("missing", "it links to nothing in the output"),
        ("x", "it links to nothing in the output"),
        (".git/config", "it links to nothing in the output"),
        (".", "it links to a folder that holds it"),
        ("a/b/../..", "it links to a folder that holds it"),
    ],
)
def test_any_other_link_is_left_out_and_named(tmp_path, target, why):
    write_project(tmp_path, {"dist/a/b/c": "1", "secret": "2", "dist/.git/config": "3"})
    (tmp_path / "dist/x").symlink_to(target)
    output = collect(tmp_path)
    assert paths(output) == ["a/b/c"]
    assert output.notes == (f"Left out x: {why}.",)


def test_links_in_a_ring_end(tmp_path):
    write_project(tmp_path, {"dist/a/1": "1", "dist/b/2": "2"})
    (tmp_path / "dist/a/b").symlink_to("../b")
    (tmp_path / "dist/b/a").symlink_to("../a")
    assert paths(collect(tmp_path)) == ["a/1", "a/b/2", "a/b/a/1", "b/2", "b/a/1", "b/a/b/2"]


@pytest.mark.parametrize("leaf", [{"dist/f20/x": "1"}, {"dist/f20/.keep/y/z/w": ""}])
def test_links_that_multiply_are_limited(tmp_path, leaf):
    write_project(tmp_path, leaf)
    for number in range(20):
        (tmp_path / f"dist/f{number}").mkdir()
        for name in "ab":
            (tmp_path / f"dist/f{number}/{name}").symlink_to(f"../f{number + 1}")
    with pytest.raises(BuildFailed, match="more than 100 files"):
        collect(tmp_path)


def test_of_a_repository_a_link_shows_nothing_private(tmp_path):
    write_project(tmp_path, {"index.html": "<p>", ".env": "SECRET=1", "node_modules/x/a.js": ""})
    (tmp_path / "env.txt").symlink_to(".env")
    (tmp_path / "lib").symlink_to("node_modules/x")
    (tmp_path / "home.html").symlink_to("index.html")
    assert paths(collect(tmp_path, HERE, is_source=True)) == ["home.html", "index.html"]


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
