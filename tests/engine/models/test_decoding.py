"""What is written in a flat row with a cache that stays in place is what the model says of the whole text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf_engine.models import decoding, fitting, sampling
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.fitting import cache_bytes
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.models.sampling import Sampler, complete, steps
from tests.engine.models.conftest import CPU
from tests.engine.models.test_packed import SHAPE

LENGTHS = (9, 3, 14, 5, 1, 9, 22, 6, 2, 11)
PROMPTS = [[(7 * i + 11 * j) % 200 + 5 for j in range(n)] for i, n in enumerate(LENGTHS)]
LIMITS = [4, 12, 1, 7, 20, 3, 9, 16, 2, 5]
GREEDY = Sampler(20, temperature=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def other(kind: str, **more: object) -> Backbone:
    torch.manual_seed(0)
    shape = {key: value for key, value in SHAPE.items() if key in AutoConfig.for_model(kind).to_dict()}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape | more)).eval().requires_grad_(False)
    return Backbone(SimpleNamespace(model=model, pad_id=0, ref=kind, context=64, eos_ids=(1,)))


KINDS = [
    ("llama", {}),
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    ("gpt_neox", {}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2}),
    ("qwen3", {"head_dim": 8}),
    ("mistral", {"sliding_window": 4}),
    ("gemma2", {"sliding_window": 4, "head_dim": 8}),
    ("gemma3_text", {"sliding_window": 4, "head_dim": 8}),
    ("gpt_oss", {"sliding_window": 4, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}),
]
OWN_WAY = [
    ("gptj", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4}),
    ("bloom", {"n_layer": 2, "n_head": 4}),
]


def off(backbone: Backbone, role: str, prompt: list[int], tokens: list[int], logprobs: list[float]) -> float:
    """How far the log-probabilities are from those of the whole text, read at once in transformers' own way."""
    ids = torch.tensor([prompt + tokens])
    backbone.keeps_apart = False
    with torch.no_grad(), backbone.acting_as(role):
        logits = backbone.logits(backbone.hidden(ids, torch.ones_like(ids)))[0, len(prompt) - 1 : -1]
    wanted = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
    return float((wanted - torch.tensor(logprobs)).abs().max())


@pytest.mark.parametrize(("kind", "more"), [*KINDS, *OWN_WAY])
@pytest.mark.parametrize("slots", [3, 64])
def test_every_token_is_as_likely_as_the_whole_text_says(kind, more, slots):
    """Windows are shorter than the texts, which enter and leave all the time; heads share keys, or have sinks."""
    backbone = other(kind, **more)
    assert bool(cache_bytes(backbone)) == ((kind, more) in KINDS)
    answers = complete(backbone, PLAIN, PROMPTS, Sampler(20), seeded(), limits=LIMITS, slots=slots)
    for prompt, answer, limit in zip(PROMPTS, answers, LIMITS, strict=True):
        assert len(answer.tokens) == limit or answer.finish == "eos"
        assert off(backbone, PLAIN, prompt, answer.tokens, answer.logprobs) < 2e-5  # fp32, sums in another order


@pytest.mark.parametrize("role", ["policy", "frozen", "whole", ""])
def test_every_role_writes_as_itself(backbone, role):
    backbone.copy_whole("policy", "whole")
    answers = complete(backbone, role, PROMPTS, Sampler(12), seeded(), slots=4)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert off(backbone, role, prompt, answer.tokens, answer.logprobs) < 1e-5


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_how_many_are_written_at_once_changes_no_answer(backbone, temperature, monkeypatch):
    def write(slots):
        sampler = Sampler(20, temperature)
        return [a.tokens for a in complete(backbone, "policy", PROMPTS, sampler, seeded(5), limits=LIMITS, slots=slots)]

    everything = write(64)
    assert write(4) == write(1) == everything
    monkeypatch.setattr(sampling, "cache_bytes", lambda _: 0)  # padded, with the cache of transformers
    assert write(64) == write(3) == everything


def test_a_longer_limit_goes_on_where_a_shorter_one_stopped(backbone):
    short = complete(backbone, "policy", PROMPTS, Sampler(6), seeded(2))
    long = complete(backbone, "policy", PROMPTS, Sampler(15), seeded(2))
    assert [a.tokens for a in short] == [a.tokens[:6] for a in long]


def test_no_step_is_spent_on_padding_or_on_what_is_finished(backbone, monkeypatch):
    read = []
    true = Backbone.read
    monkeypatch.setattr(Backbone, "read", lambda self, ids, places: read.append(ids.numel()) or true(self, ids, places))
    cache_bytes(backbone)
    read.clear()
    answers = complete(backbone, "policy", PROMPTS, GREEDY, seeded(), limits=LIMITS, slots=4)
    # Each prompt token once, and each token written but the last of an answer, which nothing follows.
    assert sum(read) == sum(LENGTHS) + sum(len(a.tokens) - 1 for a in answers)


