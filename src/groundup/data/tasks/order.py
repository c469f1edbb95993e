"""Tasks of the kinds `reverse`, `sort-words`, `sort-numbers` and `upper-case`."""

from __future__ import annotations

from collections.abc import Callable

from groundup.data.tasks.draws import Draws
from groundup.data.tasks.form import Filled, Form, asked
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.word_lists import ADJECTIVES, WORDS

LONGEST_REVERSED = 5  # letters
SHORT_WORDS = tuple(word for word in WORDS if len(word) <= LONGEST_REVERSED)


def _backwards(draws: Draws) -> Filled | None:
    word = draws.word(SHORT_WORDS)
    return None if word == word[::-1] else Filled({"word": word}, word[::-1])


WORD_BACKWARDS = Form(
    asked(
        """Write the word {word} backwards.
        Spell {word} backwards.
        Reverse the letters of the word {word}.
        What is {word} spelled backwards?
        Write the letters of {word} in reverse order, as one word.
        Turn the word {word} around, letter by letter.""",
        """How do you spell {word} backwards?
        Give the word {word} with its letters reversed.
        Write {word} from the last letter to the first.""",
    ),
    _backwards,
)


def _list_backwards(draws: Draws) -> Filled:
    pool = draws.pick((WORDS, WORDS, NAMES, CITIES))
    words = draws.words(pool, draws.between(3, 5))
    return Filled({"list": ", ".join(words)}, ", ".join(reversed(words)))


LIST_BACKWARDS = Form(
    asked(
        """Reverse this list: {list}
        Write this list in reverse order: {list}
        Reverse the order of these words: {list}
        Put the last word first, and so on: {list}
        Write these words from the last to the first: {list}
        Turn this list around: {list}""",
        """Give this list backwards: {list}
        List these words in the opposite order: {list}
        Say these words again, beginning with the last one: {list}""",
    ),
    _list_backwards,
)


def _sorted_words(draws: Draws) -> Filled | None:
    """Ask to sort words that begin with different letters, and are not sorted yet."""
    pool = draws.pick((WORDS, WORDS, NAMES, CITIES))
    words = draws.words(pool, draws.between(3, 4))
    if words == sorted(words) or len({word[0] for word in words}) < len(words):
        return None
    return Filled({"list": ", ".join(words)}, ", ".join(sorted(words)))


SORT_WORDS = Form(
    asked(
        """Sort these words alphabetically: {list}
        Put these words in alphabetical order: {list}
        Write these words in the order of the alphabet: {list}
        Arrange from A to Z: {list}
        Sort from A to Z: {list}
        Alphabetize this list: {list}
        {list}: put these words in alphabetical order.
        In which order does a dictionary list these words? {list}""",
        """Order these words alphabetically: {list}
        Give this list in alphabetical order: {list}
        Arrange these words as the alphabet does: {list}""",
    ),
    _sorted_words,
)


def _sorted_numbers(descending: bool) -> Callable[[Draws], Filled | None]:
    def fill(draws: Draws) -> Filled | None:
        numbers = draws.numbers(1, draws.pick((99, 99, 999)), draws.between(3, 5))
        in_order = sorted(numbers, reverse=descending)
        if numbers == in_order:
            return None
        return Filled({"list": ", ".join(map(str, numbers))}, ", ".join(map(str, in_order)))

    return fill


ASCENDING = Form(
    asked(
        """Sort these numbers from smallest to largest: {list}
        Put these numbers in ascending order: {list}
        Arrange from the smallest to the largest: {list}
        Write these numbers in increasing order: {list}
        Sort in ascending order: {list}
        Order these numbers, the smallest first: {list}""",
        """List these numbers from smallest to largest: {list}
        Give these numbers in ascending order: {list}
        Sort these numbers, beginning with the smallest: {list}""",
    ),
    _sorted_numbers(descending=False),
)
DESCENDING = Form(
    asked(
        """Sort these numbers from largest to smallest: {list}
        Put these numbers in descending order: {list}
        Arrange from the largest to the smallest: {list}
        Write these numbers in decreasing order: {list}
        Sort in descending order: {list}
        Order these numbers, the largest first: {list}""",
        """List these numbers from largest to smallest: {list}
        Give these numbers in descending order: {list}
        Sort these numbers, beginning with the largest: {list}""",
    ),
    _sorted_numbers(descending=True),
)


TEXTS = (
    "{word}",
    "{name}",
    "{city}",
    "{adjective} {word}",
    "the {adjective} {word}",
    "{name} in {city}",
)


def _upper_case(draws: Draws) -> Filled:
    text = draws.pick(TEXTS).format(
        word=draws.word(WORDS),
        name=draws.word(NAMES),
        city=draws.word(CITIES),
        adjective=draws.word(ADJECTIVES),
    )
    return Filled({"text": text}, text.upper())


UPPER_CASE = Form(
    asked(
        """Write in capital letters: {text}
        Put this in upper case: {text}
        Change every letter to a capital: {text}
        Capitalize all letters: {text}
        Convert to upper case: {text}
        Type this in all caps: {text}
        Write "{text}" in capital letters.
        Make every letter a capital letter: {text}""",
        """Rewrite this in upper case: {text}
        What does "{text}" look like in capital letters?
        Use only capital letters: {text}""",
    ),
    _upper_case,
)

REVERSE_FORMS = (LIST_BACKWARDS, WORD_BACKWARDS, LIST_BACKWARDS)
WORD_FORMS = (SORT_WORDS,)
NUMBER_FORMS = (ASCENDING, ASCENDING, DESCENDING)
UPPER_FORMS = (UPPER_CASE,)
