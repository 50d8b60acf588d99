"""Sockets of a build in basic: among its own processes, and to nothing else of the machine."""

from __future__ import annotations

import errno
import socket
import tempfile
from pathlib import Path

import pytest

from tests.hostile.confined import Outcome, a_sandbox, processes_with, run, run_as_ordinary, run_python, start

BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
SERVE_AND_FETCH = """
const http = require('http');
const server = http.createServer((_, answer) => answer.end('served')).listen(Number(process.argv[1]), async () => {
  const port = Number(process.argv[1]) || server.address().port;
  for (const host of process.argv.slice(2))
    console.log(await (await fetch(`http://${host}:${port}/`)).text());
  server.close();
});
"""
SERVE_ON_PATH = """
const net = require('net'), fs = require('fs');
process.umask(0o077);
const path = process.argv[1];
const server = net.createServer((socket) => socket.end('served')).listen(path, () => {
  net.connect(path).on('data', (data) => {
    console.log(String(data), server.address(), (fs.statSync(path).mode & 0o777).toString(8));
    server.close();
  });
});
"""
TRY = """
import errno, os, sys
from socket import *
import socket
def tries(name, attempt):
    try:
        attempt()
        print(name, "done")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"""
BLOCKING = """
import os, socket, threading
server = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
    os._exit(0)
peer = server.accept()[0]
print(peer.recv(1), peer.recv(1))
"""
PASS_DESCRIPTORS = """
import os, socket
server = socket.socket(socket.AF_UNIX)
server.bind("passing")
server.listen()
if os.fork() == 0:
    with socket.socket(socket.AF_UNIX) as client, open("note", "w") as note:
        client.connect("passing")
        socket.send_fds(client, [b"x"], [note.fileno()])
    os._exit(0)
os.write(socket.recv_fds(server.accept()[0], 1, 1)[1][0], b"passed")
print(open("note").read())
"""
MANY = """
import socket
for _ in range(3000):
    socket.socket().close()
held = []
try:
    while True:
        held.append(socket.socket())
except OSError as error:
    print(error.errno, len(held))
held.clear()
socket.socket()
print("again")
"""
CONNECT_TO_FULL = """
import errno, socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
place = server.getsockname()
clients = [socket.socket() for _ in range(4)]
for client in clients:
    client.setblocking(False)
    last = client.connect_ex(place)
with open("/proc/net/tcp") as file:
    sockets = [line.split() for line in file]
requests = [fields for fields in sockets if fields[2].endswith(f":{place[1]:04X}") and fields[3] == "02"]
print(errno.errorcode[last], len(requests))
"""
SHARE_A_SOCKET = """
import ctypes, struct, threading
libc = ctypes.CDLL(None)
server = socket.create_server(("127.0.0.1", 0))
place = struct.pack("=H", AF_INET) + struct.pack("!H4s8x", server.getsockname()[1], bytes([127, 0, 0, 1]))
def share(shared, address):
    libc.connect(shared.fileno(), address, 16)
for _ in range(40):  # fewer than its backlog
    with socket.socket() as shared:
        threads = [threading.Thread(target=share, args=(shared, address)) for address in (bytes(16), place) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
print("answered")
"""
BOTH_KINDS = """
import asyncio, sys
from pathlib import Path
from tests.hostile.confined import a_sandbox, run_python
async def main():
    *programs, folder = sys.argv[1:]
    for program in programs:
        outcome = await run_python(a_sandbox("basic", Path(folder)), program)
        print(outcome.output + outcome.errors, end="")
asyncio.run(main())
"""
KILL_PARENT = """
import os, signal
try:
    os.kill(os.getppid(), signal.SIGKILL)
except OSError as error:
    print(error.errno)
"""


@BOTH
@pytest.mark.parametrize("port", ["0", "8123"])
async def test_a_build_reaches_the_port_that_it_listens_on(tmp_path: Path, grade: str, port: str) -> None:
    hosts = ("localhost", "127.0.0.1", "[::1]")
    outcome = await run(a_sandbox(grade, tmp_path), "node", "-e", SERVE_AND_FETCH, "--", port, *hosts)
    assert (outcome.output, outcome.errors) == ("served\n" * 3, "")


