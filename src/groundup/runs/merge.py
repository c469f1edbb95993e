"""A run that holds only what it learnt, put together with its base: a run that needs it no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from torch import Tensor

from groundup.base.file_names import check_name
from groundup.base.files import atomic_folder, write_json
from groundup.runs.assistant import job_of_whole, read_assistant, write_assistant
from groundup.runs.base import check_mergeable
from groundup.runs.checkpoint import MODEL, STATE, Checkpoint, save_files, write_tensors
from groundup.runs.choose import choose_checkpoint
from groundup.runs.classification import read_classification, write_classification
from groundup.runs.folder import RunFolder
from groundup.runs.load import check_shapes, run_tokenizer, stored_tensors, take_extra
from groundup.runs.manifest import Manifest, OriginTable, SavedTable
from groundup.runs.own import sealed_like


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A finished merge: where it lies, and of what."""

    path: Path
    run: Path
    base: str
    """The run that the other weights are from."""
    step: int
    size_bytes: int
    """Of the file with the weights."""
    notices: tuple[str, ...]


def merge_run(run: str | Path, dest: str | Path, checkpoint: str = "best") -> Merged:
    """Write the model of `run`, merged with its base, to the run folder `dest`, whole or absent.

    Merged matrices are in fp32, the others as the base has them. Tokenizer, chat template and
    settings of generation come along, and the figures of its test; a classifier stays one, and so
    does an assistant. Raises `UsageError` for a run that has no base, or has learnt what neither a
    GPT nor a classifier has, and `RunError` where its base is gone.
    """
    check_name(run)
    folder, out = RunFolder(Path(run)), Path(dest)
    manifest = check_mergeable(folder, out)
    chosen, notices = choose_checkpoint(folder, checkpoint)
    tokenizer = run_tokenizer(folder, manifest)
    tensors = stored_tensors(folder, manifest, chosen)
    extra = take_extra(manifest, tensors, chosen.path)
    check_shapes(folder.model_config(manifest), tensors, chosen.path)
    whole = {**cast("dict[str, Tensor]", tensors), **extra}
    with atomic_folder(out) as unfinished:
        made = RunFolder(unfinished)
        written = save_files(
            made.checkpoints,
            chosen.step,
            {
                MODEL: lambda path: write_tensors(whole, path),
                STATE: lambda path: write_json(path, {"step": chosen.step}),
            },
        )
        tokenizer.save(made.tokenizer)
        made.write_chat_settings(folder.read_chat_template(), folder.read_generation())
        made.write(_settings(folder, manifest, chosen))
        _carry_over_test(folder, made, chosen.step)
        size = (written.path / MODEL).stat().st_size
    return Merged(
        path=out,
        run=folder.path,
        base=(manifest.base and manifest.base.run) or "",
        step=chosen.step,
        size_bytes=size,
        notices=tuple(notices),
    )


def _carry_over_test(folder: RunFolder, made: RunFolder, step: int) -> None:
    """Keep what the test showed, if it was of this step: merging only rounds."""
    told = f"tested as {folder.path}, before it was merged"
    if (record := read_classification(folder.classification)) and record.step == step:
        why = f"{record.chosen_by}; {told}"
        write_classification(made.classification, replace(record, chosen_by=why))
    if (asked := read_assistant(folder.assistant)) and asked.step == step:
        write_assistant(made.assistant, replace(asked, chosen_by=f"{asked.chosen_by}; {told}"))


def _settings(folder: RunFolder, manifest: Manifest, chosen: Checkpoint) -> Manifest:
    """Return run.toml of what is merged; the name and the licence of its origin are its own."""
    stems = replace(
        manifest.origin or OriginTable(), run=str(folder.path), weights=chosen.fingerprint()
    )
    made = Manifest(
        model=manifest.model,
        data=manifest.data,
        job=job_of_whole(manifest),
        source=manifest.source,
        saved=SavedTable(by="groundup merge", from_=stems),
        versions=manifest.versions,
    )
    return sealed_like(manifest, made)
