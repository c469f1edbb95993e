"""What `groundup finetune instruct` is asked for; what of it is refused before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.base.errors import UsageError
from groundup.config.adaptation import FULL
from groundup.data import read_documents
from groundup.data.dialogue_folder import DialogueData, open_dialogues
from groundup.data.dialogues import prepare_dialogues
from groundup.data.record_sets import INSTRUCT
from groundup.data.tokens import MANIFEST
from groundup.evaluate.endpoint import Endpoint
from groundup.evaluate.task_files import read_questions
from groundup.finetune.request import FinetuneRequest, recorded
from groundup.finetune.rewards.settings import settings_of
from groundup.finetune.settings import InstructSettings
from groundup.runs import RunFolder
from groundup.runs.assistant import ASSISTANT, OF_PAIRS, AssistantRecord, read_assistant
from groundup.runs.own import check_named, kept_in
from groundup.train.start import known_base

MIX_FOLDER = "mix_folder"
"""Of [job.settings] in run.toml: where the shards of the text are that is mixed in."""


@dataclass(frozen=True, kw_only=True)
class InstructRequest(FinetuneRequest):
    """What the user asked for of an assistant; `prepared` are its dialogues."""

    kind, verb = ASSISTANT, INSTRUCT

    instruct: InstructSettings = field(default_factory=InstructSettings)
    judge: Endpoint | None = None
    """A model that compares the replies before and after: nothing of the run depends on it, and
    nobody is asked but by the command that names it."""
    prepared_mix: Path | None = None
    """The shards of the text to mix in that were made when the run began, while they are there."""

    @property
    def own(self) -> InstructSettings:
        """The settings of an assistant."""
        return self.instruct

    @property
    def needs_base(self) -> bool:
        """Whether only adapters learn."""
        return self.train.adapts

    def data(self) -> DialogueData:
        """Return the dialogues: read from the records, or as they were kept."""
        if self.prepared is not None:
            return open_dialogues(self.prepared)
        return prepare_dialogues(self.records, self.data_folder, **self.reading)

    def check(self) -> None:
        """Refuse what can be known to be wrong without torch, which takes seconds to load."""
        if self.judge is not None:
            check_judge(self.judge, self.instruct)
        super().check()
        if not self.folder.exists():  # later the text may be gone: its shards are kept
            for text in (self.instruct.mix_text, self.instruct.general_text):
                if text is not None:
                    read_documents((text,))
            if (task := self.instruct.general_task) is not None:
                read_questions(task, Path(self.instruct.task_data or ""), self.instruct.task_limit)
        if self.judge is not None and not self._is_judged_by(self.judge):
            _ = self.judge.model  # asked for here, where no name was given

    def _is_judged_by(self, judge: Endpoint) -> bool:
        """Return whether it has answered all; what learns on is asked of anew."""
        record = read_assistant(self.folder.assistant)
        return self.extend is None and record is not None and is_judged_by(judge, record)

    def check_base(self) -> None:
        """Refuse adapters where the template of ours brings new tokens."""
        folder, _ = known_base(self.base, self.folder)
        if self.train.adapts and folder.read_chat_template() is None:
            raise UsageError(
                f"method = {self.train.method}: {self.base} has no chat template, and the special "
                "tokens of ours are new rows of its embedding, which adapters leave as they are; "
                f"learn all weights, with --method {FULL}"
            )


def check_judge(judge: Endpoint, asked: InstructSettings) -> None:
    """Refuse a judge of nothing: it compares the replies of dialogues."""
    if asked.objective in OF_PAIRS:
        raise UsageError(
            f"--judge {judge.url}: compares replies to test questions, but objective = "
            f"{asked.objective} learns preferences, which are judged by their pairs; leave it out"
        )
    if not asked.n_replies:
        raise UsageError(
            f"--judge {judge.url}: compares replies, but n_replies = 0 asks for none; leave it "
            "out, or ask for some with --replies"
        )


def is_judged_by(judge: Endpoint, record: AssistantRecord) -> bool:
    """Return whether a judge has answered all that it is to be asked of these replies."""
    found = record.judgement
    if found is None or found.url != judge.url or found.failed:
        return False
    return judge.asked_model in (None, found.model)


def recorded_instruct(
    folder: RunFolder, own_data: Path | None = None, **others: Any
) -> InstructRequest:
    """Return the request that the run in `folder` began with, with some fields changed."""
    words = recorded(folder, ASSISTANT, own_data)
    own, manifest = settings_of(words.pop("own")), folder.read()
    said = ((manifest.job and manifest.job.settings) or {}).get(MIX_FOLDER, "")
    kept = kept_in(manifest, str(said), own_data)
    mix = kept if own.mix_text and (kept / MANIFEST).is_file() else None
    read = {
        own.mix_text if mix is None else None: "the text that is mixed in",
        own.general_text: "its general text",
        own.task_data: "the documents of its task",
    }
    named = {path: what for path, what in read.items() if path is not None}
    check_named(folder, manifest, named)
    words["reads"] += (*named, *([str(mix)] if mix else []))
    return InstructRequest(**words, instruct=own, prepared_mix=mix, **others)
