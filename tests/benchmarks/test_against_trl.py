"""The arithmetic of the comparison with TRL, on figures worked by hand. The comparison itself is made by a person."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from rlhf_engine.data.chat import render
from rlhf_engine.data.records import split_of
from tests.benchmarks.against_trl import __main__ as driver
from tests.benchmarks.against_trl import bound, table
from tests.benchmarks.against_trl.bound import Passes, bytes_read, layers_of, passes_of, seconds_at, shapes_of, work_in
from tests.benchmarks.against_trl.material import words, write_texts
from tests.benchmarks.against_trl.ours import tokens_of, words_in
from tests.benchmarks.against_trl.page import Findings, page
from tests.benchmarks.against_trl.table import Measured, best, row_of
from tests.benchmarks.against_trl.works import LIMITS, LONGEST, PAIR, SMALL, WORKS, Job, Size

PPO, SFT, DPO = WORKS["ppo"], WORKS["sft"], WORKS["dpo"]
TINY = Size("a few parameters", layers=2, hidden=4, heads=2, key_value_heads=1, intermediate=8, vocabulary=16)


def run(seconds: float, resident: int, tokens: int = 1000, **more: object) -> Measured:
    return Measured((seconds, seconds), (tokens, tokens), resident, **more)  # type: ignore[arg-type]


def test_the_rate_counts_what_the_work_is_counted_in() -> None:
    assert run(16.0, 1).rate(PPO) == 2.0  # 2 steps of 32 episodes in 32 s
    assert run(4.0, 1).rate(SFT) == 250.0  # 2,000 tokens in 8 s


def test_ratios_are_medians_of_pairs_and_not_ratios_of_medians() -> None:
    ours = [run(1.0, 100), run(2.0, 300), run(8.0, 200)]  # 32, 16 and 4 episodes/s
    theirs = [run(4.0, 400), run(4.0, 400), run(32.0, 1000)]  # 8, 8 and 1
    row = row_of(PPO, ours, theirs)
    assert (row.ours, row.theirs) == (16.0, 8.0)
    assert row.faster == 4.0 and row.faster_spread == (2.0, 4.0)  # of 4, 2 and 4
    assert (row.our_memory, row.their_memory) == (200, 400)
    assert row.smaller == 0.25 and row.smaller_spread == (0.2, 0.75)  # of 0.25, 0.75 and 0.2
    assert row.same


def test_what_did_not_go_through_as_many_tokens_is_not_called_the_same() -> None:
    assert row_of(PPO, [run(1.0, 1, tokens=995)], [run(1.0, 1)]).same
    other = row_of(PPO, [run(1.0, 1, tokens=985)], [run(1.0, 1)])
    assert not other.same
    assert "985 and 1,000" in table.targets([other])


def test_on_a_gpu_its_memory_counts() -> None:
    assert run(1.0, 5_000, gpu=70).memory == 70
    assert run(1.0, 5_000).memory == 5_000


def test_of_two_ways_the_faster_counts() -> None:
    slow, fast = run(3.0, 10), run(2.0, 90)
    assert best([slow, fast], SFT) is fast


def test_shares_of_the_phases() -> None:
    phases = {"rollout": (1.0, 2.0), "score": (0.5, 0.5), "update": (6.0, 8.0)}
    row = row_of(PPO, [run(10.0, 1, phases=phases)], [run(10.0, 1)])
    assert row.phases == {"rollout": 0.15, "score": 0.05, "update": 0.7}
    assert row.update == 7.0
    assert row_of(SFT, [run(10.0, 1)], [run(10.0, 1)]).update == 10.0
    assert "| PPO | fp32 | 15% | 5% | 70% |" in table.phases([row])


def test_targets_are_met_or_missed() -> None:
    met = row_of(PPO, [run(1.0, 60)], [run(2.0, 100)])
    missed = row_of(PPO, [run(1.0, 61)], [run(1.99, 100)])
    assert "| **2.00x** | 2.00 to 2.00 | 2.0x met |" in table.targets([met])
    assert "| **0.60x** | 0.6x met |" in table.targets([met])
    assert "| **1.99x** | 1.99 to 1.99 | 2.0x missed |" in table.targets([missed])
    assert "| **0.61x** | 0.6x missed |" in table.targets([missed])


def test_the_products_of_a_tiny_model_are_counted() -> None:
    assert layers_of(TINY) == {(4, 4): 4, (4, 2): 4, (4, 8): 4, (8, 4): 2}  # q, o; k, v; gate, up; down
    done = work_in(TINY, Passes(learned=10, spoken=3, length=6, read=5, heard=1))
    # a token that is learned costs each weight two products, one that is read one: 25 products, 2 operations each
    assert done[4, 4] == 25 * 2 * 16 * 4
    assert done[4, 2] == 25 * 2 * 8 * 4
    assert done[8, 4] == 25 * 2 * 32 * 2
    # adapters of rank 16: 2 * 16 * (in + out), 4 * 8 + 4 * 6 + 4 * 12 + 2 * 12 = 128 of those; attention 2 * 2 * 4 * 6
    assert done[4, 8] == 25 * 2 * 32 * 4 + 35 * (2 * 16 * 128 + 96)
    assert done[4, 16] == 2 * 64 * (2 * 3 + 1)
    assert set(done) == set(shapes_of(TINY))


def test_the_bound_adds_up_the_shapes_at_their_own_speeds() -> None:
    assert seconds_at({(4, 4): 100.0, (4, 8): 60.0}, {(4, 4): 50.0, (4, 8): 20.0}) == 5.0


def test_the_model_has_as_many_weights_as_it_says() -> None:
    weights = sum(a * b * count for (a, b), count in layers_of(SMALL).items()) + SMALL.hidden * SMALL.vocabulary
    assert weights + 13 * SMALL.hidden == 13_767_552  # with the norms


def test_ppo_teaches_two_models_and_dpo_reads_with_a_third() -> None:
    assert passes_of(PPO, 12_800, 8192) == Passes(25_600, 8192, 100.0)  # 4 epochs of 32 episodes
    assert passes_of(DPO, 6144, 5000) == Passes(6144, 5000, 192.0, 6144, 5000)
    assert passes_of(WORKS["reward"], 6144, 5000) == Passes(6144, 0.0, 192.0)


def test_decoding_fetches_all_weights_for_each_step_and_the_cache_for_each_token() -> None:
    weights = 4 * 16 + 4 * 8 + 6 * 32 + 4 * 16  # the layers and the head
    cache = 2 * 2 * 2  # keys and values of two layers, of one head of two
    tokens = (3 * 5 + 3) + (2 * 7 + 1)  # three tokens after 5, 6 and 7 others, two after 7 and 8
    assert bytes_read(TINY, [5, 7], [3, 2]) == 2 * (3 * weights + cache * tokens)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    folder = tmp_path_factory.mktemp("texts")
    made = write_texts(folder, SMALL.vocabulary)
    assert json.loads((folder / "texts.json").read_text()) == made
    assert write_texts(folder, SMALL.vocabulary) == made, "the same every time"
    return made


def test_texts_are_as_long_as_they_say(texts: dict[str, list]) -> None:
    tokenizer = words(SMALL.vocabulary)
    assert tokenizer.decode([5, 6, 1], skip_special_tokens=True) == "w5 w6"
    for row in texts["demonstrations"]:
        ids = render(tokenizer, row["prompt"], row["completion"], "plain").ids
        assert len(ids) == words_in(row["prompt"]) + words_in(row["completion"]) + 1
    lengths = [words_in(row["prompt"]) + words_in(row["completion"]) + 1 for row in texts["demonstrations"]]
    assert (min(lengths), max(lengths)) == (16, 256)
    for row in texts["comparisons"]:
        sides = [words_in(row["prompt"]) + words_in(row[side]) + 1 for side in ("chosen", "rejected")]
        assert sum(sides) == PAIR and max(sides) <= LONGEST
    assert all(LIMITS[0] <= limit <= LIMITS[1] for limit in texts["limits"])
    assert {split_of(prompt) for prompt in texts["prompts"]} == {"train"}


def test_tokens_of_a_step_are_counted_from_texts_and_from_what_a_run_says(texts: dict[str, list]) -> None:
    def of(key: str, **said: float) -> tuple[int, int]:
        return tokens_of(Job(WORKS[key], "", "cpu"), texts, said)

    assert of("dpo")[0] == of("reward")[0] == 16 * PAIR
    prompts = sum(words_in(text) for text in texts["prompts"][:32])
    assert of("ppo", **{"answers/length_mean": 63.5}) == (4 * (prompts + 2032), 4 * 2032)
    groups = 4 * sum(words_in(text) for text in texts["prompts"][:8])
    assert of("grpo", **{"answers/length_mean": 64.0}) == (groups + 2048, 2048)


def test_a_job_survives_the_way_to_its_process() -> None:
    job = Job(PPO, "somewhere", "cpu", 16, "profile.txt")
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_work_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert driver.parsed(["--work", "ppo,sft-bf16"]).work == ["ppo", "sft-bf16"]
    with pytest.raises(SystemExit):
        driver.parsed(["--work", "ppo,tea"])
    assert "there is no work tea" in capsys.readouterr().err


def test_the_page_holds_what_was_measured() -> None:
    phases = {"rollout": (1.0, 1.0), "score": (1.0, 1.0), "update": (8.0, 8.0)}
    ours = run(10.0, 1_000_000_000, tokens=12_800, phases=phases, answers=(8192, 8192))
    rows = [
        row_of(PPO, [ours], [run(20.0, 2_000_000_000, tokens=12_800)]),
        row_of(WORKS["greedy-bf16"], [run(1.0, 1)], [run(4.0, 2)]),
    ]
    rates = {"fp32": dict.fromkeys(shapes_of(SMALL), 1e11)}
    found = Findings(
        SMALL,
        "cpu",
        1,
        2,
        rows,
        ["ours: torch 1"],
        rates,
        {"fp32": {1: 1e-3, 64: 9e-4}},
        1e12,
        ([5], [9]),
        date.today(),
    )
    text = page(found)
    assert len(re.findall(r"^# ", text, re.M)) == 1 and "<" not in text
    assert "| PPO | fp32 | 3.2 episodes/s | 1.6 | **2.00x** |" in text
    alone = seconds_at(work_in(SMALL, passes_of(PPO, 12_800, 8192)), rates["fp32"])
    assert f"| {alone:.2f} s | 8.00 s | **{alone / 8:.0%}** |" in text
    assert "| fp32 | 1,000 µs | 900 µs |" in text
    assert "1,000 GB/s" in text and "Generation, greedy: 1,000 tokens/s" in text
    assert "Decoding against" not in page(
        Findings(SMALL, "cpu", 1, 2, rows, [], rates, {}, 0.0, ([], []), date.today())
    )


def test_the_command_takes_turns_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answered(command: list[str]) -> dict[str, object]:
        name, said = Path(command[1]).name if command[1] != "-m" else command[2].rpartition(".")[2], command[-1]
        if name == "material":
            (Path(command[3]) / "texts.json").write_text(json.dumps({"prompts": ["w5 w6"], "limits": [9]}))
            return {}
        if name == "speeds":
            speeds = {f"{a}x{b}": 1e11 for a, b in shapes_of(SMALL)}
            return {"rates": {"fp32": speeds, "bf16": speeds}, "threads": 2}
        if name == "scaling":
            return {"1": 1e-3, "64": 9e-4}
        job = json.loads(said)
        asked.append(f"{command[0]} {job['work']['key']} {job['rows']}" if name == "theirs.py" else job["work"]["key"])
        slower = {"ours": 1.0, "theirs.py": 4.0}[name] - (job["rows"] == 64)
        about = {"resident": 10**9, "gpu": 0, "threads": 2, "versions": {"torch": "1"}}
        return {"seconds": [slower], "cpu": [slower], "tokens": [4352], "answers": [3000], **about}

    monkeypatch.setattr(driver, "run", answered)
    told = ["--work", "sft,greedy", "--runs", "2", "--trl", "other", "--device", "cpu"]
    assert driver.main([*told, "--write", str(tmp_path / "page.md")]) == 0
    assert asked == ["sft", "other sft 0"] * 2 + ["greedy", "other greedy 16", "other greedy 64"] * 2
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "**4.00x**" in text and "**3.00x**" in text, "the faster way to generate counts"
    assert "Medians of 2 pairs" in text and "| fp32 | 1,000 µs | 900 µs |" in text
    assert "SFT, mixed lengths, fp32, 2 of 2: TRL 1,088 tokens/s" in capsys.readouterr().out


def test_the_other_side_needs_nothing_of_this_project() -> None:
    source = (Path(bound.__file__).with_name("theirs.py")).read_text(encoding="utf-8")
    assert not re.findall(r"^\s*(?:from|import) (?:rlhf_engine|tests|studio|resources)", source, re.M)
