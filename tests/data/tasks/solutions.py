"""Answers worked out from the text of a question alone, not as the question was made."""

from __future__ import annotations

import re
from fractions import Fraction

from groundup.data.tasks.word_lists import VERBS, words

LIST = re.compile(r"\w+(?:, \w+)+(?:,? (?:and|or) \w+)?")
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}
MILLIMETERS = {"millimeters": 1, "centimeters": 10, "meters": 1000, "kilometers": 1_000_000}
INCHES = {"inches": 1, "feet": 12, "yards": 36}
MONTHS = {"months": 1, "years": 12, "decades": 120, "centuries": 1200}
GRAMS = {"grams": 1, "kilograms": 1000, "tons": 1_000_000}
PINTS = {"pints": 1, "quarts": 2, "gallons": 8}
OTHERS = ({"milliliters": 1, "liters": 1000}, {"cents": 1, "dollars": 100})
MEASURES = (SECONDS, MILLIMETERS, INCHES, MONTHS, GRAMS, PINTS, *OTHERS)
MONTH_NAMES = words("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")
NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen "
            "fourteen fifteen sixteen seventeen eighteen nineteen"
        )
    )
} | {
    word: 10 * value
    for value, word in enumerate(words("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}


def items(question: str) -> list[str]:
    """Return what the last list of a question has, in its order."""
    found = LIST.findall(question)[-1:]
    return re.findall(r"\w+", re.sub(r" (?:and|or) ", ", ", "".join(found)))


def count_letters(question: str) -> str:
    if letter := re.search(r"letter (\w)\b", question) or re.search(r"are (\w)\?", question):
        quoted = re.search(r'"(.*)"', question) or re.search(r": (.*)", question)
        assert quoted is not None
        return str(quoted[1].count(letter[1]))
    word = (
        re.search(r"\b(?:word|in|letters) (\w+)(?: has| have|,|\?|\.)", question)
        or re.search(r"(?:the word|many letters) (\w+)", question)
    )  # fmt: skip
    assert word is not None, question
    return str(len(word[1]))


def count_items(question: str) -> str:
    things = re.findall(r"\ban? \w+", question.split(" is in it")[0])
    asked = re.search(
        r"(?:Count the word|many times is the word|often does|see|often is|words are|list name|"
        r"count of|you find) (\w+)",
        question,
    )
    if len(things) >= 2:
        return str(len(things))
    listed = LIST.findall(question)[-1].split(", ")
    if asked and asked[1] in listed:
        return str(listed.count(asked[1]))
    return str(len(listed))


def convert(question: str) -> str:
    units = [word for word in re.findall(r"[a-z]+", question) for m in MEASURES if word in m]
    if not units:
        return str(number_in(question))
    (number,) = re.findall(r"\d+", question)
    unit = re.search(rf"{number} (\w+)", question)
    assert unit is not None
    (goal,) = set(units) - {unit[1]}
    (measure,) = [one for one in MEASURES if unit[1] in one and goal in one]
    return str(Fraction(int(number) * measure[unit[1]], measure[goal]))


def number_in(text: str) -> int:
    """Return the number that the words of a text name."""
    total = part = 0
    for word in re.findall(r"[a-z]+", text.lower().replace("into a number", "")):
        if word in NUMBER_WORDS:
            part += NUMBER_WORDS[word]
        elif word == "hundred":
            part *= 100
        elif word == "thousand":
            total, part = total + 1000 * part, 0
    return total + part


def compare(question: str) -> str:
    least = re.search(
        r"smallest|least|lowest|younger|shorter|fewer|less\b|lower|earlier|first|before", question
    )
    found = dict(_sizes(question))
    return (min if least else max)(found, key=lambda answer: found[answer])


def _sizes(question: str) -> list[tuple[str, int]]:
    """Return what a question compares, and how large, old, late or long each of them is."""
    if "$" in question:
        prices = re.findall(r"(\w+)(?: \(|: | for | at | )\$(\d+)", question)
        return [(thing, int(price)) for thing, price in prices]
    if "date" in question or "in the year" in question:
        dates = re.findall(r"([A-Z]\w+) (\d+)", question)
        return [(f"{month} {day}", MONTH_NAMES.index(month[:3])) for month, day in dates]
    if re.search(r"old|young|lived", question):
        ages = re.findall(r"([A-Z][a-z]+)(?: is| turned|, aged|) \(?(\d+)", question)
        ages += re.findall(r"age of (\w+) is (\d+)", question)
        return [(name, int(age)) for name, age in ages]
    if numbers := re.findall(r"\d+", question):
        return [(number, int(number)) for number in numbers]
    pair = re.search(r"(\w+)(?:, | or | and )(\w+)(?=\.|\?|$| has| the| have|,)", question)
    return [] if pair is None else [(word, len(word)) for word in pair.groups()]


def rewrite(question: str, answer: str) -> bool:
    """Say whether an answer is the sentence of the question, changed by its rule."""
    new = answer.split()
    for start in range(len(old := question.split()) - len(new) + 1):
        pairs = list(zip(old[start : start + len(new)], new, strict=True))
        changed = [(a.strip("."), b.strip(".")) for a, b in pairs if a != b]
        if "past" in question and len(changed) == 1:
            (present, past), endings = changed[0], ("ed", "d", "ied")
            return any(past.endswith(e) for e in endings) and any(
                present in (f"{verb}s", f"{verb}es", f"{verb[:-1]}ies") and past[:3] == verb[:3]
                for verb in VERBS
            )
        if "woman" in question or " she " in question:
            if changed and set(changed) <= {("He", "She"), ("he", "she"), ("his", "her")}:
                return not {"he", "He", "his"} & set(new)
        elif len(changed) == 2 and changed[0] == changed[1][::-1]:
            return True
    return False


def extract(question: str, answer: str) -> bool:
    """Say whether an answer stands before what is asked, and is of the kind asked for."""
    *text, asked = re.split(r"(?<=\.) ", question.partition("?")[0])
    stands = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", " ".join(text))
    if re.search(r"How much|price", asked):
        form = r"\$\d+"
    elif re.search(r"date|When", asked):
        form = r"[A-Z]\w+ \d+"
    elif re.search(r"number|platform|year|room|\bold\b", asked):
        form = r"\d+"
    else:
        form = r"[a-z]+" if asked.startswith("What") else r"[A-Z][a-z]+"
    return stands is not None and answer not in asked and bool(re.fullmatch(form, answer))


def is_solved(kind: str, question: str, answer: str) -> bool:
    """Say whether an answer is right, as far as the question's text shows."""
    if kind == "extract":
        return extract(question, answer)
    if kind == "rewrite":
        return rewrite(question, answer)
    if kind == "upper-case":
        text = re.search(r'"(.*)"', question) or re.search(r": (.*)$", question)
        return text is not None and answer == text[1].upper()
    if kind == "reverse":
        if "," in answer:
            return answer.split(", ") == items(question)[::-1]
        return answer[::-1] in re.findall(r"\w+", question)
    if kind == "sort-words":
        return answer.split(", ") == sorted(items(question))
    if kind == "sort-numbers":
        down = re.search(r"descending|decreasing|largest (?:first|to)|with the largest", question)
        return answer == ", ".join(sorted(items(question), key=int, reverse=bool(down)))
    solve = {
        "count-letters": count_letters,
        "count-items": count_items,
        "convert": convert,
        "compare": compare,
    }[kind]
    return solve(question) == answer
