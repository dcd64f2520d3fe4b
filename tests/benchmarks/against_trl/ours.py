"""Our side: a spec, carried out as `rlhf run` does it, timed by what the run says. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from rlhf_engine.cli.here import do_run
from rlhf_engine.contract.events import Envelope, Metrics
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.tasks import spec_from_json
from tests.benchmarks.against_trl.works import ALPHA, ANSWER, BAD, GOOD, LONGEST, RANK, Job

PHASES = ("rollout", "score", "update")
ONLINE = ("ppo", "rloo", "grpo")


def main(job: Job) -> dict[str, Any]:
    if job.work.kind == "generate":
        return generate(job)
    spec, folder = spec_of(job), Path(job.folder)
    clock = Watch(job.profile)
    if code := do_run(folder / "project", new_run_id(), spec, also=clock.hear):
        raise SystemExit(code)
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    tokens, answers = zip(*(tokens_of(job, texts, values) for values in clock.values[1:]), strict=True)
    return clock.result() | {"tokens": tokens, "answers": answers} | used()


def spec_of(job: Job) -> Any:
    """The work as a spec of the engine: what TRL is told too, and nothing held out, shown or kept on the way."""
    work, folder = job.work, Path(job.folder)
    about: dict[str, Any] = {
        "dataset": json.loads((folder / "datasets.json").read_text())[work.kind],
        "batch_size": work.examples,
        "micro_batch_size": work.micro_batch,
        "max_tokens": LONGEST,
        "schedule": "constant",
        "warmup": 0.0,
        "learning_rate": 1e-5,
        "dtype": work.dtype,
        "device": job.device,
        "sample_every": 0,
        "checkpoint_every": 1_000_000,
        "lora_rank": RANK,
        "lora_alpha": float(ALPHA),
    }
    if work.kind in ONLINE:
        about |= {
            "policy": str(folder / "policy"),
            "updates": work.steps,
            "minibatch_size": work.examples,
            "response_tokens": ANSWER,
            "epochs": work.epochs,
            "kl_coef": 0.05,
        }
    else:
        about |= {"model": str(folder / "policy"), "epochs": float(epochs_of(job)), "evaluate_every": 0}
    if work.kind == "ppo":
        about |= {"reward_model": "run:reward", "value_warmup": 0, "value_learning_rate": 1e-5}
    elif work.kind in ONLINE:
        about |= {"group_size": work.group, "rewards": [{"kind": "words", "good": GOOD, "bad": BAD}]}
    elif work.kind == "reward":
        about |= {"normalise_on": 0}
    return spec_from_json(json.dumps({"task": "sft" if work.kind == "even" else work.kind, **about}))


def epochs_of(job: Job) -> int:
    """Every step of SFT takes all demonstrations; of comparisons there are as many as all steps need."""
    return job.work.steps if job.work.kind == "sft" else 1


class Watch:
    """Hears a run, and keeps when each step ended and what it said."""

    def __init__(self, profile: str) -> None:
        self.ends: list[tuple[float, float]] = []  # by the clock, and of the processor's time
        self.values: list[dict[str, float]] = []
        self._profile, self._profiler = profile, None

    def hear(self, envelope: Envelope) -> None:
        if not isinstance(envelope.event, Metrics) or envelope.event.step < 1:
            return
        self.ends.append((time.perf_counter(), time.process_time()))
        self.values.append(envelope.event.values)
        if self._profile and len(self.ends) <= 2:  # the second step, on the run's own thread
            self._profile_step(begins=len(self.ends) == 1)

    def _profile_step(self, begins: bool) -> None:
        from torch.profiler import profile

        if begins:
            self._profiler = profile(record_shapes=True)
            self._profiler.start()
        elif self._profiler is not None:
            self._profiler.stop()
            table = self._profiler.key_averages(group_by_input_shape=True)
            Path(self._profile).write_text(table.table(sort_by="self_cpu_time_total", row_limit=60), encoding="utf-8")

    def result(self) -> dict[str, Any]:
        """Seconds of every step but the first, and how they were spent where the run says so."""
        spent = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(self.ends)]
        phases = {phase: [v[f"time/{phase}"] for v in self.values[1:]] for phase in PHASES if self._says(phase)}
        return {"seconds": [wall for wall, _ in spent], "cpu": [cpu for _, cpu in spent], "phases": phases}

    def _says(self, phase: str) -> bool:
        return all(f"time/{phase}" in values for values in self.values)


def tokens_of(job: Job, texts: dict[str, list[Any]], said: dict[str, float]) -> tuple[int, int]:
    """Tokens that one step learned from, padding not counted, and how many of them are answers': from the texts, and
    what the run says of the answers it wrote."""
    work = job.work
    if work.kind in ONLINE:
        asked = texts["prompts"][: work.examples // work.group]
        prompts = work.group * sum(map(words_in, asked))
        answers = round(said["answers/length_mean"] * work.examples)
        return work.epochs * (prompts + answers), work.epochs * answers
    if work.kind == "sft":
        rows = texts["demonstrations"]
        answers = sum(words_in(row["completion"]) + 1 for row in rows)  # and its end token
        return answers + sum(words_in(row["prompt"]) for row in rows), answers
    rows = texts["comparisons"]
    answers = sum(words_in(row["chosen"]) + words_in(row["rejected"]) + 2 for row in rows)
    everything = answers + 2 * sum(words_in(row["prompt"]) for row in rows)
    return everything * work.examples // len(rows), answers * work.examples // len(rows)


def words_in(text: str) -> int:
    return len(text.split())


def generate(job: Job) -> dict[str, Any]:
    """The one sampler of playground, rollouts and evaluation, with a limit for each answer."""
    import torch

    from rlhf_engine.models.backbone import PLAIN, Backbone
    from rlhf_engine.models.load import load_base
    from rlhf_engine.models.sampling import Sampler, complete
    from rlhf_engine.runtime.device import choose_device, choose_dtype

    folder = Path(job.folder)
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    device = choose_device(job.device)
    backbone = Backbone(load_base(str(folder / "policy"), device, choose_dtype(job.work.dtype, device)))
    prompts = [backbone.base.tokenizer(text, add_special_tokens=False).input_ids for text in texts["prompts"]]

    def write(limits: list[int]) -> int:
        sampler = Sampler(max(limits), 0.0 if job.work.key.startswith("greedy") else 1.0)
        chance = torch.Generator(device).manual_seed(0)
        answers = complete(backbone, PLAIN, prompts[: len(limits)], sampler, chance, limits=limits)
        return sum(len(answer.tokens) for answer in answers)

    write([4, 4])
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = write(texts["limits"])
    spent = {"seconds": [time.perf_counter() - wall], "cpu": [time.process_time() - cpu]}
    return spent | {"tokens": [tokens], "answers": [tokens], "phases": {}} | used()


def used() -> dict[str, Any]:
    """Peak memory in bytes, resident and on the GPU, with how many threads, and of which versions."""
    import resource

    import torch
    import transformers

    scale = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"resident": resident, "gpu": gpu, "threads": torch.get_num_threads(), "versions": versions}


if __name__ == "__main__":
    print(json.dumps(main(Job.from_json(json.loads(sys.argv[1])))))
