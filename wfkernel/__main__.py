"""``python -m wfkernel``: the command line."""

import sys

from wfkernel.cli import main

sys.exit(main())
