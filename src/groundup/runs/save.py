"""A model that is in memory, as a run folder that every verb takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup import __version__
from groundup.base.errors import UsageError
from groundup.base.files import atomic_folder, make_folder, new_path, write_json
from groundup.config import GPTConfig, as_table, foreign_parts
from groundup.model import GPT, PARTS, empty_gpt, fused_attention, plain_attention, shapes_of
from groundup.model.empty import new_gpt
from groundup.runs.checkpoint import MODEL, STATE, Checkpoint, save_files, write_tensors
from groundup.runs.folder import RunFolder
from groundup.runs.generation import with_end_of_text
from groundup.runs.manifest import DataTable, JobTable, Manifest, SavedTable, SourceTable
from groundup.runs.pair import check_pair
from groundup.runs.tensor_check import tensor_problems
from groundup.tokenizer import Tokenizer

FORMATS = (torch.float32, torch.bfloat16, torch.float16)


def save(
    model: GPT,
    tokenizer: Tokenizer,
    path: str | Path,
    *,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` with its tokenizer into the new run folder `path`, at step 0, and return it.

    `load` gives the model back, and every verb takes the folder. Weights keep their number format.
    `chat_template` and `generation` are those of a `LoadedRun`, where the model came from one.
    Raises `UsageError` for a path that is there already, a tokenizer of more ids than the model
    knows, quantised weights, and a model that is not what its config makes.
    """
    check_pair(model, tokenizer, "save")
    check_made_by_config(model)
    new_path(Path(path))
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    with atomic_folder(Path(path)) as unfinished:
        write_run(
            RunFolder(unfinished),
            model.config,
            tokenizer,
            lambda file: write_tensors(tensors, file),
            chat_template,
            dict(generation or {}),
            saved=SavedTable(by="groundup.save"),
        )
    return Path(path)


def write_run(
    folder: RunFolder,
    config: GPTConfig,
    tokenizer: Tokenizer,
    write_model: Callable[[Path], None],
    chat_template: str | None,
    generation: dict[str, Any],
    *,
    source: SourceTable | None = None,
    saved: SavedTable | None = None,
    job: JobTable | None = None,
) -> Checkpoint:
    """Write the run folder, at step 0, of a model that no training here made.

    `write_model(path)` writes its tensors; `source` or `saved` says where it is from, and `job`
    what it has that a GPT lacks.
    """
    make_folder(folder.path)
    files = {MODEL: write_model, STATE: lambda path: write_json(path, {"step": 0})}
    checkpoint = save_files(folder.checkpoints, 0, files)
    tokenizer.save(folder.tokenizer)
    folder.write_chat_settings(chat_template, with_end_of_text(generation, tokenizer.given_end))
    manifest = Manifest(
        model=as_table(config),
        data=DataTable(
            tokenizer=tokenizer.kind,
            tokenizer_fingerprint=tokenizer.fingerprint,
            vocab_size=tokenizer.vocab_size,
        ),
        job=job,
        source=source,
        saved=saved,
        versions={"groundup": __version__, "torch": str(torch.__version__)},
    )
    folder.write(manifest)  # last: without it the folder is no run
    return checkpoint


def check_made_by_config(model: GPT) -> None:
    """Refuse a model of which a part is not what its config makes: `load` could not make it again.

    Compared are the classes of all modules, and the names and shapes of all parameters, with those
    of a model made of the same parts. Buffers are refused, too: no checkpoint has them.
    """
    if any(hasattr(module, "n_quantized") for module in model.modules()):
        raise UsageError(
            "the model's weights are quantised, and a run is saved from whole ones; save the model "
            "that it was made from, or copy the run folder as it is"
        )
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    made = empty_gpt(model.config, model.parts if foreign_parts(model.config) else PARTS)
    expected = ((p.name, p.shape) for p in shapes_of(made))
    problems = tensor_problems(tensors, expected) or _other_parts(model, made)
    if problems:
        raise UsageError(
            f"the model is not what its config makes: {problems}; undo the change, or keep the "
            "weights yourself: torch.save(model.state_dict(), PATH)"
        )
    if foreign_parts(model.config):
        _check_made_the_same(model)
    learnt = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if buffers := model.state_dict().keys() - learnt:
        raise UsageError(
            f"{min(buffers)} is a buffer, which no checkpoint keeps; make it a parameter, or "
            "register_buffer(..., persistent=False) where its part makes it anew"
        )
    formats = {tensor.dtype for tensor in tensors.values()}
    if other := formats - set(FORMATS):
        raise UsageError(f"the model's weights are {other.pop()}; write model.float() before")


def _check_made_the_same(model: GPT) -> None:
    """Refuse numbers that no checkpoint keeps and that a part makes otherwise each time."""
    if not (held := _held(model)):
        return
    made = _held(new_gpt(model.config, model.parts))
    for name, tensor in held.items():
        again = made.get(name, tensor).to(tensor)
        if again.shape == tensor.shape and not _equal(again, tensor):
            raise UsageError(
                f"{name} is no parameter, so that no checkpoint keeps it, and its part makes it "
                "otherwise each time; make it a torch.nn.Parameter, with requires_grad=False where "
                "it does not learn"
            )


def _equal(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors are the same; real ones may have been rounded on another device."""
    if first.is_floating_point() or first.is_complex():
        return torch.allclose(first, second, equal_nan=True)
    return torch.equal(first, second)


def _held(model: GPT) -> dict[str, Tensor]:
    """Return the tensors that are no parameters: plain attributes, buffers beside the state."""
    return {
        f"{name}.{key}": value.detach()
        for name, module in model.named_modules()
        for key, value in {**vars(module), **dict(module.named_buffers(recurse=False))}.items()
        if isinstance(value, Tensor) and value.numel()
    }


def _other_parts(model: GPT, expected: GPT) -> str:
    """Say what computes in the model that no parameter tells of; "" where that is as always."""
    usual = (None, fused_attention, plain_attention)
    expected_ways = _ways_of_attending(expected)
    for name, way in _ways_of_attending(model).items():
        if not any(way is one for one in (*usual, expected_ways.get(name))):
            return "it was made with an `attend` of its own"
    made = {name: type(module) for name, module in expected.named_modules()}
    found: dict[str, type[nn.Module]] = {n: type(module) for n, module in model.named_modules()}
    other = [name for name in made | found if made.get(name) is not found.get(name)]
    return "; ".join(f"{name} is {_called(found, name)}, expected {_called(made, name)}"
                     for name in other[:3])  # fmt: skip


def _ways_of_attending(model: GPT) -> dict[str, Any]:
    """Return the function that each module was given to attend with."""
    ways = {name: vars(module).get("attend") for name, module in model.named_modules()}
    return {name: getattr(way, "func", way) for name, way in ways.items()}


def _called(classes: Mapping[str, type], name: str) -> str:
    found = classes.get(name)
    return f"{found.__module__}.{found.__name__}" if found else "absent"