def test_a_prompt_that_is_asked_several_times_is_read_once(backbone, monkeypatch):
    read = []
    true = Backbone.read
    monkeypatch.setattr(Backbone, "read", lambda self, ids, places: read.append(ids.numel()) or true(self, ids, places))
    cache_bytes(backbone)
    read.clear()
    same = complete(backbone, "policy", [PROMPTS[2]] * 4 + [PROMPTS[0]] * 2, Sampler(5), seeded(1))
    assert read[0] == LENGTHS[2] + LENGTHS[0]
    assert len({tuple(a.tokens) for a in same[:4]}) > 1  # each has numbers of its own
    for prompt, answer in zip([PROMPTS[2]] * 4 + [PROMPTS[0]] * 2, same, strict=True):
        assert off(backbone, "policy", prompt, answer.tokens, answer.logprobs) < 1e-5


def test_the_next_prompt_enters_as_soon_as_an_answer_is_finished(backbone):
    rows = [step.rows for step in steps(backbone, "policy", [[7]] * 3, GREEDY, seeded(), limits=[2, 3, 2], slots=2)]
    # The longest first, then the others; who is finished makes room in the very next step.
    assert rows == [[1, 2], [1, 2], [0, 1], [0]]


def test_each_answer_ends_where_its_own_prompt_has_no_more_room(backbone):
    context = backbone.base.context
    prompts = [[7] * (context - 2), [9, 8], [7] * context, [5] * (context - 1)]
    answers = complete(backbone, "policy", prompts, GREEDY, seeded())
    full = [len(a.tokens) if a.finish == "length" else None for a in answers]
    assert full[0] in (2, None) and full[1] in (20, None) and full[3] in (1, None)
    assert answers[2].tokens == []


def test_little_memory_means_fewer_at_once_and_the_same_answers(backbone, monkeypatch):
    def widest():
        found = list(steps(backbone, "policy", PROMPTS, GREEDY, seeded(), limits=LIMITS))
        return max(len(s.rows) for s in found), {(n, t) for s in found for n, t in zip(s.rows, s.tokens, strict=True)}

    everyone, said = widest()
    monkeypatch.setattr(sampling, "_ON_CPU", 100 * cache_bytes(backbone))
    few, again = widest()
    assert everyone == len(PROMPTS) and few == 100 // (22 + 9) and said == again


def test_long_prompts_are_read_in_several_steps(backbone, monkeypatch):
    monkeypatch.setattr(decoding, "_PROMPT_TOKENS", 25)
    first = next(iter(steps(backbone, "policy", PROMPTS, GREEDY, seeded())))
    assert 1 <= len(first.rows) < len(PROMPTS)
    answers = complete(backbone, "policy", PROMPTS, GREEDY, seeded())
    monkeypatch.undo()
    assert answers_of(answers) == answers_of(complete(backbone, "policy", PROMPTS, GREEDY, seeded()))


def answers_of(answers):
    return [a.tokens for a in answers]


def test_a_cache_in_bf16_writes_what_the_model_in_bf16_says(folder):
    backbone = Backbone(load_base(str(folder), CPU, torch.bfloat16))
    backbone.add("policy", lora(4, 8.0, 0.0, "all-linear"))
    assert cache_bytes(backbone) == 2 * 2 * 2 * 8 * 2  # layers, keys and values, heads, dim, bytes
    answers = complete(backbone, "policy", PROMPTS, GREEDY, seeded(), slots=4)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert off(backbone, "policy", prompt, answer.tokens, answer.logprobs) < 0.15  # eight bits of a logit near 10


def test_what_goes_wrong_within_a_step_leaves_the_model_as_it_was(backbone, monkeypatch):
    config = backbone.base.model.config
    before, weights = config._attn_implementation, [id(p) for p in backbone.base.model.parameters()]
    forwards = [vars(module).get("forward") for module in backbone.base.model.modules()]
    cache_bytes(backbone)

    def broken(*_, **__):
        raise RuntimeError("planted")

    monkeypatch.setattr(decoding, "_weigh", broken)
    with pytest.raises(RuntimeError, match="planted"):
        complete(backbone, "policy", PROMPTS, GREEDY, seeded())
    assert config._attn_implementation == before and backbone.acting == PLAIN
    assert [id(p) for p in backbone.base.model.parameters()] == weights
    assert [vars(module).get("forward") for module in backbone.base.model.modules()] == forwards


def test_between_two_steps_the_model_is_free_for_others(backbone):
    config = backbone.base.model.config
    before = config._attn_implementation
    two = [steps(backbone, role, PROMPTS[:3], GREEDY, seeded()) for role in ("policy", "frozen")]
    found: list[list[list[int]]] = [[[] for _ in range(3)] for _ in two]
    going = True
    while going:
        going = False
        for written, writer in zip(found, two, strict=True):
            if (step := next(writer, None)) is not None:
                going = True
                for row, token in zip(step.rows, step.tokens, strict=True):
                    written[row].append(token)
            assert config._attn_implementation == before and backbone.acting == PLAIN
    for written, role in zip(found, ("policy", "frozen"), strict=True):
        assert written == answers_of(complete(backbone, role, PROMPTS[:3], GREEDY, seeded()))


def test_a_model_that_says_something_else_this_way_is_read_in_its_own(backbone, monkeypatch):
    wrong = decoding._weigh
    monkeypatch.setattr(decoding, "_weigh", lambda *a: wrong(*a) * 1.01)
    monkeypatch.setattr(fitting, "_FOUND", {})
    assert cache_bytes(backbone) == 0


def test_windows_that_do_not_reach_the_layers_are_found_out(backbone):
    backbone.base.model.config.sliding_window = 4
    assert cache_bytes(backbone) == 0
