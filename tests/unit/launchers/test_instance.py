"""A gateway's name among those that share a database."""

import socket

import pytest

from gateway.engines.process.instance import instance_name
from gateway.errors import ConfigError


def test_it_is_the_same_after_each_start_and_under_another_host_name(tmp_path, monkeypatch):
    first = instance_name(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    assert instance_name(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["instance"]


def test_each_data_directory_has_its_own(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert instance_name(tmp_path / "one") != instance_name(tmp_path / "two")


@pytest.mark.parametrize("content", [b"", b"host name", b"\xff\xfe", b"0123456789abcde"])
def test_a_damaged_file_is_told_and_not_replaced_in_silence(tmp_path, content):
    (tmp_path / "instance").write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged: remove it"):
        instance_name(tmp_path)
    assert (tmp_path / "instance").read_bytes() == content
