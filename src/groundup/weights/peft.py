"""Adapters as `peft` keeps them: a folder with adapter_config.json and adapter_model.safetensors.

    base_model.model.MODULE.lora_A.weight            (r, in)
    base_model.model.MODULE.lora_B.weight            (out, r)
    base_model.model.MODULE.lora_magnitude_vector    (out), of DoRA
    base_model.model.score.weight                    (labels, width), of a classifier

MODULE is what `transformers` calls a matrix in memory. Where it joins several of ours there, as
GPT-2's c_attn does query, key and value, adapters are joined exactly: the A's one below the other,
the B's as blocks on a diagonal, and the rank is the sum of theirs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from groundup.adapters import check_target
from groundup.base.errors import RunError, UsageError, shown
from groundup.base.files import make_folder, write_json
from groundup.config import GPTConfig
from groundup.config.adaptation import DORA, LORA, LORA_A, LORA_B, MAGNITUDE, is_adapted
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored, read_safetensors, write_safetensors
from groundup.weights.early_checks import PEFT_CONFIG as CONFIG
from groundup.weights.hf.families import FAMILIES
from groundup.weights.hf.native import Native, native_class
from groundup.weights.json_object import read_object
from groundup.weights.tensor_names import STACKED, TRANSPOSED, Layout, Link, links

WEIGHTS = "adapter_model.safetensors"
LARGEST_CONFIG = 1 << 20
FIRST = "base_model.model."
SCORE, SAVED = f"{FIRST}score.weight", ["score"]
"""The head of a classifier, and what its config calls it."""
A, B, M = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
PLAIN_STARTS = (True, False, "gaussian", "eva")
"""Ways to start an adapter that leave the base's own weights as they are."""
UNKNOWN = (
    "modules_to_save", "trainable_token_indices", "layer_replication", "target_parameters",
    "alora_invocation_tokens", "lora_bias", "use_qalora", "use_bdlora", "arrow_config",
    "kasa_config", "velora_config", "monteclora_config", "megatron_config",
)  # fmt: skip
"""Settings of peft for what is more, or other, than thin matrices beside a model's own."""


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """The adapters of a model, in our names, all of one rank and one scale."""

    method: str
    rank: int
    alpha: float
    tensors: dict[str, Tensor]


class _Adapter(NamedTuple):
    """One of theirs, with the link to what it adapts."""

    link: Link
    a: Tensor
    b: Tensor
    magnitude: Tensor | None
    scale: float


def write_peft(
    adapters: Adapters,
    config: GPTConfig,
    base_name: str,
    folder: Path,
    head: Tensor | None = None,
    family: str | None = None,
) -> None:
    """Write adapters into the new folder `folder`, whole or not at all.

    `head` (labels, emb_dim) is that of a classifier; `base_name` is what the config calls the
    base: a name on the hub, or a folder; `family` is the one that the base came from, whose names
    it goes out with. Raises `UsageError` for a model that no native class of `transformers`
    computes, and for experts.
    """
    native = native_class(config, family)
    if config.n_experts:
        raise UsageError(
            f"{base_name}: transformers keeps the matrices of all experts in one tensor, beside "
            "which peft has no such adapters; export the whole model with --format hf, adapters "
            "merged"
        )
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    targets: list[str] = []
    left_out: set[str] = set()
    for link in _adapted(native):
        own = [parameter.name.removesuffix("weight") for parameter in link.ours]
        module = _module(link)
        kind = module.rpartition(".")[2]
        if f"{own[0]}{LORA_B}" not in adapters.tensors:
            left_out.add(kind)
            continue
        parts = {
            name: [adapters.tensors[f"{at}{name}"] for at in own]
            for name in (LORA_A, LORA_B, *([MAGNITUDE] if adapters.method == DORA else []))
        }
        tensors[f"{FIRST}{module}{A}"] = torch.cat(parts[LORA_A])
        rows, config = _rows(link), native.config
        tensors[f"{FIRST}{module}{B}"] = rows.join(_diagonal(parts[LORA_B]), config)
        if MAGNITUDE in parts:
            tensors[f"{FIRST}{module}{M}"] = rows.join(parts[MAGNITUDE], config)
        ranks[kind] = adapters.rank * len(own)
        targets.append(module)
    if not left_out & ranks.keys():  # then a name alone means all matrices that have it
        targets = sorted(ranks)
    settings = _settings(adapters, native, base_name, ranks, targets)
    if head is not None:
        tensors[SCORE] = head
        settings |= {"task_type": "SEQ_CLS", "modules_to_save": SAVED}
    write_json(make_folder(folder) / CONFIG, settings)
    stored = {name: Stored.of(tensor.contiguous()) for name, tensor in tensors.items()}
    write_safetensors(folder / WEIGHTS, stored, {"format": "pt"})


