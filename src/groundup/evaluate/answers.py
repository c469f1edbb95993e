"""How near a reply is to the answer of a question, where it need not be the same.

Whether it is right at all, `groundup.data.tasks.is_right` says.
"""

from __future__ import annotations

import re
import string
from collections import Counter

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def token_f1(answer: str, reply: str) -> float:
    """Return how many words an answer and a reply share, from 0 to 1.

    Words are what white space parts once the text is in lower case, without ASCII punctuation and
    without `a`, `an` and `the`. A word counts as often as both have it. F1 is the harmonic mean of
    the share of the reply's words that are shared and that of the answer's: the F1 of SQuAD
    (Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 6.1). As
    in version 2 of its evaluation, where one of the two has no words left, F1 is 1 if both have
    none, else 0.
    """
    wanted, given = _words(answer), _words(reply)
    if not wanted or not given:
        return float(wanted == given)
    shared = (Counter(wanted) & Counter(given)).total()
    return 2 * shared / (len(wanted) + len(given))


def _words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()
