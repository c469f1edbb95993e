"""Any model in, as a run folder at step 0; any run out, in a form that others read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from groundup.base.errors import RunError, TokenizerError
from groundup.base.file_names import check_name
from groundup.base.files import atomic_folder, atomic_path, file_sha256, new_path, write_text
from groundup.config import GPTConfig, parameter_shapes
from groundup.runs import RunFolder
from groundup.runs.assistant import other_template
from groundup.runs.checkpoint import MODEL, Checkpoint
from groundup.runs.choose import choose_checkpoint
from groundup.runs.classifier import CLASSIFIER, HEAD, classifier_table
from groundup.runs.foreign import check_own_parts
from groundup.runs.generation import checked
from groundup.runs.load import check_shapes, run_tokenizer, stored_tensors
from groundup.runs.manifest import JobTable, Manifest
from groundup.runs.save import write_run
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored, read_safetensors, write_safetensors
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.end import with_found_end
from groundup.weights.card import model_card
from groundup.weights.dequantize import dequantized
from groundup.weights.early_checks import check_exportable, check_format
from groundup.weights.formats import format_named, open_pretrained, with_dtype
from groundup.weights.pretrained import ClassifierHead, Exported, Pretrained
from groundup.weights.verify import largest_difference, sample_logits

TOLERANCE = 1e-4
"""Largest difference of logits between a model and an export of it that keeps its numbers."""


OnProgress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A finished import or export.

    `difference` is the largest of the logits, read back and compared; None: not compared.
    """

    path: Path
    parameters: int
    size_bytes: int
    seconds: float
    difference: float | None
    notices: tuple[str, ...]


def import_model(
    source: str | Path,
    dest: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    trust_pickle: bool = False,
    settings: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    verify: bool = True,
    progress: OnProgress = silent,
) -> Conversion:
    """Bring a model into the run folder `dest`: from a folder or name of Hugging Face's, a GGUF
    file, a folder of our own export, or a checkpoint of a tool that is known.

    `trust_pickle` lets the weights of a pickle be read. `tokenizer` stands in where the source has
    none, and `settings` (fields of `GPTConfig`, such as n_heads) where its tensors do not tell.
    Weights keep their number format, or get `dtype` (f32, bf16 or f16); quantised ones become fp32.
    One tensor is in memory at a time; `progress` is called with the bytes written and those in all.
    Raises `RunError` for a source that is damaged, unknown or incomplete, naming all that is wrong;
    nothing is left behind then.
    """
    begun = time.perf_counter()
    check_name(source)
    check_format("safetensors", dtype)
    dtype = dtype.upper() if dtype else None
    new_path(Path(dest))
    given = open_pretrained(source, trust_pickle, settings, tokenizer is not None)
    return import_found(given, source, dest, tokenizer, verify, begun, dtype, progress)


def import_found(
    given: Pretrained,
    source: str | Path,
    dest: str | Path,
    tokenizer: Tokenizer | None,
    verify: bool,
    begun: float,
    dtype: str | None = None,
    progress: OnProgress = silent,
) -> Conversion:
    """Write what was `given` by `source` as the run folder `dest`; see `import_model`."""
    found = with_dtype(given, dtype)
    chosen = _chosen_tokenizer(found, tokenizer, source)
    # Two readings of the source at once: one is written, one is asked for its logits.
    with atomic_folder(Path(dest)) as unfinished, ThreadPoolExecutor(1) as beside:
        asked = beside.submit(sample_logits, *_computed(given)) if verify else None
        written = _write_run(found, chosen, Path(source), RunFolder(unfinished), progress)
        difference = None
        if asked is not None:
            stored = read_safetensors(written)
            back = sample_logits(found.config, stored, stored.get(HEAD))
            difference = _compared(asked.result(), back, dtype, Path(source))
    return _conversion(Path(dest), found, begun, difference, found.notices)


