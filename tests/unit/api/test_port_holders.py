"""The program that listens on a port is named as far as this machine lets it be seen."""

import os
import socket

from gateway.wire import port_holders
from gateway.wire.port_holders import UNKNOWN, holder_of


def test_a_program_is_named_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert holder_of(listener.getsockname()[1]).endswith(f"(process {os.getpid()})")


def test_a_program_that_listens_on_ipv6_is_named():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert holder_of(listener.getsockname()[1]).endswith(f"(process {os.getpid()})")


def test_a_port_on_which_nothing_listens_has_no_holder():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert holder_of(port) == UNKNOWN


def test_a_program_whose_files_are_hidden_is_named_by_its_account(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    line = "0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1"
    (tmp_path / "net" / "tcp").write_text(f"head\n{line}\n")
    monkeypatch.setattr(port_holders, "PROC", tmp_path)
    assert holder_of(9001) == "a program of the account 'root'"


def test_without_proc_the_program_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(port_holders, "PROC", tmp_path)
    assert holder_of(9001) == UNKNOWN
