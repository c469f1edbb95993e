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
from collections.abc import Iterable


class GroundupError(Exception):
    """A failure the user can act upon; the command line prints its message and nothing else."""

    exit_status = 1
    leaves_at_once = False
    """Whether the process must not wait for anything any more, as others it waits for are gone."""
    blameless = False
    """Whether other processes of the same training know or meet it too, and need not be told."""


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


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt `name`: the nearest known one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
