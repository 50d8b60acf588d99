"""What a command sees and may do inside a sandbox."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from builder.sandbox import basic
from builder.sandbox.addresses import NAME_SERVERS, own_addresses
from builder.sandbox.ownership import build_account
from tests.hostile.confined import LIMITS, a_sandbox, all_arguments, run, run_python, start

BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
with_own_account = pytest.mark.skipif(build_account() is None, reason="only root has accounts to give")
with_ipv6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="the machine has no IPv6")
NAME_SERVER_PORTS = [
    *(("udp", "53", True), ("tcp", "53", True)),
    *(("tcp", port, False) for port in ("22", "80", "443", "853")),
    *(("udp", "123", False), ("icmp", "0", False)),
]
CONNECT = """
import socket, sys
with socket.socket() as opened:
    opened.settimeout(1)
    print(opened.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
CONNECT_BY_INTERFACE = """
import errno, socket, sys
for _, interface in socket.if_nameindex():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, kind) as opened:
            opened.settimeout(1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if interface != "lo":
                print(errno.errorcode.get(opened.connect_ex((sys.argv[1], 22))))
"""
OWN_LOOPBACK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], 0), family=family)
socket.create_connection(server.getsockname()[:2], 2)
print("connected")
"""
STREAM_PAIR = """
import socket
ours, theirs = socket.socketpair()
ours.send(b"x")
print(theirs.recv(1))
"""
IO_URING = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 1, ctypes.create_string_buffer(256)), ctypes.get_errno())
"""
LIST_ABOVE = """
import os, pathlib, sys
for folder in pathlib.Path(sys.argv[1]).parents:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    print(os.listdir(opened))
    os.close(opened)
"""
MEDDLE = """
import os, resource, sys
other = int(sys.argv[1])
for meddle in (
    lambda: os.setpriority(os.PRIO_PROCESS, other, 15),
    lambda: resource.prlimit(other, resource.RLIMIT_NOFILE),
    lambda: os.sched_setaffinity(other, {0}),
    lambda: os.kill(other, 0),
):
    try:
        meddle()
        print("reached")
    except OSError:
        pass
"""


