"""An assistant in a few lines of Python: a model, a tokenizer, dialogues."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.adapters import merge
from groundup.base.errors import DataError, UsageError
from groundup.base.words import counted
from groundup.config import TrainConfig, build
from groundup.config.recipe import check_one_length, says_length
from groundup.data.dialogue import LEFT_OUT, Preference
from groundup.data.dialogue_formats import check_format
from groundup.data.dialogue_reader import DialogueReader
from groundup.data.dialogues import split_by_question
from groundup.data.duplicates import without_repeated, without_those_of
from groundup.data.reading_log import ReadingLog
from groundup.data.stratified import SPLITS
from groundup.data.texts import check_on_bad_record
from groundup.finetune.assistant.assistant import Assistant
from groundup.finetune.assistant.dialogue_rows import Entries, losses_of, unknown_in
from groundup.finetune.in_memory import SPLIT_SEED, InMemoryJob, drive_in_memory
from groundup.finetune.replies.job import InstructJob
from groundup.finetune.rewards.settings import RewardSettings
from groundup.finetune.settings import (
    INSTRUCT_EPOCHS,
    InstructSettings,
    check_method,
    check_of_records,
    instruct_defaults,
)
from groundup.generate.run_settings import named_template
from groundup.generate.template import CHATML, CHATML_TOKENS
from groundup.model import GPT, grown
from groundup.runs.generation import check_tokens
from groundup.runs.pair import check_pair
from groundup.tokenizer import Tokenizer, with_special_tokens
from groundup.train.api import check_learns, check_listeners
from groundup.train.listener import Listener
from groundup.train.start import SLOWER

SOURCE = "dialogues"
"""What they are called together, in what is told of them."""
TO_TEST = "dialogues that say they test (nothing is tested here)"


def instruct(
    model: GPT,
    tokenizer: Tokenizer,
    dialogues: Sequence[Any],
    *,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
    format: str | None = None,
    on_bad_record: str = "stop",
    max_length: int | None = None,
    listeners: Sequence[Listener] = (),
    show: bool = True,
    **settings: Any,
) -> Assistant:
    """Make an assistant of a copy of `model` that learns the replies in `dialogues`; return it.

    A dialogue is a dictionary of any format that `groundup finetune instruct` reads: `prompt` and
    `completion`, `messages` … A tenth validates, the same question on one side only; repeated ones
    are left out, which is shown. `chat_template` and `generation` are those of a `LoadedRun`, where
    it has them; without a template the assistant has ours, and its model two tokens more.
    `settings` are the fields of `TrainConfig`; adapters (`method="lora"`) are merged in the end.
    Nothing is tested: keep questions aside, and compare what `reply` says to them. For a run folder
    that survives a kill, with a test, a report and preferences, see `groundup finetune instruct`.

    Raises `DataError` for dialogues that cannot be learnt from, `UsageError` for a model that
    cannot learn.
    """
    check_pair(model, tokenizer, "instruct")
    check_listeners(listeners)
    check_learns(model)
    _check_settings(settings)
    check_one_length(settings)
    check_of_records(settings)
    if not says_length(settings):
        settings["epochs"] = INSTRUCT_EPOCHS
    if not isinstance(chat_template, str | None):
        found = type(chat_template).__name__
        raise TypeError(f"chat_template: expected a text, or None; got a {found}")
    if not isinstance(generation, Mapping | None):
        found = type(generation).__name__
        raise TypeError(f"generation: expected a dictionary of settings, or None; got a {found}")
    train = build(TrainConfig, instruct_defaults() | settings)
    asked = build(InstructSettings, {} if max_length is None else {"max_length": max_length})
    _check_room(model, asked, train, chat_template)
    entries, log = _divided(dialogues, format, on_bad_record)
    known = dict(generation or {})
    check_tokens(known, model.config.vocab_size)
    job = InPython(model, tokenizer, chat_template, known, entries, asked, train)
    lost = losses_of((job.learnt, job.validating), job.max_length, model.config.context_length)
    lost += unknown_in([*entries["train"], *entries["val"]], job.tokenizer) + job.odd_beginnings()
    read = log.lines() if show else log.skips()  # a warning is for what was lost
    metrics = drive_in_memory(job, [*read, *lost], listeners, show)
    merge(job.gpt)
    return Assistant(
        model=job.gpt.eval(),
        tokenizer=job.tokenizer,
        chat_template=job.template.source,
        generation=job.with_turn_ends(known),
        metrics=metrics,
    )


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse as a method what is an objective, and what only the command knows."""
    check_method(settings)
    for name in settings:
        if name in RewardSettings.__dataclass_fields__:
            raise UsageError(
                f"{name}: a setting of 'groundup finetune instruct', but in Python replies alone "
                "are learnt, and nothing is tested; leave it out, or use the command"
            )


