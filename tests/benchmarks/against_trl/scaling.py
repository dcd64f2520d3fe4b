"""What a token costs our side, forwards and back, with 1 to 64 examples in a batch. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlhf_engine.cli.here import do_run
from rlhf_engine.launch.engine import new_run_id
from tests.benchmarks.against_trl.ours import Watch, spec_of
from tests.benchmarks.against_trl.works import EVEN, EVENS, Job

BATCHES = {1: 17, 4: 9, 16: 4, 64: 2}  # examples at once -> steps, the first of which is not measured


def main(job: Job) -> dict[str, Any]:
    """Seconds per token by the number of examples."""
    found = {}
    for count, steps in BATCHES.items():
        work = replace(job.work, examples=count, micro_batch=count, steps=steps)
        spec = replace(spec_of(replace(job, work=work)), epochs=steps * count / EVENS)
        watch = Watch("")
        if code := do_run(Path(job.folder) / "project", new_run_id(), spec, also=watch.hear):
            raise SystemExit(code)
        spent = watch.result()["seconds"]
        found[count] = sum(spent) / len(spent) / (count * EVEN)
    return found


if __name__ == "__main__":
    print(json.dumps(main(Job.from_json(json.loads(sys.argv[1])))))
