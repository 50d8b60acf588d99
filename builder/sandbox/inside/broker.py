"""Makes the sockets of a build, and connects and binds them for it, where the build shares the machine's network.

It runs between supervisor and command, under the build's account. The kernel stops each call of socket, connect, bind
and listen in the build until the broker answers it. The broker makes every socket itself, gives the build a duplicate
and keeps one, so it acts on its own copy of the address and on the socket that it has looked at: what another thread
of the build changes meanwhile has no effect. It never lets the kernel run the build's own call, except to open a
folder, where Landlock decides.

    loopback TCP     among the build's own processes (ports.py)
    other TCP        the ports of the plan, not to this machine
    Unix sockets     below the work folder; streams and sequenced packets, no abstract names
    UDP              connect alone
    folders above    are empty; old bun, for one, lists all folders above its own, and ends if one is closed

The build can stop its broker, at most; then all its calls fail, and the command ends.
"""

from __future__ import annotations

import array
import contextlib
import errno
import ipaddress
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from builder.sandbox.inside import kernel, notifications
from builder.sandbox.inside.notifications import Call
from builder.sandbox.inside.plan import Broker
from builder.sandbox.inside.ports import Owner, OwnPorts, Place, loopback

ADDRESS_BYTES = 128
MAX_PATH_BYTES = 4096
MAX_HELD = 2048
FIRST_PRIVATE_PORT = 1024
_KEPT_BEFORE_LOOK = 256
_ROOM_SECONDS = {True: 60.0, False: 1.0}
"""How long a blocking, and another, connect waits for room at a listener of the build."""
_RETRY_SECONDS = 0.05
_KEPT_OPTIONS = (
    *((socket.SOL_SOCKET, name) for name in (socket.SO_KEEPALIVE, socket.SO_LINGER, socket.SO_REUSEADDR)),
    *((socket.SOL_SOCKET, name) for name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)),
    *((socket.IPPROTO_TCP, name) for name in (socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT)),
    *((socket.IPPROTO_TCP, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)),
)
_OPTION_BYTES = 16
_TYPE_BITS = 0xF
_PRELOADED = (array,)
"""send_fds imports it when it is called, which the confinement may prevent."""


class Refused(Exception):
    """The call fails with this errno."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode.get(number, str(number)))
        self.number = number


def send_listener(channel: socket.socket, listener: int) -> None:
    """From the command to its broker, after the filter is loaded."""
    socket.send_fds(channel, [b"x"], [listener])
    os.close(listener)
    channel.close()


def attend(plan: Broker, command: int, channel: socket.socket) -> NoReturn:
    """Answer the calls of a command, our child, until it ends. Then exit with its code."""
    wake = _wake_on_children()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, "dumpable")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1, "subreaper")
    _, received, _, _ = socket.recv_fds(channel, 1, 1)
    channel.close()
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    if received:
        poll.register(received[0], select.POLLIN)
        desk = Desk(plan, received[0])
    while (code := _reap(command)) is None:
        for descriptor, event in poll.poll():
            if descriptor == wake:
                os.read(wake, 512)
            elif event & select.POLLIN:
                desk.serve()
            else:
                poll.unregister(descriptor)  # the last process with the filter has ended
    sys.stderr.flush()
    os._exit(code)


def _wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _reap(command: int) -> int | None:
    """Orphans of the build are our children too. Returns the command's exit code when it has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == command:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code
    return None