def _diagonal(blocks: list[Tensor]) -> list[Tensor]:
    """Return the rows of a matrix that has these on its diagonal, and zeros elsewhere."""
    whole: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return list(torch.split(whole, [len(block) for block in blocks]))


def _rows(link: Link) -> Layout:
    """Return how the outputs of a matrix are ordered, which are always rows of an adapter."""
    return STACKED if link.layout is TRANSPOSED else link.layout


def _settings(
    adapters: Adapters, native: Native, base_name: str, ranks: dict[str, int], targets: list[str]
) -> dict[str, Any]:
    """Return adapter_config.json; a joined adapter has the scale alpha / r of its parts."""
    alpha = adapters.alpha
    joined = {name: rank for name, rank in ranks.items() if rank != adapters.rank}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": adapters.rank,
        "lora_alpha": _plain(alpha),
        "rank_pattern": joined,
        "alpha_pattern": {
            name: _plain(alpha * rank / adapters.rank) for name, rank in joined.items()
        },
        "target_modules": targets,
        "fan_in_fan_out": TRANSPOSED in native.family.names.layouts.values(),
        "use_dora": adapters.method == DORA,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def check_unfolded(config: GPTConfig, family: str | None, source: str | Path) -> None:
    """Refuse an adapter of a family whose factors are in the weights, which it lacks."""
    if family in FAMILIES and FAMILIES[family].folds and native_class(config, family)[0] != family:
        raise UsageError(
            f"{source}: the factors of its base, a {family}, are in the base's weights here, and "
            "not in the adapter; merge it with peft (merge_and_unload), and import that"
        )


def read_peft(
    folder: Path, config: GPTConfig, family: str | None = None, with_head: bool = False
) -> Adapters:
    """Read the adapters in `folder` of a model of `config`, in fp32; of a classifier `with_head`.

    `family` is the one that the model came from, whose names the adapters have.
    Those of smaller ranks are filled up with zeros; where scales differ, B takes up the difference.
    Raises `RunError` for files that are damaged, `UsageError` for what is no LoRA or DoRA of the
    matrices inside blocks, with the reason.
    """
    values = read_object(folder / CONFIG, LARGEST_CONFIG)
    if with_head and values.get("modules_to_save") == SAVED:
        values = {**values, "modules_to_save": None}
    _check_settings(values, folder / CONFIG)
    if not (folder / WEIGHTS).is_file():
        raise RunError(f"{folder}: no {WEIGHTS} in it; save the adapter anew with peft, as that")
    found = read_safetensors(folder / WEIGHTS)
    if with_head:
        found.pop(SCORE, None)
    native = native_class(config, family)
    theirs = list(_read(values, found, native, folder))
    _check_rest(set(found), theirs, native, config, folder / WEIGHTS)
    rank = max(len(adapter.a) for adapter in theirs)
    scale = theirs[0].scale
    tensors: dict[str, Tensor] = {}
    for adapter in theirs:
        for at, part in _parts(adapter, native.config):
            more = rank - len(part.a)
            tensors[f"{at}{LORA_A}"] = torch.nn.functional.pad(part.a, (0, 0, 0, more))
            b = part.b if part.scale == scale else part.b * (part.scale / scale)
            tensors[f"{at}{LORA_B}"] = torch.nn.functional.pad(b, (0, more))
            if part.magnitude is not None:
                tensors[f"{at}{MAGNITUDE}"] = part.magnitude
    method = DORA if values.get("use_dora") else LORA
    return Adapters(method=method, rank=rank, alpha=scale * rank, tensors=tensors)


