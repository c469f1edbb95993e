"""What `groundup train` is asked for, and what of it is refused before torch is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from groundup.base.errors import GroundupError, UsageError, quoted
from groundup.config import GPTConfig, as_table, foreign_parts, preset
from groundup.config.recipe import DEFAULT_PRESET, default_layers
from groundup.data import read_documents
from groundup.data.folders import STANDARD_INPUT
from groundup.data.prepare import TRAINED
from groundup.data.tokens import MANIFEST
from groundup.runs import RunFolder
from groundup.runs.find import find_run
from groundup.runs.own import check_named, folder_to_keep, kept_in
from groundup.tokenizer.build import check_tokenizer
from groundup.train.resume import IN_PYTHON, Identity, as_made, trained_run
from groundup.train.run_request import RunRequest
from groundup.train.start import CHANGEABLE, Start, changed_base, new_start, start_from

DEFAULT_CORPUS = "shakespeare"
DEFAULT_TOKENIZER = "bpe"
READING = ("include", "text_field", "on_bad_record", "split_on", "encoding")
"""The text options that decide how sources are read."""
COUNTED = ("model", "train", "data.fingerprint", "from.weights")
"""What of a request must be the same for a run to go on; the rest says how it came about."""
CAUSES = {"model": ("preset", "changes"), "data": ("text",), "from": ("from.run",)}
"""What the user says that the parts of a request follow from."""
UNKNOWN = ("model.vocab_size", "data.fingerprint", "from.weights")
"""Of a request, before its text and its base are read."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest(RunRequest):
    """What the user asked for of a language model; `prepared` are the shards of its text."""

    sources: tuple[str, ...] = (DEFAULT_CORPUS,)
    preset: str = DEFAULT_PRESET
    base: Path | None = None
    model_changes: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = DEFAULT_TOKENIZER
    text_options: dict[str, Any] = field(default_factory=dict)

    def made_name(self) -> str:
        """Return a name made of the text and the preset or the base."""
        stems = [Path(source).name.partition(".")[0] for source in self.sources]
        text = "-".join(stem if stem.strip("-*") else "text" for stem in stems[:2])
        model = self.base.resolve().name if self.base else self.preset
        return f"{text}-{model}"

    def with_layers_for_its_time(self) -> TrainRequest:
        """Return it with fewer layers where time is short, if nobody has said how many.

        A run that is there keeps its own.
        """
        n_layers = default_layers(self.train.minutes)
        with contextlib.suppress(GroundupError):  # a damaged one is refused where it is checked
            if self.folder.exists():
                n_layers = self.folder.model_config(self.folder.read()).n_layers
        if n_layers is None or "n_layers" in self.model_changes:
            return self
        return replace(self, model_changes={**self.model_changes, "n_layers": n_layers})

    def start(self, own: RunFolder) -> Start:
        """Return what the run in the folder `own` starts from."""
        self._check_method()
        if self.base is not None:
            return start_from(self.base, self.model_changes, own, self.train.adapts)
        return new_start(self.preset, self.model_changes, self.tokenizer)

    def check(self) -> None:
        """Refuse what can be known to be wrong without torch, which takes seconds to load."""
        self._check_method()
        if self.base is not None:
            config = changed_base(self.base, self.model_changes, self.folder, self.train.adapts)
        else:
            config = preset(self.preset, **self.model_changes)
        self.check_folder(self.identity(config), UNKNOWN)
        if self.prepared is None:
            self._check_text(config)

    def _check_method(self) -> None:
        if self.train.adapts and self.base is None:
            raise UsageError(
                f"method = {self.train.method}: a new model has learnt nothing yet that could be "
                "adapted; give the run to learn beside, with --from RUN, or leave the method out"
            )

    def _check_text(self, config: GPTConfig) -> None:
        """Refuse sources that are not there, and words that no reader and no tokenizer knows."""
        for source in self.sources:
            run = find_run(Path(source), self.runs_folder)
            if source and not Path(source).exists() and RunFolder(run).exists():
                raise UsageError(
                    f"{source}: a run, not a text; 'groundup resume {source}' goes on with it, "
                    f"'groundup train TEXT --from {source}' begins another with it"
                )
        options = self.text_options
        reading = {key: options[key] for key in READING if key in options}
        read_documents(self.sources, **reading)
        if self.base is None:
            check_tokenizer(self.tokenizer, config.vocab_size, options.get("unknown", "error"))

    def identity(self, config: GPTConfig, read: Mapping[str, Any] | None = None) -> Identity:
        """Return what run.toml keeps of this in [request], where `config` is the model asked for.

        `read` is what its model, its text and its base turned out to be. It, `model` and `train`
        must be the same for a run to go on; the others are the words that they came of.
        """
        trained_here = {"tokenizer": self.tokenizer, "vocab_size": config.vocab_size}
        text = {"sources": list(self.sources), **self.text_options}
        table = {
            "command": self.command,
            **({} if self.base else {"preset": self.preset}),
            "model": as_table(config),
            "train": as_table(self.train),
            "changes": _set(self.model_changes),
            "text": _set(text | ({} if self.base else trained_here)),
            **(read or {}),
        }
        return Identity(request=table, counted=COUNTED, causes=CAUSES)


