"""Scoring the pairs of a project by a reward model. Read `score` top to bottom."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import torch

from rlhf_engine.choosing.scores import FILE, PairScore, write_scores
from rlhf_engine.contract.errors import DataError, ModelError
from rlhf_engine.contract.events import Alert, Produced
from rlhf_engine.data.chat import render
from rlhf_engine.data.records import unpack_prompt
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.rewards.judges import require_same_format
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.device import choose_dtype
from rlhf_engine.tasks.score.spec import ScoreSpec

ROLE = "reward"


def score(spec: ScoreSpec, run: RunContext) -> None:
    """Score both answers of each pair, and keep the scores in the run's folder.

    Raises:
        ModelError: it is no reward model.
        DataError: there is no pair to score, or none that the model can read.
    """
    source = resolve(spec.reward_model, run.project_root)
    if source.about.get("task") != "reward":
        raise ModelError(f"{spec.reward_model} is not a reward model.", "Choose the result of a reward run.")
    pairs = pairs_of(spec, run)  # first: there may be none, and it is quick
    run.stage(f"Loading {source.base}")
    backbone = Backbone(load_base(source.base, run.device, choose_dtype(spec.dtype, run.device), run.stage))
    require_same_format(backbone, source, "")
    load_adapter(backbone, ROLE, source)
    template = str(source.about.get("template", "auto"))

    def ids_of(pair: dict[str, Any], side: str) -> list[int]:
        prompt = unpack_prompt(pair["prompt"], pair["turns"])
        return render(backbone.base.tokenizer, prompt, pair[side], template).ids

    found: list[PairScore] = []
    too_long = 0
    run.begin(len(pairs))
    for start in range(0, len(pairs), spec.batch_size):
        run.safe_point()
        run.stage("Scoring pairs", start, len(pairs))
        read = [(str(pair["id"]), ids_of(pair, "a"), ids_of(pair, "b")) for pair in pairs[start:][: spec.batch_size]]
        part = [row for row in read if max(map(len, row[1:])) <= backbone.base.context]
        too_long += len(read) - len(part)
        found += scored(backbone, part)
    if not found:
        raise DataError(f"All {len(pairs):,} pairs are longer than the {backbone.base.context} tokens it reads.")
    if too_long:
        longest = f"longer than the {backbone.base.context} tokens that the reward model reads"
        run.emit(Alert("warning", f"{too_long:,} of {len(pairs):,} pairs are {longest}, and have no score."))
    run.folder.mkdir(parents=True, exist_ok=True)
    count = write_scores(run.folder / FILE, found)
    facts = {"reward_model": spec.reward_model, "pairs": count}
    run.emit(Produced("scores", f"runs/{run.run_id}/{FILE}", facts))


def pairs_of(spec: ScoreSpec, run: RunContext) -> list[dict[str, Any]]:
    """The pairs to score with their ids and texts: those that wait, those that people have judged, and as far as there
    is room those that only others have, the same ones that are asked when a person judges them anew.

    Raises:
        DataError: there are none.
    """
    from rlhf_engine.store.labels import Labels

    labels = Labels(run.project_root / "labels.db", write=False)
    try:
        waiting = labels.next_pairs(spec.limit) if spec.pairs != "judged" else []
        judged: deque[dict[str, Any]] = deque(maxlen=spec.limit)
        unheard: list[dict[str, Any]] = []
        if spec.pairs != "waiting":
            people = (row for row in labels.standing_comparisons() if row["source"] == "human")
            judged.extend({**row, "id": row["pair_id"]} for row in people)
            unheard = [row for row in labels.next_pairs(spec.limit, no_person_yet=True) if row["said"]]
    finally:
        labels.close()
    found = [*waiting, *judged, *unheard[: spec.limit - len(judged)]]
    if not found:
        raise DataError("There are no pairs to score.", "Generate some in Compare, or import comparisons.")
    return found


@torch.no_grad()
def scored(backbone: Backbone, part: list[tuple[str, list[int], list[int]]]) -> list[PairScore]:
    """The scores of some pairs, given by id and token ids, from one forward pass."""
    if not part:
        return []
    head = cast(ScalarHead, backbone.heads[ROLE])
    texts = [a for _, a, _ in part] + [b for _, _, b in part]
    each = backbone.each_score(ROLE, texts, len(texts)).unflatten(0, (2, len(part)))  # (2, N, H)
    a, b = head.together(each).tolist()
    spread = (each[0] - each[1]).std(-1, correction=0).tolist()
    return [PairScore(row[0], *of) for row, of in zip(part, zip(a, b, spread, strict=True), strict=True)]
