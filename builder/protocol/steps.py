"""The steps of a build, in order, and the streams of its log."""

from __future__ import annotations

import enum


class Step(enum.StrEnum):
    PREPARE = "prepare"
    CLONE = "clone"
    DETECT = "detect"
    INSTALL = "install"
    BUILD = "build"
    COLLECT = "collect"
    UPLOAD = "upload"


class Stream(enum.StrEnum):
    """`system`: lines of the platform itself."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


# For each line of a log: a look-up costs a tenth of Stream(text).
STEPS = {str(step): step for step in Step}
STREAMS = {str(stream): stream for stream in Stream}
