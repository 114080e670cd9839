"""`python -m cli` is `pcrlog`."""

import sys

from cli.main import main

sys.exit(main())