def _check_room(
    model: GPT, asked: InstructSettings, train: TrainConfig, chat_template: str | None
) -> None:
    """Refuse what the model has no room for: longer dialogues, tokens that adapters leave alone."""
    length, context = asked.max_length, model.config.context_length
    if length is not None and length > context:
        raise UsageError(
            f"max_length = {length}: the model sees at most {context} tokens (its context_length); "
            "give at most that"
        )
    if train.adapts and chat_template is None:
        raise UsageError(
            f"method = {train.method}: the special tokens of our chat template are new rows of the "
            "embedding, which adapters leave as they are; learn all weights, or give the model's "
            "own chat_template"
        )


def _divided(
    dialogues: Sequence[Any], format: str | None, on_bad_record: str
) -> tuple[dict[str, Entries], ReadingLog]:
    """Return the dialogues of "train" and "val", and what is to be told of them."""
    if isinstance(dialogues, str | Mapping) or not isinstance(dialogues, Sequence):
        found = type(dialogues).__name__
        raise DataError(f"dialogues: expected a list of dictionaries, but got {found}")
    check_format(format)
    check_on_bad_record(on_bad_record)
    reader = DialogueReader(format=format, on_bad_record=on_bad_record)
    records = ((f"dialogue {number}", record) for number, record in enumerate(dialogues, 1))
    said: dict[str, list[Any]] = {side: [] for side in ("", *SPLITS)}
    for entry, side in reader.entries(SOURCE, records):
        if isinstance(entry, Preference):
            raise DataError(
                f"{entry.where}: a preference, but here replies are learnt; write the records into "
                "a file for 'groundup finetune instruct', or give dialogues"
            )
        said[side].append(entry)
    for entry in said["test"]:
        reader.log.skip(TO_TEST, entry.where)
    validates = without_repeated(said["val"], reader.log, LEFT_OUT)
    rest = without_repeated([*said["train"], *said[""]], reader.log, LEFT_OUT)
    rest = without_those_of(validates, rest, reader.log, LEFT_OUT)
    held_out = [] if validates else ["val"]
    if len(rest) <= len(held_out):
        raise DataError(
            f"{counted(len(rest), 'dialogue')} left to learn from: expected {1 + len(held_out)} at "
            "least, different ones; give more"
        )
    sides = split_by_question(rest, SPLIT_SEED, held_out)
    pairs = list(zip(rest, sides, strict=True))
    train = [entry for entry, side in pairs if side == "train"]
    val = [*validates, *(entry for entry, side in pairs if side == "val")]
    return {"train": train, "val": val}, reader.log


class InPython(InMemoryJob[GPT], InstructJob):
    """A training of a copy of a model in memory, on dialogues in memory."""

    rate_share = SLOWER

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        chat_template: str | None,
        generation: dict[str, Any],
        divided: Mapping[str, Entries],
        asked: InstructSettings,
        settings: TrainConfig,
    ) -> None:
        self.asked, self.settings, self.divided = asked, settings, divided
        names = CHATML_TOKENS if chat_template is None else ()
        self.tokenizer = with_special_tokens(tokenizer, names)
        source = CHATML if chat_template is None else chat_template
        self.template = named_template(source, generation, self.tokenizer)
        self.start = generation.get("start_token")
        known = tokenizer.vocab_size
        self.made = grown(copy.deepcopy(model), self.tokenizer.vocab_size - known, known=known)
        self.config = self.made.config
        self.n_tokens = self.source(self.settings).n_tokens

    @property
    def start_token(self) -> int | None:
        """The token that begins every text, where the model knows one."""
        return self.start

    @property
    def gpt(self) -> GPT:
        """The copy that learns."""
        return self.made

    def entries(self, split: str) -> Entries:
        """Return the dialogues of a split."""
        return self.divided[split]