def export_model(
    run: str | Path,
    dest: str | Path,
    form: str = "hf",
    *,
    dtype: str | None = None,
    checkpoint: str = "best",
    licence: str | None = None,
    verify: bool = True,
) -> Conversion:
    """Write the model of a run folder to `dest` as "hf", "gguf" or "safetensors" (our own names).

    `dtype` is f32, bf16 or f16 and, for GGUF, a quantised type such as q8_0; None keeps what is
    stored. One tensor is in memory at a time. The result is read back and its logits compared.
    """
    begun = time.perf_counter()
    check_name(run)
    kind = format_named(form, dtype)
    out, folder = new_path(Path(dest)), RunFolder(Path(run))
    dtype = dtype.upper() if dtype else None
    model, chosen, notices = model_to_export(folder, checkpoint, form)
    with atomic_path(out) as unfinished:
        notices += kind.write(model, unfinished, dtype)
        if kind.has_card:
            write_text(unfinished / "README.md", model_card(folder, model, chosen.step, licence))
        difference = None
        if verify:
            back = kind.read(unfinished)
            first, second = (sample_logits(*_computed(one)) for one in (model, back))
            difference = _compared(first, second, dtype, out)
    return _conversion(out, model, begun, difference, notices)


def _computed(
    model: Exported | Pretrained,
) -> tuple[GPTConfig, dict[str, Stored], Stored | None]:
    """Return what the logits of a model follow from."""
    return model.config, model.tensors, model.head.weight if model.head else None


def model_to_export(
    folder: RunFolder, checkpoint: str, form: str
) -> tuple[Exported, Checkpoint, list[str]]:
    """Return the model of a run, its checkpoint, and a notice for each damaged one passed over.

    The tensors are read when they are asked for, from the checkpoint: it has to be held until then.
    """
    manifest = folder.read()
    check_exportable(folder, manifest, form)
    config = folder.model_config(manifest)
    check_own_parts(config, folder.path)
    chosen, notices = choose_checkpoint(folder, checkpoint)
    tensors = _stored(folder, manifest, chosen)
    head = None
    if manifest.kind == CLASSIFIER:
        head = _taken_head(folder, manifest, tensors, chosen.path)
        config = _without_output_head(config, tensors)
    check_shapes(config, tensors, chosen.path / MODEL)
    generation = checked(folder.read_generation(), config.vocab_size, folder.generation)
    template = folder.read_chat_template()
    notices += other_template(manifest, template)
    model = Exported(
        config=config,
        tensors=tensors,
        tokenizer=run_tokenizer(folder, manifest),
        chat_template=template,
        generation=generation,
        name=folder.path.resolve().name,
        family=manifest.family,
        head=head,
    )
    if (made := manifest.quantization) and made.bits:
        notices.append(
            f"the weights in {made.bits} bits are written as the fp32 numbers they stand for"
        )
    return model, chosen, notices


def _stored(folder: RunFolder, manifest: Manifest, chosen: Checkpoint) -> dict[str, Stored]:
    """Return the tensors of a checkpoint, read one by one; with the base's, where it has one."""
    if manifest.base is None:
        return dequantized(read_safetensors(chosen.path / MODEL), chosen.path)
    whole = cast("dict[str, Tensor]", stored_tensors(folder, manifest, chosen))
    return {name: Stored.of(tensor) for name, tensor in whole.items()}


def _taken_head(
    folder: RunFolder, manifest: Manifest, tensors: dict[str, Stored], source: Path
) -> ClassifierHead:
    """Take the head of a classifier out of its tensors."""
    table = classifier_table(folder, manifest)
    head = {HEAD: tensors.pop(HEAD)} if HEAD in tensors else {}
    width = folder.model_config(manifest).emb_dim
    check_tensors(head, [(HEAD, (len(table.labels), width))], source, "run.toml's [job]")
    return ClassifierHead(table=table, weight=head[HEAD])


def _without_output_head(config: GPTConfig, tensors: dict[str, Stored]) -> GPTConfig:
    """Leave out the output head, which a classifier does not use: a tied one is no tensor."""
    for name in [name for name in tensors if name.startswith("lm_head.")]:
        del tensors[name]
    return config.replace(tie_embeddings=True, head_bias=False)


