"""Tasks of the kind `compare`: which is larger, longer, earlier, older, dearer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from groundup.data.tasks.draws import Draws
from groundup.data.tasks.extract import MONTHS
from groundup.data.tasks.form import Filled, Form, asked
from groundup.data.tasks.people_and_cities import NAMES
from groundup.data.tasks.word_lists import OBJECTS, WORDS

Choose = Callable[[Sequence[int]], int]
Fill = Callable[[Draws], Filled | None]
LEAST_DIFFERENCE = 2  # letters, between two words


def _numbers(choose: Choose) -> Fill:
    def fill(draws: Draws) -> Filled:
        a, b, c = draws.numbers(10, 999, 3)
        return Filled({"a": a, "b": b, "c": c}, str(choose((a, b, c))))

    return fill


LARGEST = Form(
    asked(
        """Which number is the largest: {a}, {b} or {c}?
        Which of these numbers is the largest? {a}, {b}, {c}
        Find the largest number: {a}, {b}, {c}
        What is the greatest of the numbers {a}, {b} and {c}?
        Of {a}, {b} and {c}, which is the biggest?
        Name the highest number: {a}, {b}, {c}""",
        """Pick the largest of these three numbers: {a}, {b}, {c}
        Out of {a}, {b} and {c}, which number is the largest?
        Which is the biggest number here: {a}, {b}, {c}""",
    ),
    _numbers(max),
)
SMALLEST = Form(
    asked(
        """Which number is the smallest: {a}, {b} or {c}?
        Which of these numbers is the smallest? {a}, {b}, {c}
        Find the smallest number: {a}, {b}, {c}
        What is the least of the numbers {a}, {b} and {c}?
        Of {a}, {b} and {c}, which is the smallest?
        Name the lowest number: {a}, {b}, {c}""",
        """Pick the smallest of these three numbers: {a}, {b}, {c}
        Out of {a}, {b} and {c}, which number is the smallest?
        Which is the lowest number here: {a}, {b}, {c}""",
    ),
    _numbers(min),
)


def _words(choose: Choose) -> Fill:
    def fill(draws: Draws) -> Filled | None:
        words = draws.words(WORDS, 2)
        by_length = {len(word): word for word in words}
        if max(by_length) - min(by_length) < LEAST_DIFFERENCE:
            return None
        return Filled({"a": words[0], "b": words[1]}, by_length[choose(tuple(by_length))])

    return fill


LONGER = Form(
    asked(
        """Which word is longer, {a} or {b}?
        Which word has more letters: {a} or {b}?
        Compare {a} and {b}. Which word is longer?
        Of the words {a} and {b}, which is the longer one?
        Name the longer word: {a}, {b}
        Is {a} or {b} the longer word?""",
        """Which of the words {a} and {b} has more letters?
        Pick the longer of these two words: {a}, {b}
        Tell me which word is longer: {a} or {b}""",
    ),
    _words(max),
)
SHORTER = Form(
    asked(
        """Which word is shorter, {a} or {b}?
        Which word has fewer letters: {a} or {b}?
        Compare {a} and {b}. Which word is shorter?
        Of the words {a} and {b}, which is the shorter one?
        Name the shorter word: {a}, {b}
        Is {a} or {b} the shorter word?""",
        """Which of the words {a} and {b} has fewer letters?
        Pick the shorter of these two words: {a}, {b}
        Tell me which word is shorter: {a} or {b}""",
    ),
    _words(min),
)


def _values_of(pool: tuple[str, ...], least: int, most: int, choose: Choose) -> Fill:
    """Draw two of a pool, each with a value from `least` to `most`; ask for one of the two."""

    def fill(draws: Draws) -> Filled:
        two, values = draws.words(pool, 2), draws.numbers(least, most, 2)
        gaps = {"a": two[0], "b": two[1], "x": values[0], "y": values[1]}
        return Filled(gaps, two[values.index(choose(values))])

    return fill


OLDER = Form(
    asked(
        """{a} is {x} years old and {b} is {y}. Who is older?
        {a} is {x} and {b} is {y} years old. Which of the two is older?
        Who is older: {a}, aged {x}, or {b}, aged {y}?
        The age of {a} is {x}. The age of {b} is {y}. Who is the older one?
        {a} turned {x} today, and {b} turned {y}. Who is older?
        Ages: {a} {x}, {b} {y}. Who has lived longer?""",
        """If {a} is {x} years old and {b} is {y} years old, who is older?
        {a} ({x}) and {b} ({y}) are friends. Who is older?""",
    ),
    _values_of(NAMES, 18, 95, max),
)
YOUNGER = Form(
    asked(
        """{a} is {x} years old and {b} is {y}. Who is younger?
        {a} is {x} and {b} is {y} years old. Which of the two is younger?
        Who is younger: {a}, aged {x}, or {b}, aged {y}?
        The age of {a} is {x}. The age of {b} is {y}. Who is the younger one?
        {a} turned {x} today, and {b} turned {y}. Who is younger?""",
        """If {a} is {x} years old and {b} is {y} years old, who is younger?
        {a} ({x}) and {b} ({y}) are friends. Who is younger?""",
    ),
    _values_of(NAMES, 18, 95, min),
)


DEARER = Form(
    asked(
        """Which costs more: {a} (${x}) or {b} (${y})?
        Prices: {a} ${x}, {b} ${y}. Which costs more?
        Which is more expensive? {a}: ${x}, {b}: ${y}
        In a shop you see: {a} ${x}, {b} ${y}. Which has the higher price?
        Name what costs more: {a} for ${x}, {b} for ${y}""",
        """For sale: {a} ${x}, {b} ${y}. Which one is more expensive?
        Which one costs more: {a} at ${x} or {b} at ${y}?""",
    ),
    _values_of(OBJECTS, 5, 500, max),
)
CHEAPER = Form(
    asked(
        """Which costs less: {a} (${x}) or {b} (${y})?
        Prices: {a} ${x}, {b} ${y}. Which costs less?
        Which costs less? {a}: ${x}, {b}: ${y}
        In a shop you see: {a} ${x}, {b} ${y}. Which has the lower price?
        Name what costs less: {a} for ${x}, {b} for ${y}""",
        """For sale: {a} ${x}, {b} ${y}. Which one is less expensive?
        Which one costs less: {a} at ${x} or {b} at ${y}?""",
    ),
    _values_of(OBJECTS, 5, 500, min),
)


def _years(choose: Choose) -> Fill:
    def fill(draws: Draws) -> Filled:
        a, b = draws.numbers(1500, 2020, 2)
        return Filled({"a": a, "b": b}, str(choose((a, b))))

    return fill


EARLIER_YEAR = Form(
    asked(
        """Which year came first: {a} or {b}?
        Which year is earlier, {a} or {b}?
        Of the years {a} and {b}, which was earlier?
        Name the earlier year: {a}, {b}""",
        """Which of the years {a} and {b} came before the other?
        Tell me which year was first: {a} or {b}""",
    ),
    _years(min),
)
LATER_YEAR = Form(
    asked(
        """Which year came last: {a} or {b}?
        Which year is later, {a} or {b}?
        Of the years {a} and {b}, which was later?
        Name the later year: {a}, {b}""",
        """Which of the years {a} and {b} came after the other?
        Tell me which year was last: {a} or {b}""",
    ),
    _years(max),
)


def _dates(choose: Choose) -> Fill:
    def fill(draws: Draws) -> Filled | None:
        months = [draws.below(12), draws.below(12)]
        dates = [f"{MONTHS[month]} {draws.number(1, 28)}" for month in months]
        if months[0] == months[1]:
            return None
        return Filled({"a": dates[0], "b": dates[1]}, dates[months.index(choose(months))])

    return fill


EARLIER_DATE = Form(
    asked(
        """Which comes earlier in the year, {a} or {b}?
        Which date is earlier in the year: {a} or {b}?
        Of {a} and {b}, which is the earlier date in the year?
        Name the date that comes first in the year: {a}, {b}""",
        """In one year, which date comes first: {a} or {b}?
        Which of the dates {a} and {b} is earlier in the year?""",
    ),
    _dates(min),
)

FORMS = (
    LARGEST,
    OLDER,
    LONGER,
    EARLIER_YEAR,
    CHEAPER,
    SMALLEST,
    YOUNGER,
    SHORTER,
    LATER_YEAR,
    DEARER,
    EARLIER_DATE,
)
