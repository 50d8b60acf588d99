"""`python -m gateway` is `buildspace`."""

import sys

from gateway.cli import main

sys.exit(main())
