"""What was guessed and what was skipped while texts were read, in lines that the user is shown."""

from __future__ import annotations

MOST_PLACES = 5
"""Places that are kept of what was skipped; the first three are shown."""


class _Files:
    """Files that were read alike: the first few by name, the others and their records counted."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._n_files = self._n_texts = self._n_records = 0

    def add(self, file: str, texts: int, records: int) -> None:
        if len(self._first) < 3:
            self._first.append(file)
        self._n_files += 1
        self._n_texts += texts
        self._n_records += records

    @property
    def names(self) -> str:
        more = f", … ({self._n_files:,} files)" if self._n_files > len(self._first) else ""
        return ", ".join(self._first) + more

    @property
    def share(self) -> str:
        return f", in {self._n_texts:,} of {self._n_records:,} records" if self._n_records else ""


class ReadingLog:
    """Collects choices and skips of one pass over the sources; each is said once, and counted."""

    def __init__(self) -> None:
        self._choices: dict[str, str] = {}
        self._skipped: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._files: dict[str, _Files] = {}

    def chose(self, subject: str, line: str) -> None:
        """Keep the line that says what was chosen for `subject`; a later line replaces it."""
        self._choices[subject] = line

    def read(self, file: str, how: str, texts: int = 0, records: int = 0) -> None:
        """Keep how `file` was read, and how many of its records have a text.

        Files that were read alike share a line.
        """
        alike = self._files.setdefault(how, _Files())
        alike.add(file, texts, records)
        self.chose(how, f"{alike.names}: {how}{alike.share}")

    def skip(self, what: str, where: str) -> None:
        """Count one more of `what` ("records without a text"), found at `where`."""
        self._counts[what] = self._counts.get(what, 0) + 1
        first = self._skipped.setdefault(what, [])
        if len(first) < MOST_PLACES:
            first.append(where)

    @property
    def skipped(self) -> dict[str, int]:
        """How many were skipped, by what they were."""
        return dict(self._counts)

    @property
    def left_out(self) -> dict[str, dict[str, object]]:
        """The same, each with the places of the first five."""
        return {
            what: {"count": count, "where": self._skipped[what]}
            for what, count in self._counts.items()
        }

    def lines(self) -> list[str]:
        """Return all of it in words: the choices, then what was skipped."""
        return [*self._choices.values(), *self.skips()]

    def skips(self) -> list[str]:
        """Return in words what was skipped, with the first few places."""
        return [
            f"skipped {what}: {count:,} ({', '.join(self._skipped[what][:3])}"
            f"{', …' if count > 3 else ''})"
            for what, count in self._counts.items()
        ]
