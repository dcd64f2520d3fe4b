from __future__ import annotations

from typing import Any

import pytest

from rlhf_engine.data.chat import answer_text
from rlhf_engine.tasks.generate.writing import Decoder, Vocabulary, Writing
from tests.engine.tiny import END, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
VOCABULARY = Vocabulary(TOKENIZER)


def ids_of(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return ids


def byte_ids(raw: bytes) -> list[int]:
    """Each byte as a token of its own, as byte-level BPE writes it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    ids = [TOKENIZER.convert_tokens_to_ids(letters[byte]) for byte in raw]
    assert None not in ids
    return ids


def writing(*stop: str) -> Writing:
    return Writing(TOKENIZER, VOCABULARY, stop, (END,))


def write(made: Writing, ids: list[int]) -> list[str]:
    """Push all ids and give the pieces one by one."""
    pieces = []
    for token in ids:
        if not made.ended:
            made.push(token, -0.5, ())
            pieces.append(made.take()[0])
    return pieces


@pytest.mark.parametrize("text", ["Grüße, 世界! 👩‍👩‍👧 done", "नमस्ते", "🦩", "a\n\nb\ttab", "plain"])
def test_pieces_add_up_to_the_text_and_no_character_is_ever_halved(text: str) -> None:
    decoder, told = Decoder(TOKENIZER), ""
    for token in byte_ids(text.encode()):
        told += decoder.push(token)
        assert text.startswith(told), told
    assert told + decoder.finish() == text


def test_bytes_that_are_no_text_are_shown_as_what_they_are() -> None:
    ids = byte_ids(b"a\xff\xfeb\xf0\x9f")
    decoder = Decoder(TOKENIZER)
    told = "".join(decoder.push(token) for token in ids) + decoder.finish()
    assert told == answer_text(TOKENIZER, ids) == "a\ufffd\ufffdb\ufffd"


def test_a_long_run_of_broken_bytes_does_not_hold_everything_back() -> None:
    decoder = Decoder(TOKENIZER)
    told = "".join(decoder.push(token) for token in byte_ids(b"\xff" * 300))
    assert len(told) >= 297


def test_the_space_that_separates_an_answer_from_its_prompt_is_taken_away_once() -> None:
    made = writing()
    write(made, byte_ids(b"  two"))
    assert made.text == "  two"  # more than the one space: the model meant them
    made = writing()
    write(made, byte_ids(b" one two"))
    assert made.text == "one two"


def test_an_answer_that_is_only_a_space_keeps_it_like_the_text_of_its_ids() -> None:
    made = writing()
    write(made, byte_ids(b" "))
    made.end("length")
    assert made.text == answer_text(TOKENIZER, byte_ids(b" ")) == " "


def test_a_stop_text_ends_the_answer_and_not_a_letter_of_it_is_shown() -> None:
    made = writing("###", "Question:")
    pieces = write(made, byte_ids(b"It is blue. ## no #Quest yes Question: next"))
    assert "".join(pieces) == made.text == "It is blue. ## no #Quest yes "
    assert made.finish == "stop" and made.ended


def test_a_beginning_of_a_stop_text_is_shown_once_it_is_none() -> None:
    made = writing("STOP")
    assert write(made, byte_ids(b"aSTo")) == ["a", "", "", "STo"]


def test_what_was_held_back_is_shown_when_the_answer_ends_otherwise() -> None:
    made = writing("STOP")
    write(made, byte_ids(b"aSTO"))
    made.push(END, -0.1, ())
    assert made.text == "aSTO" and made.finish == "eos"


def test_the_earliest_of_several_stop_texts_counts() -> None:
    made = writing("cd", "b")
    write(made, ids_of("a") + ids_of("bcd"))
    assert made.text == "a"


def test_tokens_come_with_their_text_and_add_up_to_it() -> None:
    made = writing()
    ids = ids_of("The lamp is on the table.")
    for token in ids:
        made.push(token, -0.25, [(token, -0.25), (END, -2.0)])
    made.push(END, -1.0, ())
    _, tokens = made.take()
    assert "".join(t["text"] for t in tokens[:-1]) == made.text == "The lamp is on the table."
    assert tokens[-1]["text"] == "<|end|>"
    assert tokens[0]["top"][1] == ["<|end|>", -2.0]
    assert made.tokens == len(ids) + 1
    assert made.logprob_sum == pytest.approx(-0.25 * len(ids) - 1.0)


def test_tokens_of_the_stop_text_are_left_out_and_one_that_ends_in_it_is_cut() -> None:
    made = writing("lamp")
    for token in ids_of("The lamp is on"):
        if not made.ended:
            made.push(token, -1.0, ())
    _, tokens = made.take()
    assert "".join(t["text"] for t in tokens) == made.text == "The "


def test_the_token_that_completes_a_character_carries_it() -> None:
    made = writing()
    for token in byte_ids("é".encode()):
        made.push(token, -1.0, ())
    made.end("length")
    _, tokens = made.take()
    assert [t["text"] for t in tokens] == ["", "é"]


def test_an_interrupted_answer_keeps_all_that_was_written() -> None:
    made = writing("STOP")
    write(made, byte_ids(b"one STO"))
    made.end("")
    assert (made.text, made.finish, made.ended) == ("one STO", "", True)


def test_a_control_token_in_the_middle_is_not_text() -> None:
    made = writing()
    for token in [*ids_of("a"), TOKENIZER.convert_tokens_to_ids("<|user|>"), *ids_of("b")]:
        made.push(token, -1.0, ())
    made.end("length")
    _, tokens = made.take()
    assert made.text == "ab" and [t["text"] for t in tokens] == ["a", "<|user|>", "b"]


class Wordy:
    """A tokenizer that, like SentencePiece, writes no space in front of the first of the ids it decodes."""

    words = ("▁so", "▁it", "▁goes", "!")
    all_special_tokens: tuple[str, ...] = ()
    all_special_ids: tuple[int, ...] = ()
    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012
    unk_token_id = None

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(self.words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    def convert_ids_to_tokens(self, token: int) -> str:
        return self.words[token]


def test_words_keep_the_spaces_between_them_whatever_is_decoded_first() -> None:
    decoder = Decoder(Wordy())
    assert "".join(decoder.push(token) for token in (0, 1, 2, 3)) + decoder.finish() == "so it goes!"
    assert Vocabulary(Wordy()).text(1) == " it"
