"""The command as people use it: it starts, says what they need, stops when told, and refuses with one sentence."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from gateway.app import STOP_SECONDS
from tests.engines.gateway import ROOT, eventually, running_gateway
from tests.engines.ports import free_ports

COMMAND = (sys.executable, "-m", "gateway")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}


def run(tmp_path, *arguments, **environment):
    """The command to its end: exit code, what it printed, what it complained about."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def run_beside(gateway, *arguments):
    """The command, configured as the gateway is."""
    environment = {name: value for name, value in gateway.environment.items() if name.startswith("BUILDSPACE_")}
    return await asyncio.to_thread(run, gateway.directory, *arguments, **environment)


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_it_says_its_version(tmp_path, arguments):
    code, printed, _ = run(tmp_path, *arguments)
    assert code == 0
    assert re.match(r"buildspace \d", printed)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--nonsense"], ["token"]])
def test_a_wrong_command_line_says_how(tmp_path, arguments):
    code, _, complained = run(tmp_path, *arguments)
    assert code == 2
    assert complained.startswith("usage: buildspace")


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["doctor"], ["token", "rotate"]])
def test_a_wrong_configuration_is_one_sentence_and_harms_nothing(tmp_path, command):
    (tmp_path / "config.toml").write_text("[api]\nport = 'nine'\n")
    code, printed, complained = run(tmp_path, *command)
    assert (code, printed) == (2, "")
    assert complained == "api.port: expected a whole number, not 'nine'.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_a_configuration_elsewhere_is_named(tmp_path):
    code, _, complained = run(tmp_path, "serve", "--config", "missing.toml")
    assert (code, complained) == (2, "missing.toml cannot be read: No such file or directory.\n")