class Desk:
    """Serves one call after another; those that wait for a peer get a thread of their own."""

    def __init__(self, plan: Broker, listener: int) -> None:
        self._plan = plan
        self._listener = listener
        self._work = os.open(plan.work, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._works = {os.fsencode(path) + b"/" for path in (plan.work, os.path.realpath(plan.work))}
        self._held: dict[int, socket.socket] = {}
        self._look_at = _KEPT_BEFORE_LOOK
        self._ports = OwnPorts()
        self._turn = threading.RLock()  # closing a socket frees its number, which another thread may be about to use
        self._answers: dict[int, Callable[[Call], int | None]] = {
            plan.calls["socket"]: self._socket,
            plan.calls["connect"]: self._connect,
            plan.calls["bind"]: self._bind,
            plan.calls["listen"]: self._listen,
            plan.calls["openat"]: self._open_folder,
        }
        self._above = {os.fsencode(parent) for root in self._works for parent in Path(os.fsdecode(root)).parents}

    def serve(self) -> None:
        call = notifications.receive(self._listener)
        if call is None:
            return
        with self._turn:
            self._settle(call, self._answers[call.number])

    def _settle(self, call: Call, act: Callable[[Call], int | None]) -> None:
        """Answer with what `act` returns or raises. None: it has been answered, or will be."""
        try:
            value = act(call)
        except Refused as refusal:
            notifications.answer(self._listener, call, error=refusal.number)
        except OSError as error:
            notifications.answer(self._listener, call, error=error.errno or errno.EACCES)
        except ValueError:  # the address is too short for its family
            notifications.answer(self._listener, call, error=errno.EINVAL)
        else:
            if value is not None:
                notifications.answer(self._listener, call, value)

    def _socket(self, call: Call) -> int:
        family, kind, protocol = (_signed(argument) for argument in call.arguments[:3])
        if len(self._held) >= min(self._look_at, MAX_HELD):
            self._release_closed()
        if len(self._held) >= MAX_HELD:
            raise Refused(errno.EMFILE)
        made = socket.socket(family, kind & ~socket.SOCK_CLOEXEC, protocol)
        flags = os.O_CLOEXEC if kind & socket.SOCK_CLOEXEC else 0
        try:
            number = notifications.give(self._listener, call, made.fileno(), flags)
        except OSError:
            made.close()
            raise
        self._held[_inode(made)] = made
        return number

    def _connect(self, call: Call) -> int | None:
        raw = self._address(call)
        held = self._find(call)
        if held is None:
            raise Refused(errno.EISCONN)  # accepted, one of a pair, or connected before
        family = _family(raw)
        with contextlib.ExitStack() as used:
            if held.family == socket.AF_UNIX:
                raw = self._unix_target(call, raw, used)
            elif family in (socket.AF_INET, socket.AF_INET6) and _is_tcp(held):
                place = Place.parse(raw)
                if owner := self._find_own(place):
                    return self._connect_own(call, held, place, owner)
            elif family == socket.AF_UNSPEC:
                _done(kernel.connect(held.fileno(), raw))  # disconnects, at once
                return 0
            if os.get_blocking(held.fileno()) and held.type != socket.SOCK_DGRAM:
                self._connect_later(call, held, raw, used)
                return None
            error = kernel.connect(held.fileno(), raw)
        if error in (0, errno.EINPROGRESS):
            self._release(held)
        _done(error)
        return 0

    def _connect_later(self, call: Call, held: socket.socket, raw: bytes, used: contextlib.ExitStack) -> None:
        """A blocking connect waits for its peer, which may be served by this broker."""
        own = used.enter_context(held.dup())
        later = used.pop_all()

        def connect(_: Call) -> int:
            with later:
                error = kernel.connect(own.fileno(), raw)
            if error in (0, errno.EINPROGRESS):
                self._release(held)
            _done(error)
            return 0

        try:
            self._start(call, connect)
        except Refused:
            later.close()
            raise

    def _start(self, call: Call, act: Callable[[Call], int]) -> None:
        try:
            # Threads count as processes of the build, so their number is limited.
            threading.Thread(target=self._settle, args=(call, act), daemon=True).start()
        except RuntimeError as error:
            raise Refused(errno.EAGAIN) from error

    def _find_own(self, place: Place) -> Owner | None:
        """The socket of the build that it means. Raises Refused if it is closed to the build."""
        if place.is_loopback() or place.address.is_link_local or str(place.address) in self._plan.own_addresses:
            if owner := self._ports.find(place):
                return owner
            if place.port not in self._plan.ports_here:
                raise Refused(errno.ECONNREFUSED)
        elif place.port not in self._plan.ports:
            raise Refused(errno.EACCES)
        return None

    def _connect_own(self, call: Call, held: socket.socket, place: Place, owner: Owner) -> int | None:
        """Connects a socket that the build does not have yet: until it is known that the peer is the build's, the build
        must neither use it nor have it wait for the next owner of the port. Then it takes the place of the build's.
        """
        family, is_blocking = held.family, os.get_blocking(held.fileno())
        made = self._ports.connect(family, place, owner)
        if made is not None:
            return self._replace(call, held, made)

        def connect(_: Call) -> int:
            end = time.monotonic() + _ROOM_SECONDS[is_blocking]
            while (made := self._ports.connect(family, place)) is None:
                if time.monotonic() > end:
                    raise Refused(errno.ETIMEDOUT if is_blocking else errno.ECONNREFUSED)
                self._check(call)
                time.sleep(_RETRY_SECONDS)
            return self._replace(call, held, made)

        self._start(call, connect)
        return None

    def _replace(self, call: Call, held: socket.socket, made: socket.socket) -> int:
        """Give the build this socket in place of its own, with what it has set there."""
        number = _signed(call.arguments[0])
        with self._turn, made:
            for level, name in _KEPT_OPTIONS:
                value = held.getsockopt(level, name, _OPTION_BYTES)
                if value != made.getsockopt(level, name, _OPTION_BYTES):  # Linux has defaults that it does not accept
                    made.setsockopt(level, name, value)
            os.set_blocking(made.fileno(), os.get_blocking(held.fileno()))
            flags = re.search(r"^flags:\s*(\d+)", _read(f"/proc/{call.task}/fdinfo/{number}"), re.MULTILINE)
            self._check(call)
            is_kept = flags is not None and not int(flags[1], 8) & os.O_CLOEXEC
            notifications.give(self._listener, call, made.fileno(), 0 if is_kept else os.O_CLOEXEC, number)
            self._release(held)
        return 0

    def _unix_target(self, call: Call, raw: bytes, used: contextlib.ExitStack) -> bytes:
        """An address that means one socket below the work folder, whatever the build renames meanwhile."""
        path = _path(raw)
        if not path.startswith(b"/"):
            path = os.readlink(os.fsencode(f"/proc/{call.task}/cwd")) + b"/" + path
            self._check(call)
        root = next((root for root in self._works if path.startswith(root)), None)
        if root is None:
            raise Refused(errno.EACCES)
        found = kernel.open_beneath(self._work, path.removeprefix(root).lstrip(b"/"))
        used.callback(os.close, found)
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise Refused(errno.ECONNREFUSED)
        return struct.pack("=H", socket.AF_UNIX) + b"/proc/self/fd/%d\0" % found

    def _bind(self, call: Call) -> int:
        raw = self._address(call)
        held = self._find(call)
        if held is None:
            raise Refused(errno.EINVAL)  # in use already
        # By the socket, not by the address: the kernel takes an address without a family for all interfaces.
        if held.family == socket.AF_UNIX:
            _done(self._bind_path(call, held, raw))
        elif held.family in (socket.AF_INET, socket.AF_INET6):
            self._bind_port(held, Place.parse(raw))
        else:
            _done(kernel.bind(held.fileno(), raw))
        return 0

    def _bind_path(self, call: Call, held: socket.socket, raw: bytes) -> int:
        """Under the path as the build gave it, because programs ask for it. It opens nothing: account and Landlock
        of the broker let it make files where the build may make them.
        """
        if not _path(raw).startswith(b"/"):
            os.chdir(f"/proc/{call.task}/cwd")
        umask = re.search(r"^Umask:\s*(\d+)", _read(f"/proc/{call.task}/status"), re.MULTILINE)
        self._check(call)
        os.umask(int(umask[1], 8) if umask else 0o077)
        return kernel.bind(held.fileno(), raw)

    def _bind_port(self, held: socket.socket, place: Place) -> None:
        if not _is_tcp(held):
            raise Refused(errno.EACCES)
        if not place.is_loopback():
            raise Refused(errno.EADDRNOTAVAIL)
        if 0 < place.port < FIRST_PRIVATE_PORT:
            raise Refused(errno.EACCES)
        if place.family != held.family:
            raise Refused(errno.EINVAL)
        if place.port and self._ports.find(place) is not None:
            raise Refused(errno.EADDRINUSE)
        version = place.address.version
        if place.family == socket.AF_INET6 and place.address.is_unspecified and not _is_six_only(held):
            version = 4  # both versions reach it: a client's ::1 is led to 127.0.0.1
        _done(kernel.bind(held.fileno(), loopback(place.family, version, 0)))
        self._ports.add(version, place.port, held.getsockname()[1], _inode(held))

    def _listen(self, call: Call) -> int:
        held = self._find(call)
        if held is None:
            return 0  # it listens already
        # The kernel would bind it to a port on all addresses. So it does for a socket whose connect has failed, which
        # still names a port that it does not have.
        if held.family in (socket.AF_INET, socket.AF_INET6) and not _is_on_loopback(held):
            self._bind_port(held, Place.parse(loopback(held.family, 4, 0)))
        _done(kernel.listen(held.fileno(), _signed(call.arguments[1])))
        self._release(held)
        return 0

    def _open_folder(self, call: Call) -> int | None:
        path = self._read(call, call.arguments[1], MAX_PATH_BYTES).split(b"\0", 1)[0]
        if not path.startswith(b"/") or os.path.normpath(path) not in self._above:
            notifications.proceed(self._listener, call)
            return None
        opened = os.open(self._plan.above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return notifications.give(self._listener, call, opened, call.arguments[2] & os.O_CLOEXEC)
        finally:
            os.close(opened)

    def _address(self, call: Call) -> bytes:
        """Our own copy of the second argument."""
        length = _signed(call.arguments[2])
        if not 2 <= length <= ADDRESS_BYTES:
            raise Refused(errno.EINVAL)
        raw = self._read(call, call.arguments[1], length)
        if len(raw) < length:
            raise Refused(errno.EFAULT)
        return raw

    def _read(self, call: Call, place: int, length: int) -> bytes:
        """Up to `length` bytes of the task's memory."""
        try:
            memory = os.open(f"/proc/{call.task}/mem", os.O_RDONLY | os.O_CLOEXEC)
            try:
                found = os.pread(memory, length, place)
            finally:
                os.close(memory)
        except (OSError, OverflowError) as error:
            raise Refused(errno.EFAULT) from error
        self._check(call)
        return found

    def _find(self, call: Call) -> socket.socket | None:
        """The socket that the first argument names, if it was made here and has not been handed over for good."""
        try:
            shown = os.readlink(f"/proc/{call.task}/fd/{_signed(call.arguments[0])}")
        except FileNotFoundError as error:
            raise Refused(errno.EBADF) from error
        self._check(call)
        socket_name = re.fullmatch(r"socket:\[(\d+)\]", shown)
        if socket_name is None:
            raise Refused(errno.ENOTSOCK)
        return self._held.get(int(socket_name[1]))

    def _check(self, call: Call) -> None:
        if not notifications.is_waiting(self._listener, call):
            raise Refused(errno.EINTR)

    def _release(self, held: socket.socket) -> None:
        """From now on the build alone has it, so that closing it there ends the connection."""
        with self._turn:
            # Another thread may have released it.
            if held.type != socket.SOCK_DGRAM and held.fileno() >= 0:
                self._held.pop(_inode(held), None)
                held.close()

    def _release_closed(self) -> None:
        """Release the sockets that no process of the build has open any more."""
        used = set(_open_sockets())
        for inode in self._held.keys() - used:
            self._held.pop(inode).close()
        self._look_at = max(_KEPT_BEFORE_LOOK, 2 * len(self._held))


def _open_sockets() -> Iterator[int]:
    own = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit() and name != own:
            with contextlib.suppress(OSError):
                for number in os.listdir(f"/proc/{name}/fd"):
                    with contextlib.suppress(OSError):
                        found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{name}/fd/{number}"))
                        if found:
                            yield int(found[1])


def _path(raw: bytes) -> bytes:
    """Of a sockaddr_un. Raises Refused for a name without a path: abstract, or chosen by the kernel."""
    path = raw[2:].split(b"\0", 1)[0]
    if not path:
        raise Refused(errno.EACCES)
    return path


def _family(raw: bytes) -> int:
    return int(struct.unpack_from("=H", raw)[0])


def _is_tcp(held: socket.socket) -> bool:
    return held.family in (socket.AF_INET, socket.AF_INET6) and held.type == socket.SOCK_STREAM


def _is_on_loopback(held: socket.socket) -> bool:
    address = ipaddress.ip_address(held.getsockname()[0].partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_six_only(held: socket.socket) -> bool:
    return bool(held.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def _inode(held: socket.socket) -> int:
    return os.fstat(held.fileno()).st_ino


def _done(error: int) -> None:
    if error:
        raise Refused(error)


def _signed(argument: int) -> int:
    """The kernel passes 64 bits, of which an int is the lower half."""
    return int(struct.unpack("=i", struct.pack("=I", argument & 0xFFFFFFFF))[0])


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
