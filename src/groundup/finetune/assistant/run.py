"""What all trainings of an assistant by request share: a base, a template, records on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

from groundup.base.errors import RunError
from groundup.config import GPTConfig, as_table
from groundup.data import PreparedData, prepare
from groundup.data.dialogue_folder import DialogueData
from groundup.finetune.assistant.dialogue_rows import unknown_in
from groundup.finetune.assistant.exam import LOSS_TOKENS, Exam, Questions, within
from groundup.finetune.assistant.general_task import GeneralTask, general_task
from groundup.finetune.assistant.general_text import GeneralText, asked_text, text_of_base
from groundup.finetune.assistant.job import ChatJob
from groundup.finetune.assistant.judge import Before
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.from_base import FromBase
from groundup.generate.replies import DialogueIds
from groundup.generate.run_settings import named_template
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.model import GPT, grown
from groundup.runs import RunFolder
from groundup.runs.assistant import FINGERPRINT_OF_TEMPLATE, fingerprint_of
from groundup.runs.choose import choose_checkpoint
from groundup.runs.generation import with_end_of_text
from groundup.tokenizer import Tokenizer, with_special_tokens
from groundup.train.listener import Screen
from groundup.train.resume import Identity
from groundup.train.start import new_model


class ChatRun(FromBase[GPT], ChatJob):
    """A training by request: of the model of another run, on dialogues or preferences on disk."""

    request: InstructRequest

    def __init__(self, request: InstructRequest) -> None:
        super().__init__(request)
        self.asked, self.judge = request.instruct, request.judge

    @property
    def rate_share(self) -> float:  # type: ignore[override]
        """Less than 1 for a model that has learnt already."""
        return self.start.rate_share

    @cached_property
    def tokenizer(self) -> Tokenizer:  # type: ignore[override]
        """That of the model, with the tokens of our template where it had none."""
        known = self.base_tokenizer
        if self.start.chat_template is not None:
            return known
        return with_special_tokens(known, CHATML_TOKENS)

    @cached_property
    def template(self) -> ChatTemplate:  # type: ignore[override]
        """That of the model, or ours."""
        source = CHATML if self.start.chat_template is None else self.start.chat_template
        return named_template(source, self.start.generation, self.tokenizer)

    @property
    def base_config(self) -> GPTConfig:
        """The model that it is made from, as it goes on learning."""
        return self.start.config

    @cached_property
    def config(self) -> GPTConfig:  # type: ignore[override]
        """The model that it is made from, with a row of its embedding for every token."""
        config = self.base_config
        return config.replace(vocab_size=max(config.vocab_size, self.tokenizer.vocab_size))

    @cached_property
    def gpt(self) -> GPT:
        """The model that it is made from, with a row for every token."""
        return self.as_it_was()

    def as_it_was(self) -> GPT:
        """Return the model at step 0, the new rows of its vocabulary among it."""
        model, n_known = self.start.model(self.base_config, 0), self.base_tokenizer.vocab_size
        return grown(model, self.tokenizer.vocab_size - n_known, known=n_known)

    @cached_property
    def data(self) -> DialogueData:
        """The records, read once."""
        return self.request.data()

    def prepared_text(self, text: str) -> PreparedData:
        """Return a text that was named, as shards of the base's tokens."""
        return prepare(
            [text],
            self.start.tokenizer,
            self.start.config.vocab_size,
            self.request.data_folder,
            progress=self.screen.preparing,
            **self.start.text_options,
        )

    @cached_property
    def general(self) -> GeneralText:
        """The text on which it is measured what was forgotten: as asked, or that of the base."""
        if (name := self.asked.general_text) is None:
            return text_of_base(self.request.base)
        return asked_text(name, self.prepared_text(name))

    @cached_property
    def task(self) -> GeneralTask:
        """A public task on which that is measured, too, if one was asked for."""
        return general_task(self.asked, self.start_token, self.request.folder.exists())

    def prepare(self, screen: Screen) -> None:
        """Read the records, and tell what was made of them."""
        self.screen = screen
        screen.prepared_dialogues(self.data)
        if self.start.chat_template is None:
            names = " and ".join(CHATML_TOKENS)
            screen.decided("Template", f"ours (ChatML), with new tokens {names}; the base has none")
        else:
            there = RunFolder(self.request.base).exists()
            whose = self.request.base if there else "the run itself"
            screen.decided("Template", f"that of {whose}")
        for line in unknown_in(self.data.entries(), self.tokenizer):
            screen.notice(line)
        self.tell_losses(screen)
        for line in self.odd_beginnings():
            screen.notice(line)
        text = self.general
        screen.decided("Forgetting", f"measured on {text.name}" if text.name else text.missing)
        task = self.task
        task.check(self.tokenizer, self.config.context_length)
        if self.judge is None and "--judge" in self.request.command:
            screen.notice(
                "nothing is sent to the judge that the run was begun with: its own command asks it"
            )
        if task.name:
            screen.decided("Task", task.missing or f"{task.title}: asked before and after")

    @abstractmethod
    def tell_losses(self, screen: Screen) -> None:
        """Tell what of the records is not learnt."""

    def fingerprints(self) -> dict[str, str]:
        """Return those of all that is read."""
        template = fingerprint_of(self.template.source)
        return {"fingerprint": self.data.fingerprint, FINGERPRINT_OF_TEMPLATE: template}

    def identity(self) -> Identity:
        """Return the request, with what its records and its base turned out to be."""
        read = {"model": as_table(self.config), "data": self.fingerprints(), **self.start.identity}
        return self.request.identity(self.start.config, read)

    def is_judged(self, folder: RunFolder) -> bool:
        """Return whether the figures of the test are there."""
        return folder.assistant.exists()

    def records_left_out(self) -> dict[str, int]:
        """Return how many records were not kept, by reason."""
        return {what: one["count"] for what, one in self.data.manifest["left_out"].items()}

    def skeleton(self) -> GPT:
        """Return a model that is about to be filled from a checkpoint."""
        return self.model(0) if self.settings.adapts else new_model(self.config, 0)

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer, the template, and what ends a reply.

        What a test showed of a run that now learns on is removed: it is of the model before.
        """
        for found in (folder.assistant, folder.replies):
            found.unlink(missing_ok=True)
        self.tokenizer.save(folder.tokenizer)
        generation = self.with_turn_ends(self.start.generation)
        generation = with_end_of_text(generation, self.tokenizer.given_end)
        folder.write_chat_settings(self.template.source, generation)

    def exam(
        self,
        folder: RunFolder,
        rows: Sequence[DialogueIds],
        questions: Questions,
        *,
        unanswered: str = "",
        kinds: Sequence[str] | None = None,
    ) -> Exam:
        """Return what both models are asked; the loss is measured on the first of `rows`."""
        chosen = within(rows, LOSS_TOKENS)
        return Exam(
            rows=chosen,
            row_length=max([self.row_length, *(row.n_read for row in chosen)]),
            questions=questions,
            unanswered=unanswered,
            kinds=kinds,
            template=self.template,
            tokenizer=self.tokenizer,
            stop_tokens=folder.read_generation().get("stop_tokens", ()),
            general=self.general,
            task=self.task,
        )

    def before(self, folder: RunFolder) -> Before:
        """Return what makes the model at step 0, or why it cannot be had any more."""
        if self.base is not None:  # on which adapters stand, proved by its hash whenever loaded
            return self.as_it_was
        origin, base = folder.read().origin, RunFolder(self.request.base)
        if not base.exists():
            return f"{base.path}, which it was made from, is gone"
        try:
            checkpoint, _ = choose_checkpoint(base, "best")
        except RunError as error:
            return str(error)
        if origin is None or checkpoint.fingerprint() != origin.weights:
            return f"{base.path}, which it was made from, has other weights by now"
        return self.as_it_was
