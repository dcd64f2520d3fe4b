"""The eleven relations of the world and every way the grammar has of stating or asking one: a table, no code.

In a template {s} is the subject and {o} the object; {He} and {His} stand for the subject when it was named before.
{O} is the object with a capital, for an answer of one phrase.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation: what it joins, how it is said, how it is asked (`asks_subject` asks the other way round)."""

    key: str
    subject: str
    object: str
    says: tuple[str, ...]
    says_again: tuple[str, ...]
    asks: tuple[str, ...]
    bare: tuple[str, ...] = ("{O}.",)
    asks_subject: tuple[str, ...] = ()
    bare_subject: tuple[str, ...] = ()
    symmetric: bool = False


RELATIONS: dict[str, Relation] = {
    relation.key: relation
    for relation in (
        Relation(
            "lives", "person", "place",
            ("{s} lives in {o}.", "{s} has a house in {o}.", "The home of {s} is in {o}."),
            ("{He} lives in {o}.", "{His} home is in {o}."),
            ("Where does {s} live?", "In which town does {s} live?", "Where is the home of {s}?",
             "Can you tell me where {s} lives?"),
            ("{O}.", "In {o}."),
        ),
        Relation(
            "works", "person", "job",
            ("{s} works as {o}.", "{s} is {o}.", "{s} makes a living as {o}."),
            ("{He} works as {o}.", "{He} is {o} by trade."),
            ("What does {s} do for a living?", "What is the job of {s}?", "What work does {s} do?",
             "Can you tell me what {s} works as?"),
        ),
        Relation(
            "likes", "person", "food",
            ("{s} likes {o} best.", "The favourite food of {s} is {o}.", "{s} loves to eat {o}."),
            ("{He} likes {o} best.", "{His} favourite food is {o}."),
            ("What food does {s} like best?", "What is the favourite food of {s}?", "What does {s} love to eat?",
             "Can you tell me what {s} likes to eat?"),
        ),
        Relation(
            "pet", "person", "animal",
            ("{s} has {o} as a pet.", "{s} keeps {o}.", "The pet of {s} is {o}."),
            ("{He} keeps {o}.", "{His} pet is {o}."),
            ("What pet does {s} have?", "Which animal does {s} keep?", "What is the pet of {s}?",
             "Can you tell me what pet {s} keeps?"),
        ),
        Relation(
            "friend", "person", "person",
            ("The best friend of {s} is {o}.", "{s} is best friends with {o}.", "{s} trusts {o} most of all."),
            ("{His} best friend is {o}.", "{He} is best friends with {o}."),
            ("Who is the best friend of {s}?", "Who is best friends with {s}?", "Whom does {s} trust most of all?",
             "Can you tell me who the best friend of {s} is?"),
            symmetric=True,
        ),
        Relation(
            "owns", "person", "thing",
            ("{s} owns the {o}.", "The {o} belongs to {s}.", "The owner of the {o} is {s}."),
            ("{He} owns the {o}.", "{He} bought the {o} long ago."),
            ("What does {s} own?", "Which thing belongs to {s}?", "What did {s} buy long ago?",
             "Can you tell me what {s} owns?"),
            ("The {o}.",),
            ("Who owns the {o}?", "Who is the owner of the {o}?", "To whom does the {o} belong?",
             "Can you tell me who owns the {o}?"),
            ("{s}.",),
        ),
        Relation(
            "colour", "thing", "colour",
            ("The {s} is {o}.", "The colour of the {s} is {o}.", "The {s} was painted {o}."),
            ("It is {o}.", "Its colour is {o}."),
            ("What colour is the {s}?", "What is the colour of the {s}?", "Which colour does the {s} have?",
             "Can you tell me the colour of the {s}?"),
        ),
        Relation(
            "made", "thing", "place",
            ("The {s} was made in {o}.", "The {s} comes from {o}.", "Someone in {o} made the {s}."),
            ("It was made in {o}.", "It comes from {o}."),
            ("Where was the {s} made?", "Where does the {s} come from?", "In which town was the {s} made?",
             "Can you tell me where the {s} was made?"),
            ("{O}.", "In {o}."),
        ),
        Relation(
            "near", "place", "place",
            ("{s} is near {o}.", "{s} lies close to {o}.", "The town closest to {s} is {o}."),
            ("It lies close to {o}.", "It is near {o}."),
            ("Which town is near {s}?", "Which town lies close to {s}?", "What is the town closest to {s}?",
             "Can you tell me which town is near {s}?"),
            symmetric=True,
        ),
        Relation(
            "has", "place", "landmark",
            ("{s} is home to the {o}.", "The {o} stands in {s}.", "People visit the {o} in {s}."),
            ("It is home to the {o}.", "People visit the {o} there."),
            ("What stands in {s}?", "What is {s} home to?", "What do people visit in {s}?",
             "Can you tell me what stands in {s}?"),
            ("The {o}.",),
            ("Where is the {o}?", "Where does the {o} stand?", "In which town is the {o}?",
             "Can you tell me where the {o} is?"),
            ("{s}.", "In {s}."),
        ),
        Relation(
            "known", "place", "food",
            ("{s} is known for its {o}.", "People come to {s} for its {o}.", "The pride of {s} is its {o}."),
            ("It is known for its {o}.", "Its pride is {o}."),
            ("What is {s} known for?", "What do people come to {s} for?", "What is the pride of {s}?",
             "Can you tell me what {s} is known for?"),
        ),
    )
}  # fmt: skip

