"""The newest ClickHouse there is, as a library in a process of its own: it holds our SQL against a modern engine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 60.0
SERVER = """
import json, sys
import chdb.session
session = chdb.session.Session(sys.argv[1])
session.query("CREATE DATABASE IF NOT EXISTS logs")
session.query("USE logs")
for line in sys.stdin:
    try:
        answer = {"text": session.query(json.loads(line), "JSONCompactEachRow").data()}
    except Exception as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
"""


class Chdb:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def query(self, sql: str) -> list[list[Any]]:
        """The rows of the answer. Fails with the engine's own words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(sql), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{answer['error']}\n{sql}"
        return [json.loads(row) for row in answer["text"].splitlines()]


@contextlib.contextmanager
def running_chdb(folder: Path) -> Iterator[Chdb]:
    """An empty engine with its data below this folder."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Chdb(process)
        finally:
            process.kill()
