"""The principles by which models judge and revise answers: a starter set, and the file of a project that holds them.

The wording of the starter set is this project's own; the way of using it is that of Constitutional AI.

Source: Bai et al. 2022, arXiv:2212.08073, sections 3.1 and 4.1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rlhf_engine.contract.errors import DataError

FILE = "constitution.json"
FORMAT = 1
MOST = 200  # principles
LONGEST = 2000  # characters of one text


@dataclass(frozen=True, slots=True)
class Principle:
    """`judge` says which answer is better, `critique` asks what is wrong with one, `revise` asks for a better one."""

    name: str
    judge: str
    critique: str
    revise: str


STARTER = (
    Principle(
        "helpfulness",
        "The better answer does what was asked, completely and without needless words.",
        "Name what the answer leaves out, what it says beside the point, and where it is hard to follow.",
        "Write the answer again so that it does exactly what was asked and is easy to follow.",
    ),
    Principle(
        "harmlessness",
        "The better answer does less to help anyone hurt others or themselves, and demeans nobody.",
        "Name everything in the answer that could help somebody do harm, or that demeans a person or a group.",
        "Write the answer again without anything that could do harm, and stay as useful as that allows.",
    ),
    Principle(
        "honesty",
        "The better answer says only what is true as far as can be known, and says where it is not sure.",
        "Name every claim in the answer that is false, made up, or said with more certainty than there is.",
        "Write the answer again so that everything in it is true, and doubts are told as doubts.",
    ),
    Principle(
        "clarity",
        "The better answer can be understood at first reading by somebody who does not know the subject.",
        "Name the words, sentences and steps that a reader new to the subject would not understand.",
        "Write the answer again in plain words and short sentences, in an order that explains itself.",
    ),
    Principle(
        "respect",
        "The better answer treats whoever asks as a capable adult: friendly, without flattery or lecturing.",
        "Name where the answer flatters, lectures, talks down, or agrees only to please.",
        "Write the answer again so that it is friendly and direct, without flattery or lecturing.",
    ),
)


def read_constitution(root: Path) -> tuple[Principle, ...]:
    """The project's principles; the starter set where it has written none down.

    Raises:
        DataError: the file cannot be understood, and why.
    """
    file = Path(root) / FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return STARTER
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    hint = "Mend it by hand, or delete it to begin with the starter set."
    try:
        body = json.loads(text)
        if body["format"] > FORMAT:
            raise DataError(f"{file} was written by a newer version of this program.", "Update the program.")
        found = tuple(Principle(**one) for one in body["principles"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be understood: {error}.", hint) from error
    require_sound(found)
    return found


def write_constitution(root: Path, principles: Sequence[Principle]) -> None:
    """Keep the principles in the project: the whole file or none of it.

    Raises:
        DataError: they cannot be used, or the file cannot be written.
    """
    require_sound(principles)
    file, unfinished = Path(root) / FILE, Path(root) / f".{FILE}.new"
    body = {"format": FORMAT, "principles": [asdict(principle) for principle in principles]}
    try:
        with unfinished.open("w", encoding="utf-8") as stream:
            json.dump(body, stream, ensure_ascii=False, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror}.") from error


def require_sound(principles: Sequence[Principle]) -> None:
    """Raise DataError for the first principle that cannot be used: no name, a name twice, no or far too much text."""
    if len(principles) > MOST:
        raise DataError(f"There are {len(principles)} principles; at most {MOST} can be used.")
    names: set[str] = set()
    for number, principle in enumerate(principles, 1):
        for field, text in asdict(principle).items():
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"Principle {number} has no {field}.", "Write one, or delete the principle.")
            if len(text) > LONGEST or any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
                raise DataError(f"The {field} of principle {number} is not text of at most {LONGEST:,} characters.")
        if principle.name in names:
            raise DataError(f"Two principles are called {principle.name!r}.", "Give one of them another name.")
        names.add(principle.name)


def chosen(principles: Sequence[Principle], names: Sequence[str]) -> tuple[Principle, ...]:
    """The principles of these names, in their order; all of them for none.

    Raises:
        DataError: a name that there is not, or no principle at all.
    """
    by_name = {principle.name: principle for principle in principles}
    if unknown := [name for name in names if name not in by_name]:
        raise DataError(f"There is no principle {unknown[0]!r}.", f"This project has {', '.join(by_name) or 'none'}.")
    found = tuple(by_name[name] for name in dict.fromkeys(names)) or tuple(principles)
    if not found:
        raise DataError("This project has no principles.", "Add one, or delete its constitution.json.")
    return found
