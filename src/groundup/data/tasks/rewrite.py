"""Tasks of the kind `rewrite`: a sentence changed by a rule that leaves one right answer."""

from __future__ import annotations

from groundup.data.tasks.draws import TEST, TRAIN, Draws
from groundup.data.tasks.form import Filled, Form, asked
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.word_lists import OBJECTS, OF_THINGS, VERBS


def past(verb: str) -> str:
    """Return the past tense of one of `VERBS`, none of which doubles its last letter."""
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}ed"


def third_person(verb: str) -> str:
    """Return the form of one of `VERBS` that goes with he, she and it."""
    if verb.endswith(("s", "x", "sh", "ch")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


def _gaps(draws: Draws) -> dict[str, str]:
    a, b = draws.words(OBJECTS, 2)
    return {
        "name": draws.word(NAMES),
        "verb": draws.word(VERBS),
        "adjective": draws.word(OF_THINGS),
        "a": a,
        "b": b,
        "city": draws.word(CITIES),
    }


PAST_SHAPES = {
    TRAIN: (
        "{name} {verb} the {a}.",
        "{name} {verb} the {adjective} {a}.",
        "{name} {verb} the {a} and the {b}.",
        "{name} {verb} the {a} in {city}.",
        "Every Friday {name} {verb} the {a}.",
    ),
    TEST: (
        "The man from {city} {verb} the {a}.",
        "In {city}, {name} {verb} the {adjective} {a}.",
    ),
}
HE_SHAPES = {
    TRAIN: (
        "He {verb} his {a}.",
        "He {verb} his {adjective} {a}.",
        "When he was in {city}, he {verb} the {a}.",
        "He said that he {verb} the {a}.",
        "He {verb} his {a} and his {b}.",
    ),
    TEST: ("In {city} he {verb} his {a}.", "He {verb} the {a} before he left {city}."),
}
SWAP_SHAPES = {
    TRAIN: (
        "The {a} is next to the {b}.",
        "{name} put the {a} on the {b}.",
        "The {a} is heavier than the {b}.",
        "The {a} fell on the {b}.",
        "{name} likes the {a} more than the {b}.",
    ),
    TEST: ("The {a} costs more than the {b}.", "{name} hid the {a} behind the {b}."),
}


def _past_tense(draws: Draws) -> Filled:
    gaps, shape = _gaps(draws), draws.pick(PAST_SHAPES[draws.split])
    sentence = shape.format(**gaps | {"verb": third_person(gaps["verb"])})
    return Filled(
        {"sentence": sentence}, shape.format(**gaps | {"verb": past(gaps["verb"])}), shape
    )


def _he_to_she(draws: Draws) -> Filled:
    gaps, shape = _gaps(draws), draws.pick(HE_SHAPES[draws.split])
    sentence = shape.format(**gaps | {"verb": past(gaps["verb"])})
    she = {"He": "She", "he": "she", "his": "her"}
    return Filled(
        {"sentence": sentence}, " ".join(she.get(word, word) for word in sentence.split()), shape
    )


def _swapped(draws: Draws) -> Filled:
    gaps, shape = _gaps(draws), draws.pick(SWAP_SHAPES[draws.split])
    answer = shape.format(**gaps | {"a": gaps["b"], "b": gaps["a"]})
    first, second = draws.shuffled([gaps["a"], gaps["b"]])
    return Filled({"sentence": shape.format(**gaps), "a": first, "b": second}, answer, shape)


FORMS = (
    Form(
        asked(
            """Put this sentence into the past tense: {sentence}
            Rewrite in the past tense: {sentence}
            Change this sentence to the past tense: {sentence}
            {sentence} Write this sentence in the past tense.
            Say this as if it happened in the past, with the same words: {sentence}
            Turn the present tense into the past tense: {sentence}""",
            """What is this sentence in the past tense? {sentence}
            Use the past tense instead of the present tense: {sentence}
            Write it in the past tense: {sentence}""",
        ),
        _past_tense,
    ),
    Form(
        asked(
            """Change he to she and his to her in this sentence: {sentence}
            Rewrite this sentence with she and her: {sentence}
            Write she instead of he, and her instead of his: {sentence}
            Change the sentence so that it is about a woman: {sentence}
            {sentence} Write this sentence about a woman.
            Replace he by she and his by her: {sentence}""",
            """Make this sentence about a woman, not a man: {sentence}
            Rewrite with she and her in place of he and his: {sentence}
            Turn he into she and his into her: {sentence}""",
        ),
        _he_to_she,
    ),
    Form(
        asked(
            """Swap the words {a} and {b} in this sentence: {sentence}
            Rewrite with {a} and {b} swapped: {sentence}
            Let the words {a} and {b} change places: {sentence}
            {sentence} Write this sentence with {a} and {b} swapped.
            Exchange {a} and {b} in the sentence: {sentence}
            Switch {a} with {b} in this sentence: {sentence}""",
            """In this sentence, swap {a} and {b}: {sentence}
            Let {a} and {b} trade places in this sentence: {sentence}
            Switch the words {a} and {b}: {sentence}""",
        ),
        _swapped,
    ),
)
