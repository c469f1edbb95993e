"""Whether a reply to a task is right, by a comparison that forgives how it is written, not what."""

from __future__ import annotations

import re

INTRODUCTION = re.compile(r"(?:the answer is:?|answer:) ", re.IGNORECASE)
CASE_MATTERS = frozenset({"upper-case"})
"""Kinds of tasks whose answer is a matter of upper and lower case."""


def normalised(text: str, *, case_matters: bool = False) -> str:
    """Return a text in the form in which answers are compared.

    White space at both ends is left out, and each run of it is one space. "The answer is", with or
    without a colon, or "Answer:" at the beginning is left out, and so is one full stop at the end.
    Upper case becomes lower case unless it matters. Nothing else is changed.
    """
    text = " ".join(text.split())
    if introduction := INTRODUCTION.match(text):
        text = text[introduction.end() :]
    text = text.removesuffix(".").rstrip()
    return text if case_matters else text.lower()


def is_right(answer: str, reply: str, kind: str = "") -> bool:
    """Say whether a reply is the answer, both `normalised`; `kind` decides whether case counts.

    A number in words, a unit, quotation marks, a list without its commas, a second line or anything
    else before or after the answer makes a reply wrong. So does an empty reply.
    """
    matters = kind in CASE_MATTERS
    wanted = normalised(answer, case_matters=matters)
    return wanted != "" and normalised(reply, case_matters=matters) == wanted
