"""`python -m firsthand`: the command line, without an installed script."""

import sys

from firsthand.cli import main

if __name__ == "__main__":
    sys.exit(main())
