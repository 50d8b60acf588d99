"""A disk that is full or refuses: a sentence, nothing half, and it works again afterwards."""

import errno
import os

import pytest

from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.errors import Unavailable


async def one(piece):
    yield piece


@pytest.fixture
def objects(tmp_path):
    return DirectoryObjectStore(tmp_path / "objects")


@pytest.mark.parametrize("call", ["write", "fsync", "open", "rename"])
@pytest.mark.parametrize(
    ("number", "sentence"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EROFS, "cannot be")]
)
async def test_a_full_disk_is_unavailable_and_keeps_nothing(objects, tmp_path, monkeypatch, call, number, sentence):
    await objects.prepare()

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(Unavailable, match=sentence):
            await objects.put("a/b", one(b"hello"), size=5)
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
    await objects.put("a/b", one(b"hello"), size=5)


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("in the way")
    objects = DirectoryObjectStore(tmp_path / "file" / "objects")
    with pytest.raises(Unavailable):
        await objects.prepare()
