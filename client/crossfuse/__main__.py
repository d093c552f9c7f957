"""`python -m crossfuse` is the command `crossfuse`."""

import sys

from ._cli import main

sys.exit(main())
