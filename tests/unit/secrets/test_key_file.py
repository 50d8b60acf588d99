"""The file of keys: private, whole, and read with sentences."""

import base64
import os
from pathlib import Path

import pytest

from gateway.config import Secret
from gateway.errors import ConfigError, Unavailable
from gateway.secrets.key_file import KeyFile, key_id, parse_keys
from gateway.secrets.ring import Ring

ONE, TWO = bytes(32), bytes(range(32))


def spelled(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def test_keys_come_back_in_order(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "data")
    file.write({"x": TWO, "y": ONE})
    assert list(file.read().items()) == [(key_id(TWO), TWO), (key_id(ONE), ONE)]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        KeyFile(tmp_path).write({"x": ONE})
    finally:
        os.umask(old)
    assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["secrets.key"]


def test_what_an_interrupted_write_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".secrets.key.new").write_text("half")
    KeyFile(tmp_path).write({"x": ONE})
    assert KeyFile(tmp_path).read() == {key_id(ONE): ONE}


@pytest.mark.parametrize("text", ["short", spelled(ONE)[:-2], spelled(ONE[:31]), f"{spelled(ONE)} hunter2hunter2"])
def test_a_wrong_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError, match=r"secrets\.key: key [12] is not the base64 form of 32 bytes") as refused:
        parse_keys(text, "secrets.key")
    assert text not in refused.value.sentence
    assert "hunter2" not in refused.value.sentence


def test_a_wrong_setting_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Ring(tmp_path, Secret("nonsense"))


async def test_a_broken_file_is_a_trouble_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").write_text("nonsense")
    with pytest.raises(Unavailable, match="key 1 is not the base64 form"):
        await Ring(tmp_path, Secret("")).reload()
    assert (tmp_path / "secrets.key").read_text() == "nonsense"


async def test_the_last_key_of_the_setting_is_the_newest(tmp_path: Path) -> None:
    KeyFile(tmp_path).write({"x": b"f" * 32})
    ring = Ring(tmp_path, Secret(spelled(ONE, TWO)))
    await ring.reload()
    assert ring.newest == key_id(TWO)
    assert ring.names == {key_id(ONE), key_id(TWO), key_id(b"f" * 32)}
