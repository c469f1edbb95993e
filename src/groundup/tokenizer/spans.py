"""Where in a text each of its ids stands, counted in characters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Spans = npt.NDArray[np.int64]
"""Begin and end of each of n ids, (n, 2): id i is of `text[begin:end]`."""


def spans_of_bytes(text: str, lengths: npt.NDArray[np.int64]) -> Spans:
    """Return where ids stand that are so many bytes of the UTF-8 of `text`, one after the other.

    An id that is but a part of a character spans the whole of it, as its neighbours do.
    """
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    ends = np.cumsum(lengths, dtype=np.int64)
    assert (ends[-1] if ends.size else 0) == data.size, "ids of another text"
    character = np.cumsum(data & 0xC0 != 0x80) - 1  # which one each byte belongs to
    return np.stack([character[ends - lengths], character[ends - 1] + 1], axis=1)


def spans_with_marks(text: str, mark: str, spans: Spans) -> Spans:
    """Return where ids stand in `text` that are at `spans` of it once its marks are left out."""
    if mark not in text:
        return spans
    kept = np.array([n for n, char in enumerate(text) if char != mark] + [len(text)])
    begin, end = spans[:, 0], spans[:, 1]
    return np.stack([kept[begin], np.where(end > begin, kept[end - 1] + 1, kept[begin])], axis=1)
