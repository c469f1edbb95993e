"""What is given to a tokenizer: a text is a str, texts are several of them, ids are whole numbers.

Anything else is a `TypeError` of one line that says what to write: bytes, a path, or one text in
place of a list, would otherwise fail somewhere inside, or train on single characters. The name of a
file in place of its text is a `UsageError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.base.errors import UsageError, quoted

LONGEST_NAME = 255


def check_text(text: object, call: str) -> None:
    """Refuse what is no str where `call` takes a text."""
    if isinstance(text, str):
        return
    hint = "write it as a str"
    if isinstance(text, bytes | bytearray):
        hint = "write text.decode('utf-8')"
    elif isinstance(text, Path):
        hint = "write path.read_text('utf-8')"
    elif isinstance(text, list | tuple) and all(isinstance(part, str) for part in text):
        hint = "join the texts into one, or give one at a time"
    raise TypeError(f"{call}: {_given(text)} is no text, which is a str; {hint}")


def each_text(texts: Iterable[str], call: str) -> Iterator[str]:
    """Yield `texts`, each of them a str; refused is one text, or a file's name, in their place."""
    if isinstance(texts, str | bytes | Path) or not isinstance(texts, Iterable):
        one = "a list around it: [text]" if isinstance(texts, str) else "a list of str"
        raise TypeError(f"{call}: {_given(texts)} is no list of texts; write {one}")
    for number, text in enumerate(texts):
        check_text(text, call)
        if number == 0:
            check_content(text, call)
        yield text


def check_content(text: str, call: str) -> None:
    """Refuse the name of a file, such as story.txt, where its content belongs."""
    if len(text) > LONGEST_NAME or "\n" in text or not Path(text).suffix:
        return
    with contextlib.suppress(OSError, ValueError):
        if Path(text).is_file():
            raise UsageError(
                f"{call}: {quoted(text)} is the name of a file, not its text; write "
                f"Path({quoted(text)}).read_text('utf-8')"
            )


def id_array(ids: Any) -> npt.NDArray[Any]:
    """Return a row of ids (n,) as an array: a list, an array or a tensor of whole numbers."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"{_given(ids)} is no list of token ids; write such as [5], or [17, 4]")
    if not isinstance(ids, np.ndarray):
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)  # tensors of any device
    array = np.asarray(ids)
    if array.ndim != 1:
        raise TypeError(
            f"token ids of shape {array.shape}: expected one row of them; write such as "
            "[tokenizer.decode(row) for row in ids]"
        )
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{_given(ids)}: token ids are whole numbers; give what encode returns")
    return array


def _given(value: object) -> str:
    text, kind = quoted(value), type(value).__name__
    return text if text.startswith(kind) else f"{text} ({kind})"