async def test_it_starts_says_what_people_need_and_stops_with_0(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        printed = gateway.output.read_text()
        assert f"http://127.0.0.1:{gateway.api_port}" in printed
        assert f"http://{{slug}}.localhost:{gateway.sites_port}" in printed
        assert str(tmp_path / "data") in printed
        assert "Builds: " in printed
        (token,) = re.findall(r"Access token: (\S+)", printed)
        assert len(token) >= 40
        began = time.monotonic()
        assert await gateway.terminate() == 0
        assert time.monotonic() - began < 20
        assert not (tmp_path / "data" / "postgres" / "data" / "postmaster.pid").exists()
        await gateway.start()
        assert gateway.output.read_text().count("Access token") == 1


async def test_any_free_port_is_taken_where_none_is_named(tmp_path):
    async with running_gateway(tmp_path, start=False) as gateway:
        for name in ("BUILDSPACE_SITES_PORT", "BUILDSPACE_API_PORT", "BUILDSPACE_BUILDERS_PORT"):
            gateway.environment[name] = "0"
        del gateway.environment["BUILDSPACE_SITES_URL"]
        await gateway.start(until_ready=False)

        async def greeting():
            return re.search(r"sites on (\S+) \(http://127\.0\.0\.1:(\d+)", gateway.output.read_text())

        url, port = (await eventually(greeting, "it greets")).groups()
        assert url == f"http://{{slug}}.localhost:{port}"


async def test_ctrl_c_stops_it_too(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        gateway.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(gateway.process.wait(), 20) == 0
        assert "Stopped." in gateway.output.read_text()


async def test_the_end_of_the_terminal_stops_it_too(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        assert await asyncio.wait_for(gateway.process.wait(), 20) == 0
        assert not (tmp_path / "data" / "postgres" / "data" / "postmaster.pid").exists()


async def test_under_nohup_it_outlives_the_terminal(tmp_path):
    async with running_gateway(tmp_path, start=False) as gateway:
        gateway.command = ("nohup", *gateway.command)
        await gateway.start()
        gateway.process.send_signal(signal.SIGHUP)
        assert (await gateway.call("GET", "/health"))[0] == 200
        assert "Stopping" not in gateway.output.read_text()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_server_behind(tmp_path, number):
    run(tmp_path, "migrate")
    with subprocess.Popen([*COMMAND, "doctor"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE) as doctor:
        lines = iter(doctor.stdout.readline, b"")
        next(line for line in lines if b" postgres:" in line)
        doctor.send_signal(number)
    assert doctor.returncode == 130
    assert not (tmp_path / "buildspace-data" / "postgres" / "data" / "postmaster.pid").exists()


def test_a_command_in_the_background_of_a_script_can_be_ended_too(tmp_path):
    """There Ctrl-C is ignored."""
    script = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *COMMAND, "doctor"]
    with subprocess.Popen(script, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE) as doctor:
        next(line for line in iter(doctor.stdout.readline, b"") if b" postgres:" in line)
        doctor.terminate()
    assert doctor.returncode == 130


def test_who_stops_reading_gets_no_traceback(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "doctor"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as doctor:
        doctor.stdout.close()
        complained = doctor.stderr.read().decode()
    assert "Traceback" not in complained
    assert doctor.returncode == 1


def test_it_says_which_configuration_it_reads(tmp_path):
    _, printed, _ = run(tmp_path, "doctor")
    assert f"Configuration: the defaults, because there is no config.toml in {tmp_path}" in printed
    (tmp_path / "config.toml").write_text("")
    _, printed, _ = run(tmp_path, "doctor")
    assert f"Configuration: {tmp_path / 'config.toml'}\n" in printed


async def test_two_signals_at_once_are_one_press_and_it_stops_gently(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        gateway.process.send_signal(signal.SIGSTOP)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGINT)
        gateway.process.send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(gateway.process.wait(), 20) == 0
        assert "Stopped." in gateway.output.read_text()


async def test_a_second_press_ends_a_stop_that_takes_long_and_the_next_start_is_well(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        postgres = int((tmp_path / "data/postgres/data/postmaster.pid").read_text().split()[0])
        os.kill(postgres, signal.SIGSTOP)  # the stop waits for it
        gateway.process.send_signal(signal.SIGTERM)

        async def press_again():
            with contextlib.suppress(ProcessLookupError):
                gateway.process.send_signal(signal.SIGINT)
            return gateway.process.returncode is not None

        await eventually(press_again, "pressing on ends it", STOP_SECONDS - 3)
        assert gateway.process.returncode == 1
        assert "Stopped." not in gateway.output.read_text()
        os.kill(postgres, signal.SIGCONT)
        await gateway.start()
        assert await gateway.terminate() == 0


async def test_beside_a_running_gateway_the_commands_work_and_a_second_one_does_not(tmp_path):
    async with running_gateway(tmp_path) as gateway:
        code, printed, _ = await run_beside(gateway, "doctor")
        assert (code, printed.splitlines()[-1]) == (0, "All checks passed.")
        assert "a gateway is using it" in printed
        code, printed, _ = await run_beside(gateway, "migrate")
        assert (code, printed) == (0, "The database is up to date.\n")
        code, printed, _ = await run_beside(gateway, "token", "rotate")
        (token,) = re.findall(r"Access token: (\S+)", printed)
        elsewhere = {"X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer {token}"}
        assert (await gateway.call("GET", "/project", headers=elsewhere))[0] == 200
        code, _, complained = await run_beside(gateway, "serve")
        assert code == 2
        holder = rf"'.+' \(process {gateway.process.pid}\)"
        assert re.fullmatch(rf"Port \d+ is taken on 127\.0\.0\.1 by {holder}: .*sites\.port.*\n", complained)
        sites, api, builders = free_ports(3)
        gateway.environment |= {
            "BUILDSPACE_SITES_PORT": str(sites),
            "BUILDSPACE_API_PORT": str(api),
            "BUILDSPACE_BUILDERS_PORT": str(builders),
        }
        code, _, complained = await run_beside(gateway, "serve")
        assert code == 2
        assert f"(process {gateway.process.pid}) uses the data directory" in complained
        assert (await gateway.call("GET", "/ready"))[0] == 200


def test_the_doctor_works_without_a_gateway_and_leaves_nothing(tmp_path):
    code, printed, _ = run(tmp_path, "doctor")
    assert code == 0, printed
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in printed.splitlines()[1:-1]] == [
        *("data directory", "postgres", "log store", "sites", "object store", "log transport", "disk"),
        *("builders", "git", "node", "access", "builders' API"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_leaves_the_data_of_a_gateway_as_it_is(tmp_path):
    run(tmp_path, "migrate")
    data = tmp_path / "buildspace-data"
    before = sorted(path.name for path in data.iterdir())
    code, printed, _ = run(tmp_path, "doctor")
    assert (code, "its tables are those of this version" in printed) == (0, True)
    assert sorted(path.name for path in data.iterdir()) == before
    assert not (data / "postgres" / "data" / "postmaster.pid").exists()


def test_migrate_makes_the_database_and_says_what_it_did(tmp_path):
    code, printed, _ = run(tmp_path, "migrate")
    assert code == 0
    assert "Applied 0001_create_users_and_projects.sql" in printed
    code, printed, _ = run(tmp_path, "migrate")
    assert (code, printed) == (0, "The database is up to date.\n")


def test_a_configured_token_is_not_rotated(tmp_path):
    code, _, complained = run(tmp_path, "token", "rotate", BUILDSPACE_AUTH_TOKEN="correct-horse-battery")
    assert (code, complained) == (2, "The token is set by auth.token: change it there.\n")


def test_a_data_directory_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    ports = dict.fromkeys(("BUILDSPACE_SITES_PORT", "BUILDSPACE_API_PORT", "BUILDSPACE_BUILDERS_PORT"), "0")
    code, _, complained = run(tmp_path, "serve", BUILDSPACE_DATA_DIRECTORY=str(tmp_path / "file" / "data"), **ports)
    assert code == 2
    assert complained == f"The data directory {tmp_path}/file/data cannot be used: Not a directory.\n"
