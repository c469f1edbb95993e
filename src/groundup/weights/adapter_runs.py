"""Adapters of a run out, as `peft` keeps them, and adapters of others in, beside a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from groundup import __version__
from groundup.adapters import merged_tensors
from groundup.base.errors import RunError, UsageError, shown
from groundup.base.file_names import check_name
from groundup.base.files import atomic_folder, atomic_path, file_sha256, new_path, write_json
from groundup.config.adaptation import is_adapter
from groundup.runs import RunFolder
from groundup.runs.assistant import job_of_whole
from groundup.runs.base import choose_base
from groundup.runs.checkpoint import MODEL, STATE, save_files, write_tensors
from groundup.runs.choose import choose_checkpoint
from groundup.runs.classifier import CLASSIFIER, HEAD, classifier_table
from groundup.runs.load import LoadedRun, load_base
from groundup.runs.manifest import AdapterTable, BaseTable, JobTable, Manifest, SourceTable
from groundup.runs.own import sealed, sealed_like
from groundup.runs.tensor_file import Stored
from groundup.weights.convert import TOLERANCE, Conversion
from groundup.weights.early_checks import HUB_NAME, check_adapter, check_exportable
from groundup.weights.hf.native import native_class
from groundup.weights.peft import WEIGHTS, Adapters, check_unfolded, read_peft, write_peft
from groundup.weights.sampling_settings import stop_ids
from groundup.weights.verify import largest_difference, sample_logits


def export_adapter(
    run: str | Path, dest: str | Path, *, checkpoint: str = "best", verify: bool = True
) -> Conversion:
    """Write the adapters of a run to the new folder `dest`, as `peft` saves them.

    They are loaded on top of the base's export as "hf"; the head of a classifier comes along, its
    labels are told. Raises `UsageError` for a run without adapters, and for a base that no native
    class of `transformers` computes. The result is read back, and the logits of the merged models
    compared.
    """
    begun = time.perf_counter()
    check_name(run)
    folder, out = RunFolder(Path(run)), new_path(Path(dest))
    manifest = folder.read()
    if manifest.base is None or manifest.adapter is None:
        raise UsageError(
            f"{run} holds no adapters, which alone peft saves; export the model with --format hf"
        )
    check_exportable(folder, manifest, "peft")
    config, table = folder.model_config(manifest), manifest.adapter
    chosen, notices = choose_checkpoint(folder, checkpoint)
    base = load_base(folder, manifest.base)
    own = chosen.model_tensors()
    tensors = {n: t.float() for n, t in own.items() if is_adapter(n)}
    adapters = Adapters(
        method=table.method or "", rank=table.rank or 0, alpha=table.alpha or 0.0, tensors=tensors
    )
    head = None
    if manifest.kind == CLASSIFIER:
        head = own[HEAD].float()
        notices.append(_labels_notice(classifier_table(folder, manifest).labels))
    name, family = _name(base, manifest.base), base.manifest.family
    with atomic_path(out) as unfinished:
        write_peft(adapters, config, name, unfinished, head, family)
        back = read_peft(unfinished, config, family, head is not None) if verify else None
        difference = _verified(base, adapters, back, out) if back else None
    if not HUB_NAME.fullmatch(name):
        path = manifest.base.run
        notices.append(f"its base goes with it: groundup export {path} {name} --format hf")
    notices += _what_the_base_lacks(folder, base)
    whole = tensors if head is None else {**tensors, HEAD: head}
    return _conversion(out, whole, begun, difference, notices)


def _what_the_base_lacks(folder: RunFolder, base: LoadedRun) -> Iterator[str]:
    """Say what of a run's way to answer stands neither in its adapters nor in its base."""
    if (template := folder.read_chat_template()) != base.chat_template and template:
        yield f"its base has another chat template or none: {folder.chat_template} goes with it"
    ends = stop_ids(base.tokenizer, folder.read_generation())
    if not {*ends} <= {*stop_ids(base.tokenizer, base.generation)}:
        yield f"its base does not stop where it does: give generate eos_token_id={ends}"


def _labels_notice(labels: tuple[str, ...]) -> str:
    return (
        "load its base by AutoModelForSequenceClassification with num_labels="
        f"{len(labels)}; an adapter does not say the labels: {shown(', '.join(labels), 200)}"
    )