@BOTH
async def test_a_command_tells_its_exit_code_and_both_streams(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (outcome.code, outcome.output, outcome.errors) == (7, "out\n", "err\n")


@BOTH
async def test_a_command_that_does_not_exist_is_127(tmp_path: Path, grade: str) -> None:
    assert (await run(a_sandbox(grade, tmp_path), "sh", "-c", "no-such-command")).code == 127


@BOTH
async def test_a_signal_is_128_and_its_number(tmp_path: Path, grade: str) -> None:
    assert (await run(a_sandbox(grade, tmp_path), "sh", "-c", "kill -TERM $$")).code == 143


@BOTH
async def test_nothing_can_be_read_from_stdin(tmp_path: Path, grade: str) -> None:
    assert (await run(a_sandbox(grade, tmp_path), "sh", "-c", "wc -c")).output.strip() == "0"


@BOTH
async def test_the_environment_is_what_was_given(tmp_path: Path, grade: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDSPACE_TOKEN", "secret")
    outcome = await run(a_sandbox(grade, tmp_path), "env", GIVEN="a value\nof two lines")
    names = {line.partition("=")[0] for line in outcome.output.splitlines() if "=" in line}
    assert names - {"PWD", "TMPDIR"} == {"PATH", "GIVEN"}


@BOTH
async def test_no_argument_list_of_the_machine_shows_the_environment(tmp_path: Path, grade: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    process = await start(sandbox, "sh", "-c", "echo up; sleep 20", SECRET="hidden-4711")
    await process.stdout.readline()
    seen = [arguments for arguments in all_arguments().values() if "hidden-4711" in arguments]
    await sandbox.kill_all()
    assert seen == []


@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_a_shells_command_is_not_in_its_arguments_in_basic(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basic, "hides_processes", lambda: False)
    sandbox = a_sandbox("basic", tmp_path)
    process = await start(sandbox, shell, "-c", "echo up $SHELL_COMMAND; sleep 20; : hidden-4711")
    line = await process.stdout.readline()
    seen = [arguments for arguments in all_arguments().values() if "hidden-4711" in arguments]
    await sandbox.kill_all()
    assert (line, seen) == (b"up\n", [])


@BOTH
async def test_the_work_folder_is_the_commands_own(tmp_path: Path, grade: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    (tmp_path / "work" / "given").mkdir()
    (tmp_path / "work" / "given" / "file").write_text("before")
    outcome = await run(sandbox, "sh", "-c", f"cd {sandbox.path(tmp_path / 'work' / 'given')} && echo after > file")
    assert (outcome.errors, (tmp_path / "work" / "given" / "file").read_text()) == ("", "after\n")


@BOTH
async def test_there_is_room_for_temporary_files(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", "echo x > $(mktemp) && echo done")
    assert outcome.output == "done\n"


@BOTH
@pytest.mark.parametrize("path", ["/etc/shadow", "/root/.bashrc", "/var/log", "/run", "/home"])
async def test_the_machines_other_files_cannot_be_read(tmp_path: Path, grade: str, path: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", f"cat {path} 2>/dev/null || ls -A {path}/ 2>/dev/null")
    assert outcome.output.replace("build\n", "") == ""


@BOTH
@pytest.mark.parametrize("path", ["/usr/x", "/etc/x", "/x", "/dev/shm/../x", "/proc/self/../x"])
async def test_nothing_can_be_written_elsewhere(tmp_path: Path, grade: str, path: str) -> None:
    assert (await run(a_sandbox(grade, tmp_path), "touch", path)).code != 0


async def test_the_shared_memory_of_the_machine_is_closed_in_basic(tmp_path: Path) -> None:
    assert (await run(a_sandbox("basic", tmp_path), "touch", "/dev/shm/x")).code != 0
    assert not Path("/dev/shm/x").exists()


@BOTH
async def test_links_lead_nowhere_new(tmp_path: Path, grade: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(secret)
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", f"cat link; ln {secret} hard && cat hard")
    assert outcome.output == ""


@BOTH
async def test_a_read_only_folder_is_seen_at_its_place_and_not_changed(tmp_path: Path, grade: str) -> None:
    tools = tmp_path / "closed" / "tools"
    tools.mkdir(parents=True)
    (tools / "tool").write_text("#!/bin/sh\necho works\n")
    (tools / "tool").chmod(0o755)
    (tmp_path / "closed" / "beside").write_text("beside")
    tmp_path.chmod(0o700)
    script = f"{tools}/tool; touch {tools}/new; cat {tmp_path}/closed/beside"
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", script, read_only=[tools])
    assert outcome.output == "works\n"
    assert [path.name for path in tools.iterdir()] == ["tool"]


@BOTH
async def test_no_privilege_is_held_or_gained(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in outcome.output.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert {fields[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert fields["Uid"].split()[0] != "0"


@BOTH
async def test_files_of_the_build_belong_to_the_builds_account(tmp_path: Path, grade: str) -> None:
    await run(a_sandbox(grade, tmp_path), "touch", "made")
    expected = build_account() or os.geteuid()
    assert (tmp_path / "work" / "made").stat().st_uid == expected


@BOTH
async def test_no_namespace_can_be_made(tmp_path: Path, grade: str) -> None:
    assert (await run(a_sandbox(grade, tmp_path), "unshare", "--user", "true")).code != 0


@BOTH
async def test_a_build_does_not_meddle_with_others(tmp_path: Path, grade: str) -> None:
    with subprocess.Popen(["sleep", "30"]) as other:
        outcome = await run_python(a_sandbox(grade, tmp_path), MEDDLE, str(other.pid))
        other.kill()
    assert (outcome.code, outcome.output) == (0, "")


async def test_the_memory_of_process_1_is_out_of_reach_in_strong(tmp_path: Path) -> None:
    """That is bwrap, under the build's account."""
    outcome = await run(a_sandbox("strong", tmp_path), "sh", "-c", "ls /proc/1; : >> /proc/1/mem && echo open")
    assert outcome.output == ""


@BOTH
@pytest.mark.parametrize("name", ["oom_score_adj", "autogroup", "timerslack_ns", "comm"])
async def test_nothing_is_set_through_proc(tmp_path: Path, grade: str, name: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", f"echo 0 > /proc/self/{name} && echo open")
    assert outcome.output == ""


@with_own_account
async def test_processes_of_others_are_not_listed_in_basic(tmp_path: Path) -> None:
    outcome = await run(a_sandbox("basic", tmp_path), "sh", "-c", "cd /proc && echo [0-9]*")
    assert len(outcome.output.split()) == 1


@BOTH
async def test_children_can_be_talked_to(tmp_path: Path, grade: str) -> None:
    assert (await run_python(a_sandbox(grade, tmp_path), STREAM_PAIR)).output == "b'x'\n"


async def test_io_uring_is_closed_in_basic(tmp_path: Path) -> None:
    assert (await run_python(a_sandbox("basic", tmp_path), IO_URING)).output == "-1 1\n"


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=with_ipv6)])
async def test_strong_has_a_loopback_of_its_own(tmp_path: Path, address: str) -> None:
    assert (await run_python(a_sandbox("strong", tmp_path), OWN_LOOPBACK, address)).output == "connected\n"


@BOTH
async def test_what_listens_on_the_machines_own_addresses_is_out_of_reach(tmp_path: Path, grade: str) -> None:
    addresses = [address for address in own_addresses() if ":" not in address]
    with socket.create_server(("", 0)) as server:
        server.setblocking(False)
        port = str(server.getsockname()[1])
        outcomes = [await run_python(a_sandbox(grade, tmp_path), CONNECT, each, port) for each in {*addresses}]
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "0" not in {outcome.output.strip() for outcome in outcomes}


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"])
async def test_private_addresses_have_no_route_in_strong(tmp_path: Path, address: str) -> None:
    assert (await run(a_sandbox("strong", tmp_path), "ip", "route", "get", address)).code != 0


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "169.254.169.254", "127.0.0.1", "224.0.0.251", NAME_SERVERS[4]),
        *(pytest.param(address, marks=with_ipv6) for address in ("fd12::3", "::1", "fe80::1")),
    ],
)
async def test_a_socket_that_names_its_interface_reaches_no_private_address_in_strong(
    tmp_path: Path, address: str
) -> None:
    """The kernel takes no notice of the routes that deny: it takes the address for a neighbour's."""
    outcome = await run_python(a_sandbox("strong", tmp_path), CONNECT_BY_INTERFACE, address)
    assert outcome.output.split() == ["EPERM", "EPERM"]


@pytest.mark.parametrize(("protocol", "port", "is_open"), NAME_SERVER_PORTS)
async def test_the_name_server_has_a_route_for_questions_alone(
    tmp_path: Path, protocol: str, port: str, is_open: bool
) -> None:
    command = ("ip", "route", "get", NAME_SERVERS[4], "ipproto", protocol, "dport", port)
    assert ((await run(a_sandbox("strong", tmp_path), *command)).code == 0) == is_open


async def test_the_machines_own_name_servers_are_not_named_in_strong(tmp_path: Path) -> None:
    outcome = await run(a_sandbox("strong", tmp_path), "grep", "nameserver", "/etc/resolv.conf")
    assert outcome.output.split()[1::2] in ([address] for address in NAME_SERVERS.values())


async def test_a_private_host_that_was_allowed_has_a_route(tmp_path: Path) -> None:
    sandbox = a_sandbox("strong", tmp_path, ["10.1.2.3:8443", "192.168.7.0/24"])
    assert (await run(sandbox, "ip", "route", "get", "10.1.2.3")).code == 0
    assert (await run(sandbox, "ip", "route", "get", "192.168.7.9")).code == 0
    assert (await run(sandbox, "ip", "route", "get", "10.1.2.4")).code != 0


async def test_of_a_private_host_that_was_allowed_with_a_port_only_that_port_is_open_in_strong(tmp_path: Path) -> None:
    sandbox = a_sandbox("strong", tmp_path, ["10.1.2.3:8443", "10.1.2.4"])
    places = (("10.1.2.3", "22"), ("10.1.2.3", "8443"), ("10.1.2.4", "22"))
    codes = [(await run_python(sandbox, CONNECT, *place)).output.strip() for place in places]
    assert [code == str(errno.EPERM) for code in codes] == [True, False, False]


async def test_neighbours_have_no_route_of_their_own(tmp_path: Path) -> None:
    outcome = await run(a_sandbox("strong", tmp_path), "ip", "-4", "route")
    assert "proto kernel" not in outcome.output


async def test_the_network_cannot_be_opened_again_from_inside(tmp_path: Path) -> None:
    outcome = await run(a_sandbox("strong", tmp_path), "ip", "route", "del", "unreachable", "10.0.0.0/8")
    assert "Operation not permitted" in outcome.errors


async def test_metadata_services_are_out_of_reach_in_basic(tmp_path: Path) -> None:
    outcome = await run_python(a_sandbox("basic", tmp_path), CONNECT, "169.254.169.254", "80")
    # Refused by the broker, as each address of this machine's own links.
    assert outcome.output.strip() == str(errno.ECONNREFUSED)


async def test_a_port_that_was_allowed_is_open_in_basic(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcome = await run_python(
            a_sandbox("basic", tmp_path, [f"registry.example:{port}"]), CONNECT, "127.0.0.1", str(port)
        )
    assert outcome.output.strip() == "0"


@BOTH
async def test_deep_folders_of_an_earlier_command_do_no_harm(tmp_path: Path, grade: str) -> None:
    sandbox = a_sandbox(grade, tmp_path)
    dig = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
    await run_python(sandbox, dig, limits=LIMITS)
    assert (await run(sandbox, "echo", "still")).output == "still\n"
    subprocess.run(["rm", "-rf", str(tmp_path / "work")], check=True)


async def test_the_folders_above_can_be_listed_and_show_nothing_in_basic(tmp_path: Path) -> None:
    """bun before 1.4 ends if it cannot list all folders above its own."""
    (tmp_path / "work-of-another-build").mkdir()
    outcome = await run_python(a_sandbox("basic", tmp_path), LIST_ABOVE, str(tmp_path / "work"))
    assert (outcome.output.split(), outcome.errors) == (["[]"] * len((tmp_path / "work").parents), "")


async def test_other_folders_stay_closed_when_those_above_can_be_listed(tmp_path: Path) -> None:
    outcome = await run_python(a_sandbox("basic", tmp_path), LIST_ABOVE, "/etc/nothing")
    assert "PermissionError" in outcome.errors
