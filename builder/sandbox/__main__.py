"""`python -m builder.sandbox probe strong|basic`: exit code 0 and a line, or 1 and what is missing."""

from __future__ import annotations

import sys

from builder.sandbox import probe

if len(sys.argv) != 3 or sys.argv[1] != "probe":
    sys.exit("usage: python -m builder.sandbox probe strong|basic")
sys.exit(probe.main(sys.argv[2]))
