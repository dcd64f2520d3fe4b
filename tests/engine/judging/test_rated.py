"""Ratings of single answers: repeats are compared with what they repeat, and counted nowhere else."""

from __future__ import annotations

import pytest

from rlhf_engine.cli.agreement import lines_of
from rlhf_engine.judging.rated import rated_attributes, raters
from rlhf_engine.judging.report import fairness_of
from rlhf_engine.store.labels import Labels


@pytest.fixture
def found(tmp_path):
    """Ann rates twelve answers, liking every third, and eleven of them again: the last one otherwise. Bob rates one."""
    labels = Labels(tmp_path / "labels.db")
    pairs = [labels.add_pair(f"q{n}", f"x{n}", f"y{n}") for n in range(12)]
    first = []
    for n, pair in enumerate(pairs):
        word = {"kind": "yes" if n % 3 == 0 else "partly" if n == 1 else "no"}
        said = {"seconds": 4.0, "session": "one", "attributes": word}
        first.append(labels.add_rating(f"q{n}", f"x{n}", n % 3 == 0, author="ann", answer=f"{pair}/a", meta=said)[0])
    for n in range(11):
        liked = n % 3 == 0 and n != 9
        repeat = {"seconds": 2.0, "repeat_of": first[n], "attributes": {"kind": "no"}}
        labels.add_rating(f"q{n}", f"x{n}", liked, author="ann", answer=f"{pairs[n]}/a", meta=repeat)
    labels.add_rating("q0", "y0", True, author="bob", answer=f"{pairs[0]}/b")
    yield fairness_of(labels)
    labels.close()


def test_each_person_is_compared_with_themselves(found):
    ann, bob = found.raters
    assert (ann.name, ann.count, ann.liked) == ("ann", 12, 4)
    assert (ann.consistency.repeats, ann.consistency.same) == (11, 10)
    assert (bob.name, bob.count, bob.liked, bob.consistency.repeats) == ("bob", 1, 1, 0)
    assert raters([]) == []


def test_the_rubric_goes_with_the_rating_where_a_yes_was_liked_or_a_no_was_not(found):
    (kind,) = found.rated
    assert kind.said == {"yes": 4, "partly": 1, "no": 7} and (kind.same, kind.of) == (11, 11)
    assert rated_attributes([]) == []


def test_the_command_tells_it(found):
    lines = lines_of(found)
    assert "ann: 12 answers rated, 4 of them liked" in lines
    assert "  the same again: 91 % (95 %: 62 to 98 %), 11 repeats" in lines  # Wilson's interval of 10 in 11
    assert "  the same again: 0 of the 10 repeats it takes" in lines
    assert "kind: said of 12 answers; goes with the rating in 11 of 11" in lines
