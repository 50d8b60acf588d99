"""`python -m gateway` is `buildspace`."""

import sys

from gateway.commands.cli import main

sys.exit(main())
