"""`python -m rlhf_engine` is the `rlhf` command, for torchrun and for machines where the command is not on the path."""

from __future__ import annotations

import sys

from rlhf_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
