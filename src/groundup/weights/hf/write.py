"""A folder that `transformers` loads under a native class, with no code of ours."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from groundup.base.errors import UsageError
from groundup.base.file_names import WEIGHTS
from groundup.base.files import atomic_folder, write_json
from groundup.config import parameter_shapes
from groundup.runs.tensor_file import Stored, write_safetensors
from groundup.tokenizer import Tokenizer
from groundup.weights.gguf.pre_tokenizers import pre_tokenizer_name
from groundup.weights.hf.classifier import (
    RIGHT,
    SCORE,
    head_values,
    padding_notice,
    with_padding,
)
from groundup.weights.hf.companions import write_companions
from groundup.weights.hf.native import Native, native_class
from groundup.weights.hf.read import CONFIG
from groundup.weights.pretrained import Exported
from groundup.weights.tensor_names import to_theirs


def write_hf(model: Exported, folder: Path) -> list[str]:
    """Write `model` into the new folder `folder`, whole or not at all; return what to know of it.

    One tensor is in memory at a time, and each keeps its number format. What no native class
    computes, and a folder that is there already, is a `UsageError`.
    """
    native = native_class(model.config, model.family)
    notices = native.notices + _read_otherwise(native.model_type, model.tokenizer)
    if model.head is not None:
        if native.family.classifier is None:
            raise UsageError(
                f"{model.name}: transformers has no class of {native.model_type} that scores "
                "labels; use the run itself"
            )
        generation, pad = with_padding(model)
        model = replace(model, generation=generation)
        notices.append(padding_notice(pad))
    with atomic_folder(folder) as unfinished:
        _fill(unfinished, model, native)
    return notices


def _read_otherwise(model_type: str, tokenizer: Tokenizer) -> list[str]:
    """Return a notice where AutoTokenizer does not read the tokenizer.json as it is.

    transformers 5 takes every qwen2's for Qwen's own, whichever class its files name.
    """
    if model_type != "qwen2" or pre_tokenizer_name(json.loads(tokenizer.to_json())) == "qwen2":
        return []
    return [
        "AutoTokenizer of transformers 5 cuts texts as Qwen 2 does, this model another way: load "
        "its tokenizer with PreTrainedTokenizerFast.from_pretrained"
    ]


def _fill(folder: Path, model: Exported, native: Native) -> None:
    tensors = _with_zero_biases(model, native)
    dtype = Counter(stored.dtype for stored in tensors.values()).most_common(1)[0][0]
    head, family = model.head, native.family
    ids = write_companions(
        folder,
        model.tokenizer,
        model.generation,
        model.chat_template,
        head.table.max_length if head else model.config.context_length,
        RIGHT if head else {},
    )
    values = {
        "architectures": [family.classifier if head else family.architecture],
        "model_type": native.model_type,
        **native.values,
        **ids,
        **(head_values(head) if head else {}),
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
    write_json(folder / CONFIG, values)
    theirs = to_theirs(tensors, native.config, family.names)
    if head is not None:
        theirs.pop(f"{family.names.modules['lm_head']}.bias", None)
        theirs[SCORE] = head.weight
    write_safetensors(folder / WEIGHTS, theirs, {"format": "pt"})


def _with_zero_biases(model: Exported, native: Native) -> dict[str, Stored]:
    """Return the tensors of the native class: the model's, and zeros for biases it lacks."""
    dtype = next(iter(model.tensors.values())).dtype

    def zeros(shape: tuple[int, ...]) -> Stored:
        return Stored(shape, dtype, partial(torch.zeros, shape, dtype=dtype))

    shapes = {parameter.name: parameter.shape for parameter in parameter_shapes(native.config)}
    return {name: model.tensors.get(name) or zeros(shape) for name, shape in shapes.items()}
