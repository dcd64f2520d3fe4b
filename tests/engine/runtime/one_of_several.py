"""One process of several that share runs, as torchrun would start it: RANK, WORLD_SIZE and MASTER_* are set.

Call it as `python -m tests.engine.runtime.one_of_several ROOT RUN SPEC [RUN SPEC ...]`. Prints envelopes, one per line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Envelope
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks import spec_from_json


def say(envelope: Envelope) -> None:
    sys.stdout.write(envelope.to_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    root, *rest = sys.argv[1:]
    failed = 0
    for run_id, spec in zip(rest[::2], rest[1::2], strict=True):
        end = execute(run_id, spec_from_json(Path(spec).read_text()), say, RunControl(), Path(root))
        failed += end.outcome != "completed"
        if failed:
            sys.stderr.write(f"{end.message}\n{end.traceback}\n")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(failed)
