"""The errors a user may meet.

    GroundupError            exit 1: the request was understood and failed
    ├── DataError            a text, a record or a token shard
    ├── TokenizerError       a vocabulary, or a text it cannot express
    ├── RunError             a run folder or a checkpoint
    └── UsageError           exit 2: the request itself is wrong
        └── ConfigError      a key or a value of a configuration

Each message is one line: what was given, what was expected, what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence


class GroundupError(Exception):
    """A failure the user can act upon; the command line prints its message and nothing else."""

    exit_status = 1
    leaves_at_once = False
    """Whether the process must not wait for anything any more, as others it waits for are gone."""
    known_to_all = False
    """Whether all processes of a training meet it, or know of it, so that none tells the others."""
    is_said = False
    """Whether the user has been told already, by this process or by another one of a training."""


class DataError(GroundupError):
    """A text, a record or a token shard that cannot be used."""


class TokenizerError(GroundupError):
    """A vocabulary that cannot be used, or a text that it cannot express."""


class RunError(GroundupError):
    """A run folder or a checkpoint that cannot be used."""


class UsageError(GroundupError):
    """A request that cannot be carried out as it was written."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration key or value that is not accepted."""


LONGEST_SHOWN = 80


def shown(value: object, most: int = LONGEST_SHOWN) -> str:
    """Return `value` as it may stand in a message: on one line, and short whatever it is."""
    text = value if isinstance(value, str) and value.isprintable() else quoted(value, most)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def quoted(value: object, most: int = LONGEST_SHOWN) -> str:
    """Return `value` as Python writes it, on one line and short whatever it is."""
    if isinstance(value, str | list | dict) and len(value) > most:
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # too many digits, too many brackets
        text = f"{type(value).__name__} too large to show"
    return text if len(text) <= most else f"{text[: most - 3]}..."


MOST_NAMED = 12
"""Names that a hint lists where it cannot tell which one is meant."""
LONGEST_NAME = 80
"""Letters of a name that are looked at: comparing takes the square of their number."""
FEWEST_LETTERS = 3
"""Letters that a name needs for another to be recognised in it."""
SLIP = 0.9
"""Share of letters in common from which on a name is one that was mistyped."""
ALIKE, FAINT = 0.75, 0.5
"""The least share for the beginning of a name, and for a whole one, to be what is meant."""


def plain(name: str) -> str:
    """Return `name` without what people write in different ways: case, hyphens, dots, spaces."""
    return re.sub(r"[\W_]+", "", name).casefold()


def nearest(name: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return a hint for an unknown `name`: the known ones it may mean, or all of them.

    What it means comes before how it is spelt: a name that others use (`synonyms`, from `plain`
    names to ours), then nearly the same letters, names that begin with it, names that are in it or
    it is in, and only then those with the most letters in common, whole or at their beginning.
    """
    names = list(known)
    meant = alike(name, names, synonyms or {})
    if not meant:
        return f"known: {', '.join(names)}"
    *others, last = (f"'{one}'" for one in meant[:MOST_NAMED])
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def alike(name: str, names: Sequence[str], synonyms: Mapping[str, str]) -> list[str]:
    """Return those of `names` that `name` most likely means; see `nearest`."""
    given = plain(name[:LONGEST_NAME])
    letters = {one: plain(one) for one in names}
    if synonyms.get(given) in letters:
        return [synonyms[given]]
    if len(given) >= FEWEST_LETTERS:
        for fits in (
            lambda own: own == given,
            lambda own: _likeness(given, own) >= SLIP,
            lambda own: own.startswith(given),
            lambda own: given in own or (len(own) >= FEWEST_LETTERS and own in given),
        ):
            if found := [one for one, own in letters.items() if fits(own)]:
                return found
    whole = {one: _likeness(given, own) for one, own in letters.items()}
    begin = {one: _likeness(given, own[: len(given)]) for one, own in letters.items()}
    for likeness, least in ((begin, ALIKE), (whole, FAINT)):
        best = max([least, *likeness.values()])
        if found := [one for one in names if likeness[one] == best and given]:
            return found
    return []


def _likeness(given: str, own: str) -> float:
    return difflib.SequenceMatcher(None, given, own).ratio()
