"""What all fine-tuning by request shares: it begins with the model of another run."""

from __future__ import annotations

import gc
from abc import abstractmethod
from functools import cached_property
from typing import Any

from groundup.config import GPTConfig
from groundup.data.dialogue_folder import DialogueData
from groundup.data.labelled_folder import LabelledData
from groundup.device.allocator import give_back
from groundup.finetune.request import FinetuneRequest
from groundup.model import GPT
from groundup.optim.step import M
from groundup.runs import RunFolder
from groundup.runs.generation import with_end_of_text
from groundup.runs.manifest import BaseTable
from groundup.tokenizer import Tokenizer, load_tokenizer
from groundup.train.job import Job
from groundup.train.start import Start


class FromBase(Job[M]):
    """A training by request: of the model of another run, on records on disk."""

    def __init__(self, request: FinetuneRequest) -> None:
        self.request = request
        self.settings = request.train
        self.extend, self.own_process = request.extend, request.own_process
        self.is_named = request.reads is None

    @cached_property
    def start(self) -> Start:
        """What it starts from, asked for when all processes have met: none waits in vain."""
        return self.request.start()

    @cached_property
    def config(self) -> GPTConfig:  # type: ignore[override]
        """The model that it is made from."""
        return self.start.config

    @cached_property
    def base(self) -> BaseTable | None:  # type: ignore[override]
        """The checkpoint with what does not learn."""
        return self.start.base

    @cached_property
    def gpt(self) -> GPT:
        """The model that it is made from, as it was."""
        return self.start.model(self.start.config, 0)

    def forget(self) -> None:
        """Let go of the model, for what judges the run needs the room."""
        self.__dict__.pop("gpt", None)
        gc.collect()
        give_back()

    @cached_property
    def base_tokenizer(self) -> Tokenizer:
        """That of the model, with the end of text that it was given."""
        tokenizer = load_tokenizer(self.start.tokenizer)
        end = self.start.generation.get("end_of_text")
        return tokenizer if end is None else tokenizer.ending(end)

    @property
    def tokenizer(self) -> Tokenizer:
        """What the texts are read by."""
        return self.base_tokenizer

    @property
    @abstractmethod
    def data(self) -> LabelledData | DialogueData:
        """The records, read once."""

    @property
    def start_token(self) -> int | None:
        """The token that begins every text, where the model knows one."""
        return self.start.generation.get("start_token")

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return how many tokens and records train and validate, as run.toml calls them."""

    def data_table(self) -> dict[str, Any]:
        """Return where the records are from, and how they were divided."""
        data, tokenizer = self.data, self.tokenizer
        return {
            "sources": list(self.request.records),
            "fingerprint": data.fingerprint,
            "folder": str(data.folder),
            "tokenizer": tokenizer.kind,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "split_rule": data.split_rule,
            **self.sizes(),
        }

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer, and how to talk with the base where it says so."""
        self.tokenizer.save(folder.tokenizer)
        generation = with_end_of_text(self.start.generation, self.tokenizer.given_end)
        folder.write_chat_settings(self.start.chat_template, generation)