def _compared(first: Tensor, back: Tensor, dtype: str | None, out: Path) -> float:
    """Return the largest difference of a model's logits and those of what was read back.

    Refused are logits that are no numbers and, where every number was kept, other logits.
    """
    difference = largest_difference(first, back)
    if not first.isfinite().all():
        raise RunError(
            f"{out}: the model's logits are not finite before it is converted: its weights are "
            "damaged; nothing was kept; get the model anew, or convert it with --no-verify"
        )
    if dtype not in (None, "F32"):
        if not math.isfinite(difference):
            raise RunError(
                f"{out}: as {dtype.lower()} its logits are no longer finite: some weights are too "
                "large for that number format; nothing was kept; choose bf16 or f32"
            )
    elif not difference <= TOLERANCE:
        raise RunError(
            f"{out}: read back, its logits differ by {difference:.2g}, expected at most "
            f"{TOLERANCE:g}; nothing was kept; please report this as a defect of groundup"
        )
    return difference


def _write_run(
    found: Pretrained, tokenizer: Tokenizer, source: Path, folder: RunFolder, progress: OnProgress
) -> Path:
    """Write the run folder of an imported model; return the path of its tensors."""
    tensors = _told(found.tensors | ({HEAD: found.head.weight} if found.head else {}), progress)
    checkpoint = write_run(
        folder,
        found.config,
        tokenizer,
        lambda path: write_safetensors(path, tensors, None),
        found.chat_template,
        found.generation,
        source=replace(found.source, files=_hashes(source)),
        job=_job(found),
    )
    return checkpoint.path / MODEL


def _told(tensors: Mapping[str, Stored], progress: OnProgress) -> dict[str, Stored]:
    """Return the tensors, each of which tells how far the whole is once it has been read."""
    sizes = {name: math.prod(s.shape) * s.dtype.itemsize for name, s in tensors.items()}
    total, done = sum(sizes.values()), 0

    def read(name: str) -> Tensor:
        nonlocal done
        tensor = tensors[name].read()
        done += sizes[name]
        progress(done, total)
        return tensor

    return {name: Stored(s.shape, s.dtype, partial(read, name)) for name, s in tensors.items()}


def _job(found: Pretrained) -> JobTable | None:
    """Return what run.toml says of an imported classifier."""
    if (head := found.head) is None:
        return None
    return JobTable(
        kind=CLASSIFIER,
        labels=list(head.table.labels),
        settings={"pooling": head.table.pooling, "max_length": head.table.max_length},
        tensors={HEAD: list(head.weight.shape)},
    )


def _hashes(source: Path) -> dict[str, str]:
    """Return the SHA-256 of every file with weights in it."""
    kinds = [sorted(source.glob(kind)) for kind in ("*.safetensors", "*.bin", "*.data-*-of-*")]
    files = next(filter(None, kinds), []) if source.is_dir() else [source]
    return {file.name: file_sha256(file) for file in files if file.is_file()}


def _chosen_tokenizer(found: Pretrained, given: Tokenizer | None, source: str | Path) -> Tokenizer:
    """Return the tokenizer of the model, given or its own, if it fits the vocabulary."""
    tokenizer = given or found.tokenizer
    if tokenizer is None:
        why = found.why_no_tokenizer or f"{source} has no tokenizer that can be read"
        raise TokenizerError(f"{why}; or give one with --tokenizer: a tokenizer.json, or gpt2")
    if tokenizer.vocab_size > found.config.vocab_size:
        raise TokenizerError(
            f"{source}: the tokenizer has ids up to {tokenizer.vocab_size - 1:,}, but the model "
            f"has vocab_size = {found.config.vocab_size:,}; give the model's own tokenizer"
        )
    told = checked(found.generation, found.config.vocab_size, source)
    end = told.get("end_of_text", tokenizer.given_end)
    if end is not None:
        return tokenizer.ending(end)
    return with_found_end(tokenizer, told.get("special_tokens", {}), told.get("stop_tokens", []))


def _conversion(
    path: Path,
    model: Exported | Pretrained,
    begun: float,
    difference: float | None,
    notices: list[str],
) -> Conversion:
    of_head = math.prod(model.head.weight.shape) if model.head else 0
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Conversion(
        path=path,
        parameters=sum(p.size for p in parameter_shapes(model.config)) + of_head,
        size_bytes=sum(file.stat().st_size for file in files),
        seconds=time.perf_counter() - begun,
        difference=difference,
        notices=tuple(notices),
    )