def _set(words: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in words.items() if value is not None}


def recorded_request(
    folder: RunFolder, own_data: Path | None = None, **others: Any
) -> TrainRequest:
    """Return the request that the run in `folder` began with, with some fields changed.

    Its text is read from the shards that were made of it (see `groundup.runs.own.kept_in`) and,
    where these are gone, from its sources. Raises `RunError` for a folder that is no run;
    `UsageError` for an imported or quantised model, and where an older version has not recorded how
    the text was read; `PathsElsewhere` for a run of others that names what is not near.
    """
    path = folder.path if folder.path.name else folder.path.resolve()
    manifest, asked = trained_run(folder)
    shards = kept_in(manifest, manifest.data.folder, own_data)
    if asked.command == IN_PYTHON:
        foreign = foreign_parts(folder.model_config(asked)).items()
        made = "".join(f", with {field} = {name!r}" for field, name in foreign)
        raise UsageError(
            f"{folder.path} was trained in Python{made}, and its text is not kept; to go on with "
            "it, repeat its call there: "
            f"train(model, tokenizer, text, run={quoted(str(path))}, ...)"
        )
    text = dict(asked.text or {})
    prepared = shards if (shards / MANIFEST).is_file() else None
    sources = tuple(text.pop("sources", manifest.data.sources or ()))
    if prepared is None and (asked.text is None or STANDARD_INPUT in sources):
        check_named(folder, manifest, {str(manifest.data.folder): "its token shards"})
        unknown = (
            "it was piped in" if asked.text else "an older version did not record how to read it"
        )
        raise UsageError(
            f"{folder.path}: the shards of its text are not in {shards}, and {unknown}; repeat its "
            f"command{as_made(asked, ': ')}"
        )
    base = asked.from_.run if asked.from_ else None
    tokenizer = text.pop("tokenizer", DEFAULT_TOKENIZER)
    read = {str(base): "its base"} if base else {}
    if prepared is None:
        read |= dict.fromkeys(sources, "its text")
        read |= {} if base or tokenizer in TRAINED else {tokenizer: "its tokenizer"}
    check_named(folder, manifest, read, as_made(asked, ", or repeat its command: "))
    model = asdict(folder.model_config(asked))
    model["vocab_size"] = text.pop("vocab_size", model["vocab_size"])
    return TrainRequest(
        sources=sources,
        preset=asked.preset or DEFAULT_PRESET,
        base=Path(base) if base else None,
        model_changes={key: model[key] for key in (CHANGEABLE if base else model)},
        train=folder.train_config(asked),
        tokenizer=tokenizer,
        text_options=text,
        run=path.name,
        command=str(asked.command or ""),
        runs_folder=path.parent,
        data_folder=folder_to_keep(manifest, own_data),
        prepared=prepared,
        reads=(*read, *([str(prepared)] if prepared else [])),
        **others,
    )
