"""`python -m builder.sandbox probe strong|basic|account`: exit code 0 and a line, or 1 and what is missing.

`python -m builder.sandbox memory`: a line on how a build's memory will be limited. With the gateway's process id, the
gateway is first moved into a leaf of the cgroup that was delegated to it.
"""

from __future__ import annotations

import sys

from builder.sandbox import probe
from builder.sandbox.inside import cgroup

match sys.argv[1:]:
    case ["probe", grade]:
        sys.exit(probe.main(grade))
    case ["memory", *gateway]:
        for pid in gateway:
            cgroup.make_room(int(pid))
        print(cgroup.describe())  # noqa: T201 - the answer
    case _:
        sys.exit("usage: python -m builder.sandbox probe strong|basic|account, or memory [process id]")