def import_adapter(
    source: str | Path, dest: str | Path, base: str | Path, *, verify: bool = True
) -> Conversion:
    """Bring an adapter that `peft` has saved into the run folder `dest`, beside the run `base`.

    Every verb takes the run, as long as its base is there; `groundup merge` makes it whole. Raises
    `UsageError` for what is no LoRA or DoRA of the base's blocks, `RunError` for damaged files.
    """
    begun = time.perf_counter()
    for name in (source, base):
        check_name(name)
    check_adapter(source)
    path, out = Path(source), new_path(Path(dest))
    folder = RunFolder(Path(base))
    table, _held = choose_base(folder.path)
    start = load_base(RunFolder(out), table)
    imported = start.manifest.source  # what was trained on from it has no factors of its own
    check_unfolded(start.model.config, imported.family if imported else None, source)
    adapters = read_peft(path, start.model.config, start.manifest.family)
    with atomic_folder(out) as unfinished:
        _fill(RunFolder(unfinished), adapters, start, table, path)
        kept, _ = choose_checkpoint(RunFolder(unfinished), "best")
        back = Adapters(
            method=adapters.method,
            rank=adapters.rank,
            alpha=adapters.alpha,
            tensors=kept.model_tensors(),
        )
        difference = _verified(start, adapters, back, path) if verify else None
    return _conversion(out, adapters.tensors, begun, difference, [])


def _fill(
    made: RunFolder, adapters: Adapters, base: LoadedRun, table: BaseTable, source: Path
) -> None:
    """Write a run folder that holds adapters, and of the base what goes with a model."""
    save_files(
        made.checkpoints,
        0,
        {
            MODEL: lambda path: write_tensors(adapters.tensors, path),
            STATE: lambda path: write_json(path, {"step": 0}),
        },
    )
    base.tokenizer.save(made.tokenizer)
    made.write_chat_settings(base.chat_template, base.generation)
    shapes = {name: list(tensor.shape) for name, tensor in adapters.tensors.items()}
    manifest = Manifest(
        model=base.manifest.model,
        data=base.manifest.data,
        job=replace(job_of_whole(base.manifest) or JobTable(), tensors=shapes),
        base=table,
        adapter=AdapterTable(method=adapters.method, rank=adapters.rank, alpha=adapters.alpha),
        source=SourceTable(
            format="peft",
            path=str(source),
            name=source.resolve().name,
            family=base.manifest.family,
            files={WEIGHTS: file_sha256(source / WEIGHTS)},
        ),
        versions={"groundup": __version__, "torch": str(torch.__version__)},
    )
    # The user has named the base; what that names of its own is another matter.
    made.write(
        sealed_like(base.manifest, manifest) if base.manifest.data.folder else sealed(manifest)
    )


def _name(base: LoadedRun, table: BaseTable) -> str:
    """Return what peft is to load the base by: its name on the hub, else that of the run.

    A base whose factors are in its weights is another model than that on the hub.
    """
    source = base.manifest.source
    is_same = source and source.family == native_class(base.model.config, source.family).model_type
    if source and is_same and source.name and HUB_NAME.fullmatch(source.name):
        return source.name
    return Path(table.run or "").name


def _verified(base: LoadedRun, first: Adapters, back: Adapters, source: Path) -> float:
    """Return the largest difference of the logits with either adapters; refuse another model."""
    config = base.model.config
    whole = {name: p.detach() for name, p in base.model.named_parameters()}
    logits = [
        sample_logits(
            config,
            {
                name: Stored.of(tensor)
                for name, tensor in (
                    whole | merged_tensors(whole, one.tensors, one.alpha / one.rank)
                ).items()
            },
        )
        for one in (first, back)
    ]
    difference = largest_difference(*logits)
    if not difference <= TOLERANCE:
        raise RunError(
            f"{source}: read back, the logits differ by {difference:.2g}, expected at most "
            f"{TOLERANCE:g}; please report this as a defect of groundup"
        )
    return difference


def _conversion(
    path: Path,
    tensors: dict[str, torch.Tensor],
    begun: float,
    difference: float | None,
    notices: list[str],
) -> Conversion:
    return Conversion(
        path=path,
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        size_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        seconds=time.perf_counter() - begun,
        difference=difference,
        notices=tuple(notices),
    )
