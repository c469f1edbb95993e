"""Tasks of the kinds `count-letters` and `count-items`."""

from __future__ import annotations

from groundup.data.tasks.draws import Draws
from groundup.data.tasks.form import Filled, Form, asked, listed, with_article
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.word_lists import ADJECTIVES, OBJECTS, WORDS

MOST_ITEMS = 9


def _length(draws: Draws) -> Filled:
    word = draws.word(draws.pick((WORDS, WORDS, ADJECTIVES, NAMES, CITIES)))
    return Filled({"word": word}, str(len(word)))


LENGTH = Form(
    asked(
        """How many letters does the word {word} have?
        How many letters are in the word {word}?
        Count the letters of the word {word}.
        What is the number of letters in {word}?
        The word {word} has how many letters?
        How long is the word {word}, counted in letters?
        Look at the word {word}. How many letters is it made of?""",
        """How many letters do you need to write the word {word}?
        Tell me how many letters there are in the word {word}.
        Count how many letters {word} has.""",
    ),
    _length,
)


def _several(draws: Draws) -> Filled | None:
    """Ask for a letter that several words have twice at least; None where there is none."""
    words = [draws.word(ADJECTIVES), *draws.words(WORDS, draws.between(1, 2))]
    letters = "".join(words)
    repeated = [letter for letter in sorted(set(letters)) if letters.count(letter) > 1]
    if not repeated:
        return None
    letter = draws.pick(repeated)
    return Filled({"letter": letter, "words": " ".join(words)}, str(letters.count(letter)))


def _any(draws: Draws) -> Filled:
    word = draws.word(WORDS)
    letter = draws.pick(sorted(set(word)))
    return Filled({"letter": letter, "words": word}, str(word.count(letter)))


OCCURRENCES_ASKED = asked(
    """How many times does the letter {letter} appear in: {words}
    How often is the letter {letter} used in: {words}
    Count the letter {letter} in: {words}
    In "{words}", how many times do you see the letter {letter}?
    How many times is the letter {letter} in "{words}"?
    Read "{words}" and count how often the letter {letter} occurs.""",
    """How many times do you find the letter {letter} in "{words}"?
    What is the count of the letter {letter} in: {words}
    How many of the letters in "{words}" are {letter}?""",
)


def _things(draws: Draws) -> Filled:
    things = draws.words(OBJECTS, draws.between(2, MOST_ITEMS))
    gaps = {"name": draws.word(NAMES), "things": listed([with_article(one) for one in things])}
    return Filled(gaps, str(len(things)))


THINGS = Form(
    asked(
        """{name} packed {things}. How many things did {name} pack?
        On the table there are {things}. How many things are on the table?
        {name} sold {things}. How many things were sold?
        Count the things that {name} has: {things}.
        {name} would like to have {things}. How many things is that?
        In the room you see {things}. How many things do you see?""",
        """{name} found {things}. How many things did {name} find?
        {name} carries {things}. What is the number of things that {name} carries?
        There are {things} in the hall. How many things are there?""",
    ),
    _things,
)


def _list(draws: Draws) -> Filled:
    pool = draws.pick((OBJECTS, WORDS, NAMES, CITIES))
    words = draws.words(pool, draws.between(2, MOST_ITEMS))
    return Filled({"list": ", ".join(words)}, str(len(words)))


LIST = Form(
    asked(
        """How many words are in this list: {list}
        How many words are there? {list}
        Count the words: {list}
        What is the number of words in this list? {list}
        {list}: how many words is that?
        Count the items of this list: {list}
        Here is a list: {list}. How many items does it have?""",
        """How long is this list, counted in words? {list}
        How many items can you count here: {list}
        Tell me the number of items in the list: {list}""",
    ),
    _list,
)


def _repeated(draws: Draws) -> Filled:
    """Ask for a word of a list that may be in it more than once."""
    word, *others = draws.words(WORDS, 4)
    times = draws.between(1, 4)
    items = draws.shuffled([word] * times + others[: draws.between(1, 3)])
    return Filled({"word": word, "list": ", ".join(items)}, str(times))


REPEATED = Form(
    asked(
        """How many times is the word {word} in this list: {list}
        How often does {word} appear in this list? {list}
        Count the word {word}: {list}
        In the list {list}, how many times do you see {word}?
        Here is a list: {list}. How often is {word} in it?
        How many of these words are {word}? {list}""",
        """How many times does this list name {word}? {list}
        What is the count of {word} in this list: {list}
        How often do you find {word} here: {list}""",
    ),
    _repeated,
)

LETTER_FORMS = (
    LENGTH,
    Form(OCCURRENCES_ASKED, _any),
    LENGTH,
    Form(OCCURRENCES_ASKED, _several),
)
ITEM_FORMS = (THINGS, LIST, THINGS, LIST, REPEATED)