def _check_settings(values: Mapping[str, Any], source: Path) -> None:
    wanted: dict[str, tuple[object, ...]] = {
        "peft_type": ("LORA",),
        "bias": ("none", None),
        "init_lora_weights": (*PLAIN_STARTS, None),
        **{name: (None, False, [], {}) for name in UNKNOWN},
    }
    for name, accepted in wanted.items():
        if name in values and values[name] not in accepted:
            raise UsageError(
                f"{source}: {name} = {shown(values[name])}: expected an adapter of LoRA or DoRA "
                "and nothing besides; merge it into its model with peft (merge_and_unload), and "
                "import that"
            )
    rank, alpha = values.get("r"), values.get("lora_alpha")
    for name, value in (("r", rank), ("lora_alpha", alpha)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise RunError(f"{source}: {name} = {shown(value)}: expected a number above 0")


def _read(
    values: Mapping[str, Any], found: Mapping[str, Stored], native: Native, folder: Path
) -> Iterator[_Adapter]:
    """Yield the adapters of the matrices that have one."""
    is_dora = bool(values.get("use_dora"))
    for link in _adapted(native):
        at = FIRST + (module := _module(link))
        if f"{at}{A}" not in found and f"{at}{B}" not in found:
            continue
        rank = found[f"{at}{A}"].shape[0] if f"{at}{A}" in found else 0
        outputs = sum(parameter.shape[0] for parameter in link.ours)
        expected: dict[str, tuple[int, ...]] = {
            f"{at}{A}": (rank, link.ours[0].shape[1]),
            f"{at}{B}": (outputs, rank),
        }
        if is_dora:
            expected[f"{at}{M}"] = (outputs,)
        own = {name: found[name] for name in expected if name in found}
        check_tensors(own, expected.items(), folder / WEIGHTS, f"{CONFIG} and the base")
        read = {name: stored.read().float() for name, stored in own.items()}
        scale = _scale(values, module, rank, folder / CONFIG)
        yield _Adapter(link, read[f"{at}{A}"], read[f"{at}{B}"], read.get(f"{at}{M}"), scale)


def _scale(values: Mapping[str, Any], module: str, rank: int, source: Path) -> float:
    """Return what the product of an adapter is multiplied by; its rank must be as the config says.

    A pattern is a regular expression for the end of a module's name, as peft matches it.
    """
    told = {"rank_pattern": values["r"], "alpha_pattern": values["lora_alpha"]}
    for name in told:
        for pattern, value in (values.get(name) or {}).items():
            try:
                matches = re.match(rf"(.*\.)?({pattern})$", module)
            except re.error as error:
                raise RunError(f"{source}: {name}: {shown(pattern)}: {error}") from error
            if matches:
                told[name] = value
                break
    r, alpha = told.values()
    if r != rank:
        raise RunError(f"{source}: {module} has rank {rank} in {WEIGHTS}, and {shown(r)} there")
    return float(alpha) / (math.sqrt(rank) if values.get("use_rslora") else rank)


def _parts(adapter: _Adapter, config: GPTConfig) -> Iterator[tuple[str, _Adapter]]:
    """Yield the adapter of each of our matrices, before whose names their ends stand."""
    link = adapter.link

    def split(rows: Tensor) -> list[Tensor]:
        return [part.clone() for part in _rows(link).split(rows, link.shapes, config)]

    magnitudes = [None] * len(link.ours) if adapter.magnitude is None else split(adapter.magnitude)
    for parameter, b, magnitude in zip(link.ours, split(adapter.b), magnitudes, strict=True):
        part = adapter._replace(b=b, magnitude=magnitude)
        yield parameter.name.removesuffix("weight"), part


def _check_rest(
    names: set[str], theirs: list[_Adapter], native: Native, config: GPTConfig, source: Path
) -> None:
    """Refuse tensors that adapt nothing in a block, and a file without any that does."""
    known = {f"{FIRST}{_module(one.link)}{end}" for one in theirs for end in (A, B, M)}
    for name in sorted(names - known):
        for link in links(native.config, native.family.names):
            if name.startswith(f"{FIRST}{_module(link)}."):
                check_target(config, link.ours[0].name.rpartition(".")[0])
        if ".lm_head." in name:
            check_target(config, "lm_head")
        raise RunError(f"{source}: {shown(name)} is of no matrix of the base; is it of another?")
    if not theirs:
        raise RunError(f"{source} holds no adapter; save it anew with peft")


def _adapted(native: Native) -> Iterator[Link]:
    """Yield the matrices of a model, as transformers has them, that have adapters."""
    for link in links(native.config, native.family.names):
        if all(map(is_adapted, link.ours)):
            yield link


def _module(link: Link) -> str:
    return link.theirs.rpartition(".")[0]
