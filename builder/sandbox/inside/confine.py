"""The last steps of a process before it becomes the build's command."""

from __future__ import annotations

import base64
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from builder.sandbox.inside import account, broker, kernel, landlock
from builder.sandbox.inside.plan import LOG, Broker, Plan

NOT_SET_UP = 125
NO_SUCH_COMMAND = 127
NICENESS = 10
FIRST_TO_DIE = 1000
"""When memory runs out, the kernel kills the build before the platform."""


def run_confined(plan: Plan, supervisor: int) -> NoReturn:
    """Become the command, or print on stderr why not and exit."""
    try:
        _confine(plan, supervisor)
    except (OSError, ValueError) as error:
        _give_up(NOT_SET_UP, f"sandbox: {error}")
    try:
        os.execvpe(plan.argv[0], plan.argv, plan.environment)  # noqa: S606 - an argument list is the point
    except FileNotFoundError:
        _give_up(NO_SUCH_COMMAND, f"{plan.argv[0]}: command not found")
    except OSError as error:
        _give_up(NO_SUCH_COMMAND - 1, f"{plan.argv[0]}: {error.strerror}")


def _confine(plan: Plan, supervisor: int) -> None:
    os.setsid()
    kernel.leave_session_keyring()
    _forget_signals()
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(FIRST_TO_DIE))
    os.nice(NICENESS)
    if plan.hides_processes:
        account.hide_processes()
    if plan.shown_files:
        account.show_files(plan.shown_files)
    if plan.user is not None:
        _give_streams(plan.user)
        account.become(plan.user, plan.needed, plan.covered)
    elif not plan.keeps_capabilities:
        kernel.drop_bounding_capabilities()
    if plan.folder is not None:
        _write_files(plan.folder, plan.files)
    os.chdir(plan.directory)
    for number, value in plan.limits.items():
        limit(number, value)
    if plan.processes is not None:
        limit(resource.RLIMIT_NPROC, plan.processes + tasks_of(os.getuid()))
    _die_with(supervisor)
    if plan.landlock is not None or plan.seccomp is not None:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    if plan.landlock is not None:
        landlock.restrict_files(plan.landlock.read, plan.landlock.write)
    channel = _leave_broker_behind(plan.broker) if plan.broker is not None else None
    if plan.landlock is not None:
        landlock.restrict_network(plan.landlock.ports)
    if plan.seccomp is not None:
        kernel.load_filter(base64.b64decode(plan.seccomp))
    if plan.broker is not None and channel is not None:
        broker.send_listener(channel, kernel.load_listening_filter(base64.b64decode(plan.broker.filter)))


def _leave_broker_behind(plan: Broker) -> socket.socket:
    """The process becomes the broker. What returns is its child, with a channel to it."""
    theirs, ours = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child:
        ours.close()
        broker.attend(plan, child, theirs)
    theirs.close()
    os.setsid()
    _die_with(parent)
    return ours


def _give_streams(user: int) -> None:
    """A program that opens /dev/stdout opens the pipe again, which only the owner of the pipe may do."""
    for stream in (1, 2):
        os.fchown(stream, user, user)


def _forget_signals() -> None:
    """Restore the defaults: Python ignores some signals, and the supervisor blocks some."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _write_files(folder: str, files: dict[str, str]) -> None:
    os.mkdir(folder, 0o700)
    for name, content in files.items():
        with open(f"{folder}/{name}", "xb") as file:
            file.write(base64.b64decode(content))
    os.dup2(2, 0)
    os.dup2(os.open(f"{folder}/{LOG}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), 2)


def limit(number: int, value: int) -> None:
    """Lower a limit for good. A limit that is already lower stays."""
    _, hard = resource.getrlimit(number)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(number, (value, value))


def tasks_of(user: int) -> int:
    """How many threads this account has now, because the kernel counts all of them."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}/task").st_uid == user:
                    count += os.stat(f"/proc/{name}/task").st_nlink - 2
            except OSError:
                continue  # it ended meanwhile
    return count


def _die_with(supervisor: int) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, "pdeathsig")
    if os.getppid() != supervisor:
        _give_up(NOT_SET_UP, "sandbox: its supervisor is gone")


def _give_up(code: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - stderr goes to the build log
    os._exit(code)
