"""From tokens that come one by one to pieces of text that can be shown at once."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.tokenizer import StreamDecoder, Tokenizer


class TextStream:
    """Decodes one row as it is written, up to a token that ends it or the first stop string.

    The text is what the row adds to the ids `before` it (see `StreamDecoder`). A piece never ends
    inside a character, nor inside what may become a stop string. A stop string counts where all of
    it is written; one that begins in `before` does not.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        stop_tokens: Sequence[int] = (),
        *,
        before: Sequence[int] = (),
    ) -> None:
        self.ends = {tokenizer.end_of_text, *stop_tokens}
        self.decoder = StreamDecoder(tokenizer, before)
        self.stop = stop
        self.held = ""
        self.ended = False

    def feed(self, token: int) -> str:
        """Take the next token and return the text that is certain by now, which may be empty."""
        if token in self.ends:
            return self.finish()
        return self._release(self.decoder.feed([token]))

    def finish(self) -> str:
        """Return what was still held back; nothing follows."""
        piece = self._release(self.decoder.flush()) + self.held
        self.held = ""
        self.ended = True
        return piece

    def _release(self, text: str) -> str:
        """Return the part of all held text that no stop string can claim, and hold the rest."""
        if self.ended:
            return ""
        text = self.held + text
        # The stop string that is complete first counts, however the text came in pieces.
        found = [(at + len(s), at) for s in self.stop if (at := text.find(s)) >= 0]
        self.ended = bool(found)
        safe = min(found)[1] if found else len(text) - _longest_beginning(text, self.stop)
        self.held = "" if found else text[safe:]
        return text[:safe]


def _longest_beginning(text: str, stop: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of a stop string."""
    longest = min(len(text), max(map(len, stop), default=1) - 1)
    ends = (text[-n:] for n in range(longest, 0, -1))
    return next((len(end) for end in ends if any(s.startswith(end) for s in stop)), 0)
