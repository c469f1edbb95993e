"""The ten kinds of tasks."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.data.tasks import compare, convert, counting, extract, order, rewrite
from groundup.data.tasks.form import Form


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of tasks: what it asks for, in words, and its forms, each as often as it stands."""

    name: str
    title: str
    forms: tuple[Form, ...]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="extract", title="a value out of a short text", forms=extract.FORMS),
        Kind(
            name="count-letters",
            title="the letters of a word, or one letter in some words",
            forms=counting.LETTER_FORMS,
        ),
        Kind(
            name="count-items",
            title="things in a sentence or a list, or one word in a list",
            forms=counting.ITEM_FORMS,
        ),
        Kind(
            name="convert",
            title="units, all in whole numbers, and number words to digits",
            forms=convert.FORMS,
        ),
        Kind(
            name="compare",
            title="which is larger, longer, older, earlier, cheaper, or the contrary",
            forms=compare.FORMS,
        ),
        Kind(
            name="rewrite",
            title="a sentence in the past tense, with she for he, or with two words swapped",
            forms=rewrite.FORMS,
        ),
        Kind(name="reverse", title="a list, or a short word", forms=order.REVERSE_FORMS),
        Kind(name="sort-words", title="three or four, alphabetically", forms=order.WORD_FORMS),
        Kind(
            name="sort-numbers",
            title="three to five, from small to large or back",
            forms=order.NUMBER_FORMS,
        ),
        Kind(name="upper-case", title="one to four words in capitals", forms=order.UPPER_FORMS),
    )
}
