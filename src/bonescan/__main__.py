"""`python -m bonescan` is `bonescan`."""

import sys

from bonescan.cli import main

if __name__ == "__main__":
    sys.exit(main())
