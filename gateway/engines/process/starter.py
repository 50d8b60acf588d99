"""Starts one builder, once. A separate script, so that a gateway which dies meanwhile leaves no builder unrecorded.

Arguments: the folder of the attempt, the slot, then the builder's command. The record is written atomically before the
builder begins; a second call finds it and starts nothing. Prints the record.
"""

from __future__ import annotations

import json
import os
import sys

RECORD = "builder.json"
LOG = "builder.log"
_START_TICKS = 19


def main(folder: str, slot: str, command: list[str]) -> None:
    if os.fork() != 0:
        os._exit(0)  # the builder has no parent: it outlives the gateway, and process 1 reaps it
    os.setsid()
    os.chdir(folder)
    is_first = _record(int(slot))
    with open(RECORD) as file:
        _print(file.read())
    if not is_first:
        return
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execv(command[0], command)  # noqa: S606 - an argument list is the point


def _record(slot: int) -> bool:
    """Write the record unless it exists. True if this call wrote it."""
    with open("/proc/self/stat") as file:
        start_ticks = int(file.read().rpartition(")")[2].split()[_START_TICKS])
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    pid = os.getpid()
    draft = f".{RECORD}.{pid}"
    with open(draft, "w") as file:
        json.dump({"pid": pid, "start_ticks": start_ticks, "boot_id": boot_id, "slot": slot}, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, RECORD)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def _print(text: str) -> None:
    try:
        os.write(1, text.encode() + b"\n")
    except BrokenPipeError:
        return  # the gateway is gone, but the record is written


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
