"""A server as a child process: started, awaited until it answers, ended, and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 180.0
LOOK_SECONDS = 0.05
END_SECONDS = 90.0


class Child:
    """A subclass says what runs and when it answers. Its output is appended to `output`; `logs` it writes itself."""

    def __init__(self, name: str, output: Path, *logs: Path) -> None:
        self._name = name
        self._output = output
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Popen's."""
        return {}

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that ended it."""
        return self._process.returncode if self._process is not None else None

    def start(self) -> None:
        """Returns once it answers. One that does not start fails the test with the end of what it printed."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, **self.options()
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if not self.is_running or time.monotonic() > deadline:
                raise AssertionError(f"{self._name} does not start:\n{self.log()[-4000:]}")
            time.sleep(LOOK_SECONDS)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """SIGTERM: it finishes what it does. One that does not end in time is killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def log(self) -> str:
        files = [file for file in (self._output, *self._logs) if file.exists()]
        return "\n".join(file.read_text(errors="replace") for file in files)

    def _end(self, number: int) -> None:
        if self._process is None or not self.is_running:
            return
        self.signal(number)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def listens(port: int) -> bool:
    """Whether anything on loopback accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
