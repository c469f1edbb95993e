"""Tasks of the kind `extract`: a value out of a short text."""

from __future__ import annotations

from collections.abc import Mapping

from groundup.data.tasks.draws import TEST, TRAIN, Draws
from groundup.data.tasks.form import Filled, Form, with_article
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.word_lists import OBJECTS, words

MONTHS = words(
    """
    January February March April May June July August September October November December
    """
)

Texts = Mapping[str, Mapping[str, str]]
"""Short texts with gaps, and for each, by the gap asked for, the question."""

TEXTS: dict[str, Texts] = {
    TRAIN: {
        "{name} bought {a_object} in {city} on {date} for ${price}.": {
            "name": "Who bought the {object}?",
            "city": "In which city did {name} buy the {object}?",
            "date": "On which date did {name} buy the {object}?",
            "price_tag": "How much did the {object} cost?",
        },
        "{name} was born in {city} in {year} and now works with {other}.": {
            "city": "Where was {name} born?",
            "year": "In which year was {name} born?",
            "other": "Who works with {name}?",
        },
        "Dear {name}, your {object} will come on {date}. Bill: ${price}. Regards, {other}.": {
            "name": "To whom is this note addressed?",
            "object": "What will come? Answer in one word.",
            "date": "When will the {object} come?",
            "price_tag": "How much is the bill?",
            "other": "Who signed this note?",
        },
        "The train to {city} leaves at noon from platform {number}. {name} has seat {seat}.": {
            "city": "Where does the train go?",
            "number": "Which platform does the train leave from?",
            "name": "Who has a seat on the train?",
            "seat": "What is the number of the seat?",
        },
        "On {date}, {name} flew from {city} to {goal} to visit {other}.": {
            "date": "When did {name} fly?",
            "city": "From which city did {name} fly?",
            "goal": "To which city did {name} fly?",
            "other": "Whom did {name} visit?",
        },
        "{name}, aged {number}, sold {a_object} to {other} for ${price}.": {
            "name": "Who sold the {object}?",
            "other": "Who now has the {object}?",
            "number": "How old is {name}?",
            "price_tag": "What was the price of the {object}?",
        },
        "The meeting about the {object} is on {date} in room {number}. Ask {name} for the key.": {
            "date": "What is the date of the meeting?",
            "number": "In which room is the meeting?",
            "name": "Who has the key?",
            "object": "What is the meeting about? Answer in one word.",
        },
        "Lost in {city}: {a_object} with the name {name} on it. Reward: ${price}.": {
            "city": "In which city was the {object} lost?",
            "name": "Which name is on the {object}?",
            "price_tag": "How much is the reward?",
            "object": "What was lost? Answer in one word.",
        },
    },
    TEST: {
        "{name} moved from {city} to {goal} in {year} and opened a shop with {other}.": {
            "name": "Who moved to {goal}?",
            "city": "Where did {name} live before?",
            "goal": "Where did {name} move to?",
            "year": "In what year did {name} move?",
            "other": "With whom did {name} open a shop?",
        },
        "Invoice {number}: {name} of {city} ordered {a_object} on {date} and paid ${price}.": {
            "number": "What is the number of the invoice?",
            "name": "Who ordered the {object}?",
            "city": "In which city does {name} live?",
            "date": "When was the {object} ordered?",
            "price_tag": "How much did {name} pay?",
        },
        "Today {name} lent {other} {a_object}. {other} will give it back in {city} on {date}.": {
            "name": "Who lent the {object}?",
            "date": "On what date will {other} give the {object} back?",
            "city": "In what city will {other} give the {object} back?",
            "object": "What did {name} lend? Answer in one word.",
        },
    },
}

ASKED = (
    ("name", "city", "date", "price_tag"),
    ("name", "city", "year", "number"),
    ("other", "goal", "seat", "object"),
)
"""The values asked for; a form each, so that no kind of value is asked for alone."""


def _fill(draws: Draws) -> dict[str, object]:
    name, other = draws.words(NAMES, 2)
    city, goal = draws.words(CITIES, 2)
    number, seat = draws.numbers(11, 98, 2)
    price, thing = draws.number(5, 900), draws.word(OBJECTS)
    return {
        "name": name,
        "other": other,
        "city": city,
        "goal": goal,
        "number": number,
        "seat": seat,
        "year": draws.number(1900, 2020),
        "date": f"{draws.pick(MONTHS)} {draws.number(1, 28)}",
        "price": price,
        "price_tag": f"${price}",
        "object": thing,
        "a_object": with_article(thing),
    }


def _form(gap: str) -> Form:
    """Return the form that asks for one of the gaps."""

    def fill(draws: Draws) -> Filled:
        gaps = _fill(draws)
        return Filled(gaps, str(gaps[gap]))

    return Form(
        {
            split: tuple(
                f"{text} {questions[gap]}" for text, questions in texts.items() if gap in questions
            )
            for split, texts in TEXTS.items()
        },
        fill,
    )


FORMS = tuple(_form(gap) for gaps in ASKED for gap in gaps)
