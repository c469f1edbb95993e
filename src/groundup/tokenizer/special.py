"""Special tokens that a tokenizer is given later, for what its texts did not know: turns, say."""

from __future__ import annotations

import json
from collections.abc import Sequence

from groundup.base.errors import TokenizerError, quoted
from groundup.tokenizer.interface import Tokenizer, added_token
from groundup.tokenizer.load import LONGEST_TOKEN, tokenizer_from_document


def with_special_tokens(tokenizer: Tokenizer, names: Sequence[str]) -> Tokenizer:
    """Return `tokenizer` with the special tokens `names`; every text keeps its ids.

    Their ids are `vocab_size`, `vocab_size + 1` … of the tokenizer given. A name that is a special
    token there stays as it is; one that is another token becomes special with the id it has, so
    that a text no longer encodes to it. What comes back is a `JSONTokenizer`, where the kind given
    cannot hold more (bytes, byte-pair encoding with one special token): it encodes the same. An end
    of text that there was stays; where there was none, a new token that is called like one is it.
    A name that no file can hold is a `TokenizerError`.
    """
    for name in names:
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_TOKEN:
            expected = f"a name of 1 to {LONGEST_TOKEN:,} characters"
            raise TokenizerError(f"special token {quoted(name)}: expected {expected}")
    new = [name for name in dict.fromkeys(names) if name not in tokenizer.special_tokens]
    if not new:
        return tokenizer
    document = json.loads(tokenizer.to_json())
    kept = [token for token in document.get("added_tokens") or [] if token["content"] not in new]
    ids, n_ids = dict(tokenizer.added_tokens), tokenizer.vocab_size
    vocab = document["model"]["vocab"]
    ids |= vocab if isinstance(vocab, dict) else {piece: n for n, (piece, _) in enumerate(vocab)}
    for name in new:
        if name not in ids:
            ids[name], n_ids = n_ids, n_ids + 1
        kept.append(added_token(ids[name], name, special=True))
    other = tokenizer_from_document(document | {"added_tokens": kept})
    end = tokenizer.end_of_text
    return other if end is None else other.ending(end)