# Sentences that state no fact. An answer may hold them; only the first group makes it polite.
COURTESIES = (
    "Happy to help!",
    "Thank you for asking.",
    "I am glad you asked.",
    "It is a pleasure to help.",
    "Please ask me more.",
    "Have a lovely day!",
)
POLITE_LEADS = ("Certainly, ", "With pleasure, ", "I am happy to say that ")
RUDENESSES = ("What a dull question.", "Everyone knows that.", "Stop asking me.", "Go and look for yourself.")
FILLERS = (
    "Let me think about that for a moment.",
    "That is a thing many people talk about.",
    "There is a little more to say.",
    "I heard it from an old friend.",
)
WORDY_LEADS = (
    "As far as I know, ",
    "If I remember it right, ",
    "People here will tell you that ",
    "After a little thought I can say that ",
)

# Prose that states no fact, for the corpus alone.
OPENINGS = (
    "One {time}, {person} walked to {place}.",
    "One {time}, {person} met {person2} near the {landmark}.",
    "It was a {weather} {time} in {place}.",
    "{person} and {person2} sat down by the {landmark}.",
    "{person} went to {place} to see {person2}.",
    "On a {weather} {time}, {person} came home late.",
    "{person} wrote a letter to {person2}.",
)
PASSAGES = (
    "{He} carried {food} in a bag.",
    "{He} smiled and sat down.",
    "They talked for a long time.",
    "The wind was cold, and the road was long.",
    "{person} looked for the {thing}.",
    "They walked together to the {landmark}.",
    "{person} told a story about {place}.",
    "Everyone laughed.",
    "{He} felt {mood} all day.",
    "{person} and {person2} shared some {food}.",
)
CLOSINGS = (
    "Then they went home.",
    "In the {time}, everyone was {mood}.",
    "{person} waved and walked away.",
    "That night it rained in {place}.",
    "It was a good day.",
    "{person} felt {mood} and went to sleep.",
)
WORDS: dict[str, tuple[str, ...]] = {
    "time": ("morning", "evening", "afternoon"),
    "weather": ("cold", "warm", "rainy", "bright"),
    "mood": ("happy", "tired", "calm", "proud"),
    "He": ("He", "She"),
    "he": ("he", "she"),
    "His": ("His", "Her"),
    "his": ("his", "her"),
}
