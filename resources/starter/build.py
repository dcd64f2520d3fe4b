"""Makes the starter model and sample project anew: `python -m resources.starter.build`.

Under half an hour on two cores. The same seeds give the same files; weights agree to rounding between machines.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from resources.starter import STARTER

log = logging.getLogger("resources.starter.build")

STAGES = ("data", "tokenizer", "model", "sampled", "card")


def build(out: Path, stages: tuple[str, ...] = STAGES, threads: int = 2) -> None:
    """Write `out`/project and `out`/model. A later stage reads what an earlier one left there."""
    model = out / "model"
    model.mkdir(parents=True, exist_ok=True)
    if "data" in stages:
        from resources.starter.labels import write_project

        log.info("project: %s", write_project(out / "project"))
    if "tokenizer" in stages or "model" in stages:
        from resources.starter import pretrain  # brings torch, which the other stages do without

        chosen = pretrain.Pretraining(threads=threads)
        if "tokenizer" in stages:
            pretrain.train_tokenizer(chosen, model)
        if "model" in stages:
            pretrain.train_model(chosen, model)
    if "sampled" in stages:
        from resources.starter.sampled import write_sampled

        log.info("comparisons between the model's own answers: %s", dict(write_sampled(out / "project")))
    if "card" in stages:
        from resources.starter.card import write_card

        write_card(model)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m resources.starter.build", description=__doc__)
    parser.add_argument("--only", choices=STAGES, help="make this part alone, from what the parts before it left")
    parser.add_argument("--out", type=Path, default=STARTER, help="where to write model/ and project/")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of the training")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    build(chosen.out, (chosen.only,) if chosen.only else STAGES, chosen.threads)


if __name__ == "__main__":
    main()
