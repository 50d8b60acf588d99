"""Files in Git LFS come in the place of their pointers, or the log and the deployment say so."""

import pytest

from builder.errors import BuildFailed
from builder.protocol.calls import ManifestFile
from builder.sources.lfs import check_pointers
from tests.engines.git_server import git
from tests.engines.lfs_server import lfs_server

ATTRIBUTES = "*.png filter=lfs diff=lfs merge=lfs -text\n"


@pytest.fixture
async def lfs():
    async with lfs_server() as store:
        yield store


@pytest.fixture
def picture(server, lfs):
    """Makes a repository with a picture in LFS; its URL."""

    def make(pointer=None, **more):
        pointer = pointer or lfs.add(b"PNG" * 1000)
        files = {".gitattributes": ATTRIBUTES, "img/hero.png": pointer, ".lfsconfig": f"[lfs]\n\turl = {lfs.url}\n"}
        return server.create("site", files | more)

    return make


async def test_a_file_comes_in_the_place_of_its_pointer(bring, source, picture, log):
    commit = await bring(picture())
    assert (source / "img/hero.png").read_bytes() == b"PNG" * 1000
    assert (source / "img/hero.png").stat().st_mode & 0o777 == 0o644
    assert commit.pointers == {}
    assert "Fetching 1 files of Git LFS" in log.said
    assert git(source, "status", "--porcelain") == ""


async def test_the_same_file_at_two_paths_comes_to_both(bring, source, picture, lfs):
    await bring(picture(**{"copy.png": lfs.add(b"PNG" * 1000)}))
    assert (source / "copy.png").read_bytes() == (source / "img/hero.png").read_bytes()
    assert (source / "copy.png").stat().st_nlink == 1


async def test_the_server_is_beside_the_repository_if_no_other_is_named(server, bring, source, lfs):
    url = server.create("site", {".gitattributes": ATTRIBUTES, "a.png": lfs.add(b"PNG")})
    server.lfs = lfs
    await bring(url)
    assert (source / "a.png").read_bytes() == b"PNG"
    assert lfs.seen[0][0] == "/site.git/info/lfs/objects/batch"


async def test_a_redirect_to_another_server_takes_no_header_along(bring, source, picture, lfs):
    async with lfs_server() as storage:
        storage.add(b"PNG" * 1000)
        oid = next(iter(storage.objects))
        lfs.redirects[f"/lfs/objects/{oid}"] = f"{storage.url}/objects/{oid}"
        await bring(picture())
    assert lfs.seen[-1] == (f"/lfs/objects/{oid}", "given")
    assert storage.seen == [(f"/lfs/objects/{oid}", "")]
    assert (source / "img/hero.png").read_bytes() == b"PNG" * 1000


async def test_a_file_that_is_not_there_leaves_its_pointer_and_a_warning(bring, source, picture, lfs, log):
    url = picture()
    lfs.objects.clear()
    commit = await bring(url)
    assert list(commit.pointers.values()) == ["img/hero.png"]
    assert log.said[-1].startswith(
        "Warning: the content of img/hero.png could not be fetched from Git LFS, so a pointer is in its place. The"
        " server says: Object does not exist."
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 403}, "asks for a login, or its quota of Git LFS is used up"),
        ({"href": "http://169.254.169.254/latest"}, "names an address that is not accepted"),
        ({"href": "http://127.0.0.1:1"}, "could not be reached"),
    ],
)
async def test_what_the_server_refuses_is_told(bring, picture, lfs, log, change, words):
    url = picture()
    vars(lfs).update(change)
    await bring(url)
    assert words in log.said[-1]


@pytest.mark.parametrize("other", [b"png" * 1000, b"PNG" * 1001])
async def test_other_bytes_than_the_pointer_names_are_refused(bring, source, picture, lfs, log, other):
    url = picture()
    lfs.objects = dict.fromkeys(lfs.objects, other)
    await bring(url)
    assert "other bytes than the pointer names" in log.said[-1]
    assert (source / "img/hero.png").read_text().startswith("version https://git-lfs")


async def test_a_server_in_lfsconfig_that_is_not_accepted_is_told(bring, picture, log):
    await bring(picture(**{".lfsconfig": "[lfs]\n\turl = http://169.254.169.254/x\n"}))
    assert "The URL in .lfsconfig is not accepted. 169.254.169.254 is a private address" in log.said[-1]


async def test_files_beyond_the_disk_are_refused_before_they_are_fetched(bring, picture, lfs):
    pointer = lfs.add(b"PNG").replace("size 3", f"size {10**12}")
    with pytest.raises(BuildFailed, match=r"have 953674\.3 MiB\. With the rest of the repository that is more than"):
        await bring(picture(pointer))
    assert lfs.seen == []


async def test_a_file_of_a_submodule_comes_too(server, bring, source, picture, lfs):
    picture()
    sha = git(server.root / "site", "rev-parse", "HEAD").strip()
    server.create("outer", {".gitmodules": '[submodule "s"]\n\tpath = theme\n\turl = ../site\n'})
    git(server.root / "outer.work", "update-index", "--add", "--cacheinfo", f"160000,{sha},theme")
    (server.root / "outer.work/theme").mkdir()
    await bring(server.commit("outer", server.root / "outer.work", message="Theme"))
    assert (source / "theme/img/hero.png").read_bytes() == b"PNG" * 1000


def test_a_pointer_is_never_published():
    with pytest.raises(BuildFailed, match=r"dist/a\.png in the output is a pointer of Git LFS: the content of a\.png"):
        check_pointers([ManifestFile("x", "1" * 64, 1), ManifestFile("dist/a.png", "2" * 64, 1)], {"2" * 64: "a.png"})
