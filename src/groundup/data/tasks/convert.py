"""Tasks of the kind `convert`: one unit to another, and number words to digits."""

from __future__ import annotations

from groundup.data.tasks.draws import Draws, side_of
from groundup.data.tasks.form import Filled, Form, asked
from groundup.data.tasks.word_lists import words

UNITS = (
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("gallons", "quarts", 4),
    ("quarts", "pints", 2),
)
DECIMAL_UNITS = (
    ("centimeters", "millimeters", 10),
    ("meters", "centimeters", 100),
    ("kilometers", "meters", 1000),
    ("kilograms", "grams", 1000),
    ("tons", "kilograms", 1000),
    ("liters", "milliliters", 1000),
    ("dollars", "cents", 100),
    ("decades", "years", 10),
    ("centuries", "years", 100),
)
"""How many of the second are in one of the first."""

ONES = words(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
    """
)
TENS = ("", "", *words("twenty thirty forty fifty sixty seventy eighty ninety"))


def in_words(number: int) -> str:
    """Return a number from 0 to 9,999 in words, as Americans write it: without `and`."""
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            count, rest = divmod(number, size)
            return f"{in_words(count)} {name}{f' {in_words(rest)}' if rest else ''}"
    if number < 20:
        return ONES[number]
    return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")


CONVERT = asked(
    """How many {goal} are there in {n} {unit}?
    Convert {n} {unit} to {goal}.
    {n} {unit} is how many {goal}?
    What is {n} {unit} in {goal}?
    Change {n} {unit} into {goal}. Give only the number.
    How many {goal} are {n} {unit}?
    Turn {n} {unit} into {goal}.""",
    """Express {n} {unit} in {goal}.
    {n} {unit} equals how many {goal}?
    If you convert {n} {unit} into {goal}, how many do you get?""",
)


def _to_smaller(draws: Draws) -> Filled:
    unit, goal, size = draws.pick(UNITS)
    n = draws.number(2, 20)
    return Filled({"n": n, "unit": unit, "goal": goal}, str(n * size))


def _to_smaller_decimal(draws: Draws) -> Filled:
    unit, goal, size = draws.pick(DECIMAL_UNITS)
    n = draws.number(2, 99)
    return Filled({"n": n, "unit": unit, "goal": goal}, str(n * size))


def _to_larger_decimal(draws: Draws) -> Filled | None:
    unit, goal, size = draws.pick(DECIMAL_UNITS)
    n = draws.number(2, 99)
    draws.values.append(many := str(n * size))
    if side_of(many) != draws.split:
        return None
    return Filled({"n": many, "unit": goal, "goal": unit}, str(n))


WORDS_TO_DIGITS = asked(
    """Write {words} in digits.
    Write the number {words} as a numeral.
    What is {words} in figures?
    Convert to digits: {words}
    Which number is {words}? Use digits.
    Change {words} into digits.
    Turn these words into a number: {words}""",
    """Give {words} as digits.
    How do you write {words} with digits?
    Put the number {words} into figures.""",
)


def _to_digits(draws: Draws) -> Filled:
    n = draws.number(*draws.pick(((13, 99), (100, 999), (1000, 9999))))
    return Filled({"words": in_words(n)}, str(n))


def _to_short_digits(draws: Draws) -> Filled:
    n = draws.number(13, 999)
    return Filled({"words": in_words(n)}, str(n))


FORMS = (
    Form(WORDS_TO_DIGITS, _to_digits),
    Form(CONVERT, _to_smaller_decimal),
    Form(WORDS_TO_DIGITS, _to_short_digits),
    Form(CONVERT, _to_larger_decimal),
    Form(WORDS_TO_DIGITS, _to_short_digits),
    Form(CONVERT, _to_smaller),
)
