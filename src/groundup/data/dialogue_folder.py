"""The folder of dialogues, texts or preferences (`record_folder.py`): what each line says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.base.errors import quoted
from groundup.data.dialogue import Dialogue, Entry, Message, PlainText, Preference
from groundup.data.own_folders import DIALOGUES
from groundup.data.prepare import OnProgress
from groundup.data.record_folder import KeptRecords, keep, opened_manifest, read_splits
from groundup.data.stratified import SPLITS

FORMAT = 1
KINDS = {Dialogue: "dialogues", PlainText: "texts", Preference: "preferences"}


@dataclass(frozen=True)
class DialogueData(KeptRecords):
    """A folder of dialogues and texts, or of preferences, that is complete."""

    @property
    def format(self) -> str:
        """The format of the records; of sources of several formats, these after each other."""
        return " and ".join(
            dict.fromkeys(one["format"] for one in self.manifest["formats"].values())
        )

    @property
    def are_preferences(self) -> bool:
        """Whether the records are preferences, and not dialogues and texts."""
        return any(self.counts(split)["preferences"] for split in SPLITS)

    def counts(self, split: str) -> dict[str, int]:
        """Return how many dialogues, texts, preferences and replies are in a split.

        Of a dialogue each message of the assistant is a reply, of a preference both answers.
        """
        counts: dict[str, int] = self.manifest["splits"][split]
        return dict(counts)

    def dialogues(self, split: str) -> list[Dialogue]:
        """Return the dialogues of "train", "val" or "test", in the order of the records."""
        return [entry for entry in self._splits[split] if isinstance(entry, Dialogue)]

    def texts(self, split: str) -> list[PlainText]:
        """Return the texts of "train", "val" or "test" of which all counts, in their order."""
        return [entry for entry in self._splits[split] if isinstance(entry, PlainText)]

    def preferences(self, split: str) -> list[Preference]:
        """Return the preferences of "train", "val" or "test", in the order of the records."""
        return [entry for entry in self._splits[split] if isinstance(entry, Preference)]

    def entries(self) -> list[Entry]:
        """Return all of them, of every split."""
        return [entry for split in SPLITS for entry in self._splits[split]]

    @cached_property
    def _splits(self) -> dict[str, list[Entry]]:
        return self.just_read or read_splits(
            self.folder,
            DIALOGUES,
            _entry,
            lambda split, found: counted(found) == self.counts(split),
        )

    def __repr__(self) -> str:
        sizes = (
            f"{sum(self.counts(split)[kind] for kind in KINDS.values()):,} {split}"
            for split in SPLITS
        )
        return f"DialogueData({self.folder}: {' + '.join(sizes)}, {self.format})"


def counted(entries: Sequence[Entry]) -> dict[str, int]:
    """Return how many there are of each kind, and how many replies in them."""
    kinds = Counter(KINDS[type(entry)] for entry in entries)
    replies = sum(
        entry.n_replies if isinstance(entry, Dialogue) else 2 * isinstance(entry, Preference)
        for entry in entries
    )
    return {kind: kinds[kind] for kind in KINDS.values()} | {"replies": replies}


def keep_dialogues(
    folder: Path,
    entries: Iterable[tuple[Entry, str]],
    manifest: dict[str, Any],
    told: OnProgress,
) -> None:
    """Write entries, each with its split, and then the manifest, unless they are there."""
    keep(folder, DIALOGUES, ((vars_of(entry), split) for entry, split in entries), manifest, told)


def vars_of(entry: Entry) -> dict[str, Any]:
    """Return the fields of an entry by their names."""
    return {name: getattr(entry, name) for name in entry.__dataclass_fields__}


def open_dialogues(folder: str | Path) -> DialogueData:
    """Open a folder of dialogues or preferences after checking every byte.

    What is missing or damaged is a `DataError` that names the file.
    """
    folder = Path(folder)
    return DialogueData(folder, opened_manifest(folder, DIALOGUES, FORMAT, _check))


def _check(manifest: dict[str, Any]) -> None:
    """Raise a ValueError, or whatever comes of another shape, where a manifest makes no sense."""
    formats = [one["format"] for one in manifest["formats"].values()]
    texts = [manifest["fingerprint"], manifest["split_rule"], *formats]
    if not formats or not all(isinstance(text, str) for text in texts):
        raise ValueError("expected the format of each source, and texts")
    for split in SPLITS:
        counts = [manifest["splits"][split][kind] for kind in (*KINDS.values(), "replies")]
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"{quoted(counts)}, expected numbers of records")


def _entry(parts: dict[str, Any]) -> Entry:
    """Return the entry that a line says."""
    where = _string(parts.pop("where"))
    if "text" in parts:
        return PlainText(_string(parts["text"]), where)
    messages = tuple(_message(**message) for message in parts["messages"])
    if "chosen" not in parts:
        return Dialogue(messages, where)
    return Preference(messages, _string(parts["chosen"]), _string(parts["rejected"]), where)


def _message(*, role: str, content: str) -> Message:
    return {"role": _string(role), "content": _string(content)}


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{quoted(value)}, expected a string")
    return value
