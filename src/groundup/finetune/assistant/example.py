"""A row of ids as text that people can read: what a model sees, and what of it counts."""

from __future__ import annotations

from itertools import groupby

from groundup.generate.replies import DialogueIds
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.stream import StreamDecoder

Piece = tuple[str, bool]
"""A part of what a model sees, and whether it is learnt."""


def example_pieces(row: DialogueIds, tokenizer: Tokenizer) -> list[Piece]:
    """Return what a row says, special tokens by their names, divided where what counts begins."""
    names = {token: name for name, token in tokenizer.added_tokens.items()}
    ids: list[int] = row.ids.tolist()
    counts: list[bool] = row.counts.tolist()
    pieces: list[Piece] = []
    for learnt, part in groupby(range(len(ids)), lambda i: counts[i]):
        text = ""
        for is_named, group in groupby(part, lambda i: ids[i] in names):
            places = list(group)
            some = ids[places[0] : places[-1] + 1]
            if is_named:
                text += "".join(names[token] for token in some)
            else:
                decoder = StreamDecoder(tokenizer, ids[: places[0]])
                text += decoder.feed(some) + decoder.flush()
        pieces.append((text, learnt))
    return pieces
