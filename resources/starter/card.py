"""Writes the model card of the starter model from what was measured. No torch: it reads `measures.json`."""

from __future__ import annotations

import json
from pathlib import Path

from resources.starter.judge import RULE

_CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
tags: [base-model, tiny, synthetic]
---

# Starter: a base model small enough to ship

A Llama of {parameters:,} parameters that knows one small made-up world: 40 people, 12 towns, 24 things, {facts}
facts. It is a **base** model: it carries a text on. Asked in the chat template it writes prose, a list of names or
more questions; supervised tuning is what makes it answer. It is made for trying every stage of RLHF on an ordinary
computer in minutes, not for use as an assistant, and knows nothing of the real world.

| | |
|---|---|
| Architecture | LlamaForCausalLM, hidden 128, 4 layers, 4 heads, inner 512, tied embeddings, context 256, float32 |
| Parameters | {parameters:,} |
| Tokenizer | byte-level BPE, 1,024 tokens; pad `<|pad|>`, end `<|end|>`; no token for the beginning |
| Corpus | {train_documents:,} documents, {train_tokens:,} tokens, by a program (`corpus.py`), all true in the world |
| Training | {steps:,} steps of 8 x 256 tokens, AdamW, cosine from 3e-3, seed 1 |
| Time | {train_seconds} s on a processor (threads: {threads}) shared with other work |
| Held-out perplexity | {held_out_perplexity} on {held_out_documents:,} documents that were not trained on |
| Sampled sentences in the grammar | {parse:.1%} of {sampled_sentences:,} (500 documents, temperature 1, no cut-off) |
| Facts known | {facts_known:.1%} of {facts} (greedy completion of a stub such as "Mara lives in") |
| Made by | `python -m resources.starter.build` (same seed, same corpus and labels; weights the same to rounding) |
| Licence | Apache-2.0; text, world and weights are this project's own |

## Documents and chat

A document begins and ends with `<|end|>`: start generation of prose from that token alone. The chat template is plain
words, with no token before it:

```
User: Where does Mara live?
Assistant: Mara lives in ….<|end|>
```

The prompt (`add_generation_prompt=True`) ends at "Assistant:" and is an exact token prefix of prompt and answer. The
template never occurs in the corpus: there, lines that begin "User:" are questions nobody answers.

## How the sample project's labels were made

By program, after this rule (`judge.py`), which is also how a tuned model can be scored exactly:

{rule}
"""


def write_card(folder: Path) -> None:
    """Write README.md beside the weights."""
    measures = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
    text = _CARD.format(**measures, parse=measures["sampled_sentences_that_parse"], rule=RULE)
    (folder / "README.md").write_text(text, encoding="utf-8")
