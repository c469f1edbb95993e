"""assistant.json: how an assistant answered before and after it learnt, written once.

An assistant is a GPT that answers in the turns of a chat template.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from groundup.base.files import write_json
from groundup.runs.classification import Interval
from groundup.runs.judgement import Judgement
from groundup.runs.manifest import JobTable, Manifest
from groundup.runs.reply_figures import ReplyFigures
from groundup.runs.task_figures import TaskChange, TaskFigures
from groundup.runs.typed_json import from_json, read_record

ASSISTANT = "assistant"
"""What run.toml calls this kind of training."""
SFT, DPO, ORPO, GRPO = "sft", "dpo", "orpo", "grpo"
OF_PAIRS = (DPO, ORPO)
"""What is learnt from preferences; from dialogues and texts SFT is, and GRPO from a reward."""
FINGERPRINT_OF_TEMPLATE = "fingerprint_of_template"
"""Of [request.data] in run.toml: tells by which chat template an assistant has learnt."""
FORMAT = 1
"""Version of assistant.json; a newer one is refused rather than misread."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How many replies a model ended by itself, before it was cut off."""

    ended: int
    replies: int
    share: float
    interval: Interval
    """Wilson's."""


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """What one model was worth on the test; None where nothing was asked of it."""

    loss: float
    """Mean cross entropy of a token of the test's replies, in nats."""
    replies: ReplyFigures | None = None
    ended: Ended | None = None
    bits_per_byte: float | None = None
    """Of the general text."""
    general_tokens: int = 0
    """Tokens of it that were predicted."""
    task: TaskFigures | None = None
    """Of the public task."""


@dataclass(frozen=True, kw_only=True)
class PairFigures:
    """What one model made of the test's preferences: means over them."""

    loss: float
    """That of the objective."""
    accuracy: float
    """Share of pairs whose chosen reply has the higher score; a tie is half a pair."""
    interval: Interval
    """Wilson's, of the accuracy."""
    margin: float
    """Score of the chosen reply less that of the rejected one."""
    preferred_length: float
    """Tokens of the reply with the higher score, of both in the mean where it is a tie."""
    chosen_drift: float | None = None
    """By how much likelier the chosen reply is than by the model at step 0, in nats, if known."""
    rejected_drift: float | None = None
    """The same of the rejected reply."""


@dataclass(frozen=True, kw_only=True)
class PairsRecord:
    """What an assistant that learnt preferences made of the test's, by its objective."""

    objective: str
    pairs: int
    chosen_length: float
    """Tokens of the chosen replies in the mean, with what ends them."""
    rejected_length: float
    """The same of the rejected replies."""
    after: PairFigures | None = None
    """None where these need the model at step 0, which is not known."""
    before: PairFigures | None = None
    """Of the model at step 0; as DPO compares with that, by definition ln 2, and ties alone."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What both models were given."""

    dialogues: int
    """Dialogues and texts of the test from which a reply is left."""
    loss_dialogues: int
    """Those of them on which the loss was measured, chosen by hash."""
    loss_tokens: int
    """Tokens of their replies, which it is the mean of."""
    questions: int
    """Questions that were answered, chosen by hash."""
    no_room: int = 0
    """Questions that were chosen, too, but leave no room for their reply in the context."""
    unanswered: str = ""
    """Why no question was answered, if none was."""
    max_tokens: int = 0
    """After which a reply was cut off."""
    expected_words: float = 0.0
    """The median of the expected replies."""
    general_text: str | None = None
    """On which forgetting was measured."""
    general_missing: str = ""
    """Why there was no such text."""
    general_task: str | None = None
    """The public task on which it was measured, too, if one was asked for."""
    task_documents: int = 0
    """Documents of it that were asked."""
    task_missing: str = ""
    """Why none was, of a task that was asked for."""


@dataclass(frozen=True, kw_only=True)
class ReplyExample:
    """A test question, chosen by hash, and what was answered."""

    where: str
    """Where the record stands in its file."""
    earlier: int
    """Messages before the question, which the model saw as well."""
    question: str
    expected: str
    after: str
    after_ended: bool
    before: str | None = None
    before_ended: bool | None = None
    rejected: str | None = None
    """Of a preference, the other reply; `expected` is the chosen one."""


@dataclass(frozen=True, kw_only=True)
class AssistantRecord:
    """All of assistant.json."""

    step: int
    """Of the checkpoint that was tested."""
    chosen_by: str
    """Why this checkpoint, in a few words."""
    split: str
    """How the records were divided, in a sentence."""
    asked: Asked
    after: ModelFigures
    before: ModelFigures | None = None
    """Of the model at step 0, asked in the same template."""
    before_missing: str = ""
    """Why that is not known."""
    pairs: PairsRecord | None = None
    """Of preferences; losses and the like are then of the chosen replies."""
    task_change: TaskChange | None = None
    """What the public task shows of both models together."""
    judgement: Judgement | None = None
    """What another model prefers, where one was asked."""
    examples: tuple[ReplyExample, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    """How many records were not used, by reason."""
    cut: int = 0
    """Dialogues of all splits of which the end was cut off."""
    lost: int = 0
    """Tokens in those ends."""
    straddling: int = 0
    """Tokens that count and hold a part of a reply and of what is around it."""
    max_length: int = 0
    """Tokens of a dialogue that are read."""
    padding: float | None = None
    """Share of the computed positions that were padding."""
    seconds: float | None = None
    """That training took."""
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> AssistantRecord:
        """Return the record with these values; a `ValueError` says which is not as expected."""
        record = from_json(cls, values, FORMAT)
        for name, figures in (("before", record.before), ("after", record.after)):
            if figures and figures.replies and not figures.replies.kinds:
                raise ValueError(f"{name}.replies.kinds is empty")
        return record


def write_assistant(path: Path, record: AssistantRecord) -> None:
    """Write assistant.json whole."""
    write_json(path, record.as_dict())


def read_assistant(path: Path) -> AssistantRecord | None:
    """Read assistant.json, None where it is absent; a damaged one is a one-line error."""
    return read_record(path, AssistantRecord.from_dict, "an assistant", "instruct")


def objective_of(manifest: Manifest) -> str | None:
    """Return what an assistant learnt by, None of another kind of run."""
    if manifest.kind != ASSISTANT:
        return None
    return str(((manifest.job and manifest.job.settings) or {}).get("objective", SFT))


def fingerprint_of(template: str) -> str:
    """Return what tells chat templates apart, as [request] of run.toml has it."""
    return hashlib.sha256(template.encode()).hexdigest()[:16]


def other_template(manifest: Manifest, template: str | None) -> list[str]:
    """Return a line where an assistant trained here has not learnt by the template that it has."""
    asked = manifest.request if manifest.kind == ASSISTANT else None
    known = ((asked and asked.data) or {}).get(FINGERPRINT_OF_TEMPLATE)
    if known is None or template is None or known == fingerprint_of(template):
        return []
    return [
        "chat_template.jinja is not the one by which the run learnt to answer (restore it, if it "
        "was not changed on purpose)"
    ]


def job_of_whole(manifest: Manifest) -> JobTable | None:
    """Return [job] of a run that is made of another one, with all of its weights in it.

    An assistant stays one: its losses are of replies. None where it is no more than a GPT.
    """
    if manifest.job is None or not (manifest.extra or manifest.kind == ASSISTANT):
        return None
    return replace(manifest.job, tensors=manifest.extra or None)
