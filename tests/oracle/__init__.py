"""Our losses and gradients beside those of TRL's trainers: the same tiny model, adapter, tokens and batch, in fp32.

Written against TRL 1.16.0. `python packaging/dev.py oracle` installs it into `.venv-oracle` and runs these tests; where
TRL is not installed they are skipped. Where the two differ, a test says why, and computes theirs from ours.
"""
