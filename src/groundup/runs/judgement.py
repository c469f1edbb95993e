"""What another model, the judge, preferred: replies before or after an assistant learnt."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.runs.classification import Interval


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How the test questions were judged, each asked with the replies in both orders.

    `won`, `lost`, `tied`, `by_order`, `same`, `unparsed` and `failed` count questions, and are all
    of them together.
    """

    url: str
    model: str
    questions: int
    won: int
    """The reply after was preferred, in both orders."""
    lost: int
    """The reply before was, in both orders."""
    tied: int
    """Neither was, in both orders."""
    by_order: int
    """The verdict depended on the order: a tie."""
    same: int
    """Both replies are the same text: a tie, of which the judge was not asked."""
    unparsed: int
    """Not counted: an answer of the judge held no verdict, or several."""
    failed: int
    """Not judged: the judge did not answer, or was not asked any more."""
    win_rate: float | None
    """Share of wins among what counts, a tie half a win; None where nothing counts."""
    interval: Interval | None
    """Wilson's, of the win rate."""
    first: int
    """Verdicts for the reply that stood first: the bias of a position."""
    second: int
    """Verdicts for the reply that stood second."""
    even: int
    """Verdicts for neither."""
    unparsed_answers: int
    """Answers of the judge without one verdict."""
    quotes: tuple[str, ...]
    """The first of these."""
    words_before: float
    """Of the replies, in the mean: judges tend to prefer longer ones."""
    words_after: float
    why: str = ""
    """Of what failed, the last reason."""
    stopped: bool = False
    """Whether the judge failed so often in a row that it was not asked any more."""

    @property
    def counts(self) -> int:
        """Questions with a verdict."""
        return self.won + self.lost + self.ties

    @property
    def ties(self) -> int:
        """Questions on which neither reply won."""
        return self.tied + self.by_order + self.same
