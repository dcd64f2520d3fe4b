"""TRL's side, as a careful user would set it up: no logging, saving or evaluation. Prints one line of JSON.

Runs in TRL's environment, without this project: everything it needs to know is in the job.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from peft import LoraConfig, inject_adapter_in_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    StoppingCriteria,
    TrainerCallback,
)

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Watch(TrainerCallback):
    """Keeps when each step ended, and how many tokens the policy had learned from by then."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []  # by the clock, and of the processor's time
        self.tokens: list[Any] = []
        self._seen = 0

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append((time.perf_counter(), time.process_time()))
        self.tokens.append(self._seen)

    def count(self, model: torch.nn.Module) -> None:
        """Count what goes through the model with a gradient; padding is not counted."""

        def seen(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            if torch.is_grad_enabled():
                mask, ids = kwargs.get("attention_mask"), kwargs.get("input_ids", args[0] if args else None)
                self._seen = self._seen + (ids.numel() if mask is None else mask.sum())

        model.register_forward_pre_hook(seen, with_kwargs=True)

    def result(self) -> dict[str, Any]:
        return {
            "seconds": [after[0] - before[0] for before, after in pairwise(self.ends)],
            "cpu": [after[1] - before[1] for before, after in pairwise(self.ends)],
            "tokens": [int(after) - int(before) for before, after in pairwise(self.tokens)],
        }


class Side:
    """What all trainers are given."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.work, self.folder = job["work"], Path(job["folder"])
        self.texts = json.loads((self.folder / "texts.json").read_text(encoding="utf-8"))
        self.bf16 = self.work["dtype"] == "bf16"
        self.dtype = torch.bfloat16 if self.bf16 else torch.float32
        self.on_cpu = job["device"] == "cpu" or not torch.cuda.is_available()
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder / "policy", padding_side="left")
        self.watch = Watch()
        self.job = job

    def policy(self) -> Any:
        model = AutoModelForCausalLM.from_pretrained(self.folder / "policy", dtype=self.dtype)
        self.watch.count(model.model)
        return model

    def judge(self) -> Any:
        return AutoModelForSequenceClassification.from_pretrained(self.folder / "judge", dtype=self.dtype, num_labels=1)

    def lora(self, **more: Any) -> LoraConfig:
        about = {"r": self.job["rank"], "lora_alpha": self.job["alpha"], "lora_dropout": 0.0, "bias": "none"}
        return LoraConfig(**about, target_modules=PROJECTIONS, **more)

    def settings(self, out: str) -> dict[str, Any]:
        work = self.work
        return {
            "output_dir": out,
            "per_device_train_batch_size": work["micro_batch"],
            "gradient_accumulation_steps": work["examples"] // work["micro_batch"],
            "learning_rate": 1e-5,
            "lr_scheduler_type": "constant",
            "bf16": self.bf16,
            "use_cpu": self.on_cpu,
            "gradient_checkpointing": False,  # it would save memory and cost time
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }

    def prompts(self) -> list[str]:
        return list(self.texts["prompts"][: self.work["examples"] // self.work["group"]])


def ppo(side: Side, out: str) -> Any:
    """The value model starts as the reward model and learns through an adapter and its head, as ours does."""
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    value = inject_adapter_in_model(side.lora(), side.judge())
    value.score.requires_grad_(True)
    work = side.work
    args = PPOConfig(
        **side.settings(out),
        total_episodes=work["examples"] * work["steps"],
        num_ppo_epochs=work["epochs"],
        num_mini_batches=1,
        local_rollout_forward_batch_size=work["examples"],
        num_sample_generations=0,
        response_length=side.job["answer"],
        temperature=1.0,
        missing_eos_penalty=1.0,
        kl_coef=0.05,
    )
    rows = [{"input_ids": side.tokenizer(text).input_ids} for text in side.prompts()]
    return PPOTrainer(
        args=args,
        processing_class=side.tokenizer,
        model=side.policy(),
        ref_model=None,
        reward_model=side.judge(),
        value_model=value,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows),  # it wants one, and does not use it
        peft_config=side.lora(task_type="CAUSAL_LM"),
        callbacks=[side.watch],
    )


def sft(side: Side, out: str) -> Any:
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": r["prompt"], "completion": " " + r["completion"]} for r in side.texts["demonstrations"]]
    args = SFTConfig(**side.settings(out), max_steps=side.work["steps"], max_length=side.job["longest"])
    return trainer(SFTTrainer, side, args, rows)


def reward(side: Side, out: str) -> Any:
    from trl import RewardConfig, RewardTrainer

    rows = [{k: f"{r['prompt']} {r[k]}" for k in ("chosen", "rejected")} for r in side.texts["comparisons"]]
    most = {"max_steps": side.work["steps"], "max_length": side.job["longest"]}
    args = RewardConfig(**side.settings(out), **most, center_rewards_coefficient=0.01)
    model = side.judge()
    side.watch.count(model.model)
    return RewardTrainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=side.tokenizer,
        peft_config=side.lora(task_type="SEQ_CLS", modules_to_save=["score"]),
        callbacks=[side.watch],
    )


def dpo(side: Side, out: str) -> Any:
    from trl import DPOConfig, DPOTrainer

    rows = [{**r, "chosen": " " + r["chosen"], "rejected": " " + r["rejected"]} for r in side.texts["comparisons"]]
    args = DPOConfig(**side.settings(out), max_steps=side.work["steps"], max_length=side.job["longest"])
    return trainer(DPOTrainer, side, args, rows)


def rloo(side: Side, out: str) -> Any:
    from trl import RLOOConfig, RLOOTrainer

    return trainer(RLOOTrainer, side, RLOOConfig(**on_groups(side, out)), rows_of(side), reward_funcs=worth(side))


def grpo(side: Side, out: str) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    return trainer(GRPOTrainer, side, GRPOConfig(**on_groups(side, out)), rows_of(side), reward_funcs=worth(side))


def on_groups(side: Side, out: str) -> dict[str, Any]:
    return {
        **side.settings(out),
        "max_steps": side.work["steps"],
        "num_generations": side.work["group"],
        "max_completion_length": side.job["answer"],
        "temperature": 1.0,
        "beta": 0.05,
    }


def rows_of(side: Side) -> list[dict[str, str]]:
    return [{"prompt": text} for text in side.prompts()]


def worth(side: Side) -> Any:
    """Good words minus bad words, over both."""
    good, bad = set(side.job["good"]), set(side.job["bad"])

    def score(completions: list[str], **_: Any) -> list[float]:
        counts = [(sum(w in good for w in text.split()), sum(w in bad for w in text.split())) for text in completions]
        return [(g - b) / max(1, g + b) for g, b in counts]

    return score


def trainer(kind: Any, side: Side, args: Any, rows: list[dict[str, Any]], **more: Any) -> Any:
    return kind(
        model=side.policy(),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=side.tokenizer,
        peft_config=side.lora(task_type="CAUSAL_LM"),
        callbacks=[side.watch],
        **more,
    )


class AtLimit(StoppingCriteria):
    """Ends each row at a limit of its own."""

    def __init__(self, prompt: int, limits: torch.Tensor) -> None:
        self._prompt, self._limits = prompt, limits

    def __call__(self, ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return ids.shape[1] - self._prompt >= self._limits


@torch.no_grad()
def generate(side: Side) -> dict[str, Any]:
    """`model.generate` on so many prompts at a time: a batch lasts as long as its longest answer."""
    device = torch.device("cpu" if side.on_cpu else "cuda")
    model = side.policy().to(device).eval()
    greedy = side.work["key"].startswith("greedy")
    how = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    prompts, limits = side.texts["prompts"], side.texts["limits"]

    def write(rows: int, count: int, most: int) -> int:
        tokens = 0
        for start in range(0, count, rows):
            batch = side.tokenizer(prompts[start : start + rows][:count], return_tensors="pt", padding=True).to(device)
            here = torch.tensor(limits[start : start + rows][:count], device=device).clamp(max=most)
            width = batch.input_ids.shape[1]
            model.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                max_new_tokens=int(here.max()),
                stopping_criteria=[AtLimit(width, here)],
                **how,
            )
            tokens += int(here.sum())
        return tokens

    write(2, 2, 4)
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = write(side.job["rows"], len(prompts), max(limits))
    if not side.on_cpu:
        torch.cuda.synchronize()
    return {"seconds": [time.perf_counter() - wall], "cpu": [time.process_time() - cpu], "tokens": [tokens]}


def main(job: dict[str, Any]) -> dict[str, Any]:
    side = Side(job)
    if job["work"]["kind"] == "generate":
        found = generate(side)
    else:
        with tempfile.TemporaryDirectory() as out:
            globals()[job["work"]["kind"]](side, out).train()
        found = side.watch.result()
    scale = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    used = {"resident": resident, "gpu": gpu, "threads": torch.get_num_threads()}
    return {**found, **used, "versions": {name: version(name) for name in ("torch", "transformers", "trl")}}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
