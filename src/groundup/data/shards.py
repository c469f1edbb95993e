"""Writing a split's shards so that a process killed at any moment costs one shard at most."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.errors import DataError, GroundupError
from groundup.base.file_names import TOKENIZER
from groundup.base.files import atomic_writer, read_json, write_json
from groundup.data.portions import Unit, in_order
from groundup.data.text_sum import Mark, TextSum
from groundup.data.tokens import FINISHED_SHARDS, SPLITS, Tokens
from groundup.tokenizer import Tokenizer


@dataclass
class FinishedShards:
    """What stands in the folder already: finished shards, and where the text goes on after each."""

    folder: Path
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    learnt: dict[str, list[Mark]] = field(default_factory=dict)
    """What a tokenizer that was made of the text has read of each split, and how far."""

    @classmethod
    def open(cls, folder: Path) -> FinishedShards:
        """Read what an earlier attempt finished, as far as its shards are there; drop the rest."""
        finished = cls(folder, _no_shards())
        path = folder / FINISHED_SHARDS
        if path.exists():
            try:
                found = read_json(path)
                finished.splits = {split: found["splits"][split] for split in SPLITS}
                finished.learnt = {
                    split: _marks(found["learnt"][split]) for split in found["learnt"]
                }
                for entry in finished.splits.values():
                    _keep_whole(folder, entry)
            except (GroundupError, KeyError, TypeError, ValueError, AttributeError):  # begin anew
                finished.splits, finished.learnt = _no_shards(), {}
        known = {s["file"] for entry in finished.splits.values() for s in entry["shards"]}
        found = (path for split in SPLITS for path in folder.glob(f"{split}-*.bin"))
        unfinished = folder.glob(".*")  # temporary names of files that were never renamed
        for path in [*found, *unfinished]:
            if path.name not in known:
                path.unlink()
        return finished

    def save(self) -> None:
        """Write down what stands."""
        content = {"splits": self.splits, "learnt": self.learnt}
        write_json(self.folder / FINISHED_SHARDS, content)

    def note(self, learnt: list[tuple[str, Mark]]) -> None:
        """Write down what was read of each split for a tokenizer, which is not there yet."""
        (self.folder / TOKENIZER).unlink(missing_ok=True)
        self.learnt = {split: [mark for one, mark in learnt if one == split] for split, _ in learnt}
        self.save()

    def remove(self) -> None:
        """Remove all that stands."""
        for split in SPLITS:
            for path in self.folder.glob(f"{split}-*.bin"):
                path.unlink()
        (self.folder / FINISHED_SHARDS).unlink(missing_ok=True)

    def read_of(self, split: str) -> TextSum:
        """Return what is to be read of a split again, as it was read for what stands."""
        encoded = _marks([shard["read"] for shard in self.splits[split]["shards"]])
        return TextSum([*self.learnt.get(split, []), *encoded])


def _no_shards() -> dict[str, dict[str, Any]]:
    return {split: {"shards": []} for split in SPLITS}


def _marks(found: Any) -> list[Mark]:
    return [(int(n_read), str(digest)) for n_read, digest in found]


def _keep_whole(folder: Path, entry: dict[str, Any]) -> None:
    """Forget the first shard that is not whole, and all that follow."""
    shards = entry["shards"]
    for number, shard in enumerate(shards):
        path = folder / shard["file"]
        unit, token = shard["next"]
        _marks([shard["read"]])
        if unit < 0 or token < 0 or not path.exists() or path.stat().st_size != shard["size"]:
            del shards[number:]
            entry.pop("done", None)
            return


class TokenStream:
    """Encoded units as one stream that is handed out in shards.

    `unit` and `token` say where it stands: at token `token` of unit `unit`.
    """

    def __init__(self, arrays: Iterator[tuple[Tokens, Mark]], unit: int, token: int) -> None:
        self._arrays = arrays
        self.read: Mark = (0, "")
        """How far the text was read for the unit."""
        self._array: Tokens = np.empty(0, dtype=np.uint32)
        self.unit = unit - 1
        self.token = 0
        if token:
            self.more()
            self.token = token

    def more(self) -> bool:
        """Whether there is another token."""
        while self.token == len(self._array):
            found = next(self._arrays, None)
            if found is None:
                return False
            (self._array, self.read), self.token = found, 0
            self.unit += 1
        return True

    def take(self, n: int) -> Iterator[Tokens]:
        """Yield arrays of `n` tokens in all, or of what is left."""
        while n and self.more():
            part = self._array[self.token : self.token + n]
            self.token += len(part)
            n -= len(part)
            yield part


@dataclass
class ShardWriter:
    """Encodes units in parallel and writes their tokens, in order, as shards."""

    finished: FinishedShards
    tokenizer: Tokenizer
    dtype: np.dtype[Any]
    shard_tokens: int
    pool: ThreadPoolExecutor
    ahead: int
    progress: Callable[[int], None]
    """Receives the bytes of text that have been encoded since it was last called."""

    def write(self, split: str, units: Iterable[Unit], read: TextSum) -> None:
        """Write what is still missing of a split, and its totals; `read` is what units are of."""
        entry = self.finished.splits[split]
        if "done" in entry:
            self.progress(entry["done"]["bytes"])
            return
        shards = entry["shards"]
        unit, token = shards[-1]["next"] if shards else (0, 0)
        totals = {"tokens": 0, "bytes": 0, "documents": 0}
        stream = TokenStream(self._encoded(_counted(units, totals, read), unit), unit, token)
        while stream.more():
            shards.append(self._shard(f"{split}-{len(shards):05d}.bin", stream))
            self.finished.save()
        totals["tokens"] = sum(shard["tokens"] for shard in shards)
        entry["done"], entry["read"] = totals, read.finished()
        self.finished.save()

    def _encoded(
        self, units: Iterator[tuple[Unit, Mark]], first: int
    ) -> Iterator[tuple[Tokens, Mark]]:
        """Yield the tokens of each unit from `first` on, and how far the text was read for it."""
        for unit, _ in islice(units, first):
            self.progress(unit.n_bytes)
        for array, n_bytes, mark in in_order(self.pool, self._encode, units, self.ahead):
            self.progress(n_bytes)
            yield array, mark

    def _encode(self, marked: tuple[Unit, Mark]) -> tuple[Tokens, int, Mark]:
        unit, mark = marked
        array = unit.encode(self.tokenizer)
        if array.size and (largest := int(array.max())) >= self.tokenizer.vocab_size:
            raise DataError(
                f"the tokenizer gave the id {largest}, but has only {self.tokenizer.vocab_size} "
                "ids; give a tokenizer.json that counts them all"
            )
        return array.astype(self.dtype), unit.n_bytes, mark

    def _shard(self, name: str, stream: TokenStream) -> dict[str, Any]:
        digest = hashlib.sha256()
        tokens = 0
        with atomic_writer(self.finished.folder / name) as file:
            for array in stream.take(self.shard_tokens):
                file.write(array.data)
                digest.update(array.data)
                tokens += len(array)
        return {
            "file": name,
            "size": tokens * self.dtype.itemsize,
            "sha256": digest.hexdigest(),
            "tokens": tokens,
            "next": [stream.unit, stream.token],
            "read": stream.read,
        }


def _counted(
    units: Iterable[Unit], totals: dict[str, int], read: TextSum
) -> Iterator[tuple[Unit, Mark]]:
    """Pass `units` on, each with how far the text was read for it, and add up their sizes.

    A part of a document counts as one.
    """
    ends = True
    for unit in units:
        totals["bytes"] += unit.n_bytes
        totals["documents"] += sum(ends for _, ends in unit.texts)
        ends = unit.texts[-1][1]
        yield unit, read.mark()
    totals["documents"] += not ends