@BOTH
async def test_a_build_reaches_its_own_unix_sockets(tmp_path: Path, grade: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    path = sandbox.path(tmp_path / "work" / "x.pipe")
    outcome = await run(sandbox, "node", "-e", SERVE_ON_PATH, "--", path)
    assert (outcome.output, outcome.errors) == (f"served {path} 700\n", "")


@BOTH
async def test_a_connection_that_a_process_waits_for_ends_with_that_process(tmp_path: Path, grade: str) -> None:
    assert (await run_python(a_sandbox(grade, tmp_path), BLOCKING)).output == "b'x' b''\n"


@BOTH
async def test_processes_of_a_build_pass_descriptors(tmp_path: Path, grade: str) -> None:
    assert (await run_python(a_sandbox(grade, tmp_path), PASS_DESCRIPTORS)).output == "passed\n"


def test_a_build_of_an_ordinary_account_has_sockets_of_its_own() -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = run_as_ordinary(BOTH_KINDS, BLOCKING, PASS_DESCRIPTORS, folder, folder=Path(folder))
    assert done.stdout == "b'x' b''\npassed\n", done.stderr


async def tried(tmp_path: Path, program: str, *arguments: str) -> Outcome:
    return await run_python(a_sandbox("basic", tmp_path), TRY + program, *arguments)


async def test_a_port_is_free_if_only_another_program_has_it(tmp_path: Path) -> None:
    """Concurrent builds, and programs of the machine, do not collide with a build's port 3000."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = """
place = ("127.0.0.1", int(sys.argv[1]))
tries("taken by another", lambda: create_connection(place))
server = create_server(place)
tries("own", lambda: create_connection(place))
tries("own again", lambda: create_server(place))
server.close()
tries("closed", lambda: create_connection(place))
tries("reopened", lambda: create_server(place))
"""
        outcome = await tried(tmp_path, program, str(port))
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken.accept()
    expected = ["taken by another ECONNREFUSED", "own done", "own again EADDRINUSE", "closed ECONNREFUSED"]
    assert (outcome.output.splitlines(), outcome.errors) == ([*expected, "reopened done"], "")


async def test_what_listens_is_on_loopback_alone(tmp_path: Path) -> None:
    program = """
for family, host in ((AF_INET, ""), (AF_INET6, "::"), (AF_INET6, "::1")):
    with socket.socket(family) as opened:
        opened.bind((host, 0))
        print(opened.getsockname()[0])
with socket.socket() as unbound:
    unbound.listen()
    print(unbound.getsockname()[0])
tries("foreign", lambda: socket.socket().bind(("192.0.2.1", 0)))
tries("privileged", lambda: socket.socket().bind(("127.0.0.1", 443)))
tries("udp", lambda: socket.socket(AF_INET, SOCK_DGRAM).bind(("127.0.0.1", 0)))
"""
    outcome = await tried(tmp_path, program)
    addresses = ["127.0.0.1", "::ffff:127.0.0.1", "::1", "127.0.0.1"]
    refused = ["foreign EADDRNOTAVAIL", "privileged EACCES", "udp EACCES"]
    assert (outcome.output.splitlines(), outcome.errors) == ([*addresses, *refused], "")


async def test_a_socket_that_was_disconnected_still_listens_on_loopback_alone(tmp_path: Path) -> None:
    """connect with AF_UNSPEC gives up a port, after which listen takes another."""
    program = """
import ctypes
with socket.socket() as opened:
    opened.bind(("127.0.0.1", 0))
    ctypes.CDLL(None).connect(opened.fileno(), bytes(16), 16)
    opened.listen()
    print(opened.getsockname()[0])
"""
    assert (await tried(tmp_path, program)).output == "127.0.0.1\n"


async def test_a_socket_whose_connect_has_failed_listens_on_loopback_alone(tmp_path: Path) -> None:
    """The kernel has given up its port by then, while the socket still names one."""
    program = """
with socket.socket() as opened:
    tries("connect", lambda: opened.connect(("127.0.0.1", int(sys.argv[1]))))
    opened.listen()
    print(opened.getsockname()[0])
"""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        sandbox = a_sandbox("basic", tmp_path, [f"registry.example:{port}"])
        outcome = await run_python(sandbox, TRY + program, str(port))
    assert (outcome.output, outcome.errors) == ("connect ECONNREFUSED\n127.0.0.1\n", "")


async def test_an_address_without_a_family_binds_nothing(tmp_path: Path) -> None:
    """Linux takes it for an IPv4 address on all interfaces."""
    program = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
for family in (AF_INET, AF_INET6):
    with socket.socket(family) as opened:
        libc.bind(opened.fileno(), struct.pack("=H", 0) + struct.pack("!H24x", 18123), 28)
        print(errno.errorcode[ctypes.get_errno()], opened.getsockname()[1])
"""
    assert (await tried(tmp_path, program)).output == "EINVAL 0\n" * 2


async def test_a_connect_that_finds_no_room_is_given_up(tmp_path: Path) -> None:
    """Linux would repeat its request after a second, to the socket that has the port by then."""
    outcome = await run_python(a_sandbox("basic", tmp_path), CONNECT_TO_FULL)
    assert (outcome.output, outcome.errors) == ("ECONNREFUSED 0\n", "")


async def test_a_connect_waits_for_room_at_a_listener(tmp_path: Path) -> None:
    program = """
import threading
server = socket.create_server(("127.0.0.1", 0), backlog=0)
clients = [socket.socket() for _ in range(8)]
connects = [threading.Thread(target=client.connect, args=(server.getsockname(),)) for client in clients]
for connect in connects:
    connect.start()
peers = [server.accept()[0] for _ in clients]
for connect in connects:
    connect.join()
print(len(peers))
"""
    outcome = await tried(tmp_path, program)
    assert (outcome.output, outcome.errors) == ("8\n", "")


async def test_a_connected_socket_keeps_its_descriptor_and_options(tmp_path: Path) -> None:
    program = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
client.setsockopt(SOL_SOCKET, SO_LINGER, bytes([1, 0, 0, 0, 7, 0, 0, 0]))
client.set_inheritable(True)
client.setblocking(False)
client.connect(server.getsockname())
print(client.getpeername() == server.getsockname(), client.getsockopt(IPPROTO_TCP, TCP_NODELAY),
    client.getsockopt(SOL_SOCKET, SO_LINGER, 8)[4], client.get_inheritable(), os.get_blocking(client.fileno()))
"""
    outcome = await tried(tmp_path, program)
    assert (outcome.output, outcome.errors) == ("True 1 7 True False\n", "")


async def test_a_disconnected_socket_connects_again(tmp_path: Path) -> None:
    program = """
import ctypes
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
print(ctypes.CDLL(None).connect(client.fileno(), bytes(16), 16))
tries("connect", lambda: client.connect(server.getsockname()))
"""
    assert (await tried(tmp_path, program)).output == "0\nconnect done\n"


async def test_each_connect_of_threads_that_share_a_socket_is_answered(tmp_path: Path) -> None:
    outcome = await tried(tmp_path, SHARE_A_SOCKET)
    assert (outcome.output, outcome.errors) == ("answered\n", "")


async def test_unix_sockets_that_cannot_be_told_apart_are_closed(tmp_path: Path) -> None:
    program = """
tries("abstract bind", lambda: socket.socket(AF_UNIX).bind("\\0name"))
tries("abstract connect", lambda: socket.socket(AF_UNIX).connect("\\0name"))
tries("chosen by the kernel", lambda: socket.socket(AF_UNIX).bind(""))
tries("datagram", lambda: socket.socket(AF_UNIX, SOCK_DGRAM))
tries("elsewhere", lambda: socket.socket(AF_UNIX).bind("/tmp/socket-of-a-build"))
tries("no socket", lambda: socket.socket(AF_UNIX).connect(os.path.abspath("file")))
tries("not there", lambda: socket.socket(AF_UNIX).connect(os.path.abspath("missing")))
"""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").touch()
    outcome = await tried(tmp_path, program)
    assert outcome.output.splitlines() == [
        *("abstract bind EACCES", "abstract connect EACCES", "chosen by the kernel EACCES", "datagram EPERM"),
        *("elsewhere EACCES", "no socket ECONNREFUSED", "not there ENOENT"),
    ]


async def test_wrong_arguments_are_answered_as_by_the_kernel(tmp_path: Path) -> None:
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
opened, pair = socket.socket(), socket.socketpair()[0]
far = ctypes.c_void_p(1)
for descriptor, address, length in ((99, bytes(16), 16), (0, bytes(16), 16), (opened.fileno(), far, 16),
        (opened.fileno(), bytes(16), -1), (opened.fileno(), bytes(999), 999), (opened.fileno(), b"\\2\\0", 2)):
    libc.connect(descriptor, address, length)
    print(errno.errorcode[ctypes.get_errno()])
"""
    outcome = await tried(tmp_path, program)
    assert outcome.output.split() == ["EBADF", "ENOTSOCK", "EFAULT", "EINVAL", "EINVAL", "EINVAL"], outcome.errors


async def test_a_build_that_takes_all_sockets_gets_some_again(tmp_path: Path) -> None:
    outcome = await run_python(a_sandbox("basic", tmp_path), MANY)
    number, held = map(int, outcome.output.split()[:2])
    assert (number, held > 1000, outcome.output.split()[2]) == (errno.EMFILE, True, "again")


async def test_a_command_has_no_descriptor_of_its_broker(tmp_path: Path) -> None:
    outcome = await run(a_sandbox("basic", tmp_path), "sh", "-c", "readlink /proc/self/fd/*")
    kinds = [line.split(":")[0] for line in outcome.output.splitlines() if not line.startswith("/proc")]
    assert kinds == ["/dev/null", "pipe", "pipe"]


async def test_a_build_does_not_signal_its_broker(tmp_path: Path) -> None:
    outcome = await run_python(a_sandbox("basic", tmp_path), KILL_PARENT)
    assert (outcome.code, outcome.output) == (0, f"{errno.EPERM}\n")


async def test_a_connection_that_never_comes_about_delays_no_end(tmp_path: Path) -> None:
    program = """
import socket
server = socket.socket(socket.AF_UNIX)
server.bind("full")
server.listen(0)
print("up", flush=True)
while True:
    socket.socket(socket.AF_UNIX).connect("full")
"""
    sandbox = a_sandbox("basic", tmp_path)
    process = await start(sandbox, "python3", "-c", program, "marker-full-4711")
    await process.stdout.readline()
    await sandbox.kill_all()
    assert processes_with("marker-full-4711") == []
