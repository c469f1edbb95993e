"""What was guessed and what was skipped while texts were read, in lines that the user is shown."""

from __future__ import annotations


class ReadingLog:
    """Collects choices and skips of one pass over the sources; each is told once, and counted."""

    def __init__(self) -> None:
        self._choices: dict[str, str] = {}
        self._skipped: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def chose(self, subject: str, line: str) -> None:
        """Keep the line that says what was chosen for `subject`; a later line replaces it."""
        self._choices[subject] = line

    def skip(self, what: str, where: str) -> None:
        """Count one more of `what` ("records without a text"), found at `where`."""
        self._counts[what] = self._counts.get(what, 0) + 1
        first = self._skipped.setdefault(what, [])
        if len(first) < 3:
            first.append(where)

    @property
    def skipped(self) -> dict[str, int]:
        """How many were skipped, by what they were."""
        return dict(self._counts)

    def lines(self) -> list[str]:
        """Return all of it in words: the choices, then the skips with the first few places."""
        skips = [
            f"skipped {count:,} {what} ({', '.join(self._skipped[what])}"
            f"{', …' if count > len(self._skipped[what]) else ''})"
            for what, count in self._counts.items()
        ]
        return [*self._choices.values(), *skips]
