"""What a run is given: a budget of time, a text, processes; refused without torch."""

from __future__ import annotations

import re
from pathlib import Path

from groundup.base.errors import DataError, UsageError, quoted, shown
from groundup.lab.measures.text import LabText, read_text

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST = 30 * 86400
OPTION = re.compile(r"(^|\s)--[a-z]")
"""In advice of the reader of texts: an option that other verbs have, and the lab does not."""
PLAIN_TEXT = "the lab has no options for texts: give it plain text in UTF-8, a .txt file"


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as 90s, 30m, 1h or 1.5h."""
    found = re.fullmatch(r"\s*(\d{1,7}(?:\.\d{1,6})?)\s*([a-z]+)\s*", text.lower())
    seconds = float(found[1]) * UNITS.get(found[2], 0) if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(
            f"--budget {shown(text)}: expected a time with its unit, such as 90s, 30m or 1h, and "
            "at most 30d"
        )
    return seconds


def budget_words(seconds: float) -> str:
    """Return a budget as `parse_budget` takes it: 90s, 20m, and not 1e+06s."""
    number, unit = (seconds, "s") if seconds % 60 else (seconds / 60, "m")
    return f"{number:.6f}".rstrip("0").rstrip(".") + unit


def given_text(text: str) -> LabText:
    """Return a text; one that can be read but once is refused, as every process reads it."""
    if not isinstance(text, str):
        raise UsageError(
            f"text = {quoted(text)}: expected a file, a folder or a named text, as a string"
        )
    path = Path(text)
    passing = path.exists() and not path.is_file() and not path.is_dir()
    if text == "-" or passing or path.parts[:2] in (("/", "dev"), ("/", "proc")):
        raise UsageError(
            f"--text {shown(text)}: every process reads the text by itself; give a file, a folder "
            "or a named text"
        )
    try:
        return read_text(text)
    except DataError as error:
        said, _, advice = str(error).rpartition("; ")
        if not OPTION.search(advice):
            raise
        raise DataError(f"{said}; {PLAIN_TEXT}") from error


def check_arguments(
    budget: object, processes: object, only: object = None, folder: object = None
) -> None:
    """Refuse what no run can be given."""
    if not isinstance(only, str | None):
        raise UsageError(f"only = {quoted(only)}: expected the name of a study")
    if not isinstance(folder, str | Path | None):
        raise UsageError(f"folder = {quoted(folder)}: expected a path")
    number = isinstance(budget, int | float) and not isinstance(budget, bool)
    if budget is not None and not (number and 0 < float(str(budget)) <= LONGEST):
        raise UsageError(
            f"budget = {quoted(budget)}: expected seconds, above 0 and at most 30 days"
        )
    if processes is not None and not (isinstance(processes, int) and 1 <= processes <= 1024):
        raise UsageError(f"processes = {quoted(processes)}: expected 1 to 1024, at most one a core")
