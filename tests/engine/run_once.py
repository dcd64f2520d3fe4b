"""One run in a process of its own, so that a test can kill it: `python -m tests.engine.run_once ROOT RUN SPEC`.

A fourth word resumes the run. Prints its envelopes, one per line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks import spec_from_json

if __name__ == "__main__":
    torch.set_num_threads(1)
    root, run_id, spec, *rest = sys.argv[1:]

    def say(envelope: object) -> None:
        sys.stdout.write(envelope.to_json() + "\n")  # type: ignore[attr-defined]
        sys.stdout.flush()

    end = execute(run_id, spec_from_json(Path(spec).read_text()), say, RunControl(), Path(root), resume=bool(rest))
    sys.exit(end.outcome != "completed")
