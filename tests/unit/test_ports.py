"""Tests at the same time get ports of their own."""

import socket
import subprocess
import sys

from tests.engines.gateway import ROOT
from tests.engines.ports import BLOCK_PORTS, free_ports


def test_no_port_is_given_twice():
    assert set(free_ports(3)).isdisjoint(free_ports(3))


def test_a_port_on_which_something_listens_is_not_given():
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port + 1)):
        assert free_ports(1) != [port + 1]


def test_another_process_is_given_ports_of_another_block():
    (ours,) = free_ports(1)
    command = "import gc; from tests.engines.ports import free_ports; print(*free_ports(1)); gc.collect()"
    python = [sys.executable, "-W", "error", "-c", command]
    done = subprocess.run(python, cwd=ROOT, capture_output=True, text=True, check=True)
    theirs = int(done.stdout)
    assert done.stderr == ""
    assert ours // BLOCK_PORTS != theirs // BLOCK_PORTS
