"""What a run starts from: a new model, or the weights of a run that is there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, preset
from groundup.runs import RunFolder
from groundup.runs.base import base_of, check_plain
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.choose import candidates, choose_checkpoint
from groundup.runs.classifier import origin_of
from groundup.runs.foreign import check_own_parts
from groundup.runs.generation import checked
from groundup.runs.manifest import BaseTable, Manifest

if TYPE_CHECKING:  # what may be refused without torch does not wait for it
    from groundup.model import GPT

CHANGEABLE = ("context_length", "drop_rate", "attention_drop_rate")
"""What may change in a model that goes on learning; the rest is the shape of its weights."""
SLOWER = 0.1
"""A model that has learnt already takes steps a tenth as large as a new one, unless told."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model at step 0, not yet made; `identity` tells one start from another."""

    config: GPTConfig
    tokenizer: str
    model: Callable[[GPTConfig, int], GPT]
    identity: dict[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    text_options: dict[str, Any] = field(default_factory=dict)
    """What the base tells of the end of a text, as `prepare` takes it."""
    rate_share: float = 1.0
    base: BaseTable | None = None
    """The checkpoint that has what adapters leave as it is, where these alone learn."""


def new_start(preset_name: str, changes: dict[str, Any], tokenizer: str) -> Start:
    """Start from random weights."""
    return Start(config=preset(preset_name, **changes), tokenizer=tokenizer, model=new_model)


def start_from(base: Path, changes: dict[str, Any], own: RunFolder, adapts: bool = False) -> Start:
    """Start from the weights of the run `base`, with its tokenizer.

    Once the run is under way in the folder `own`, it goes on without `base`; one that `adapts`
    needs the checkpoint of it that it began with.
    """
    folder, manifest = known_base(base, own)
    config = _changed(folder.model_config(manifest), changes, adapts)
    identity, table, model = _origin(manifest), None, partial(_learnt_model, base, None)
    if adapts:
        table, held = base_of(own, base)
        model = partial(_base_model, own, table, held)
        descent = {} if folder is own else _descent(manifest)
        identity |= descent | {"run": str(base), "weights": table.sha256}
    elif folder is not own:
        checkpoint, _ = choose_checkpoint(folder, "best")
        model = partial(_learnt_model, base, checkpoint)
        identity = _descent(manifest) | {"run": str(base), "weights": checkpoint.fingerprint()}
    generation = checked(folder.read_generation(), config.vocab_size, folder.generation)
    return Start(
        config=config,
        tokenizer=str(folder.tokenizer),
        model=model,
        identity={"from": identity},
        chat_template=folder.read_chat_template(),
        generation=generation,
        text_options=_end_of_base(generation),
        rate_share=SLOWER,
        base=table,
    )


def _end_of_base(generation: dict[str, Any]) -> dict[str, Any]:
    """Return the end of text that a base was given, else the ids that it is known to stop at."""
    if (end := generation.get("end_of_text")) is not None:
        return {"end_of_text": str(end)}
    return {"known_ends": generation.get("stop_tokens", [])}


def changed_base(
    base: Path, changes: dict[str, Any], own: RunFolder, adapts: bool = False
) -> GPTConfig:
    """Return the model that `start_from` will start from, before its weights are checked."""
    folder, manifest = known_base(base, own)
    if folder is not own:
        candidates(folder, "best")
    return _changed(folder.model_config(manifest), changes, adapts)


def known_base(base: Path, own: RunFolder) -> tuple[RunFolder, Manifest]:
    """Return the folder that knows the base, and its run.toml: our own where `base` is gone."""
    folder = RunFolder(base)
    if not folder.exists() and own.exists() and _origin(own.read()).get("run") == str(base):
        return own, own.read()
    manifest = folder.read()
    if made := manifest.quantization:
        raise UsageError(
            f"{base} holds weights in {made.bits} bits, which do not learn; take {made.run}, which "
            "it was made from"
        )
    check_own_parts(folder.model_config(manifest), folder.path)
    check_plain(folder, manifest, f"train on from {origin_of(manifest)}")
    return folder, manifest


def _origin(manifest: Manifest) -> dict[str, Any]:
    """Return what run.toml says of the run that this one started from."""
    return manifest.origin.as_table() if manifest.origin else {}


def _descent(manifest: Manifest) -> dict[str, Any]:
    """Return what run.toml says of the published model that a run stems from, if any."""
    known = manifest.source.as_table() if manifest.source else _origin(manifest)
    told = {key: known[key] for key in ("name", "licence") if key in known}
    return told | ({"family": manifest.family} if manifest.family else {})


def new_model(config: GPTConfig, seed: int) -> GPT:
    """Return an untrained model whose weights `seed` determines."""
    import torch

    from groundup.model import GPT

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(config)


def _changed(config: GPTConfig, changes: dict[str, Any], adapts: bool) -> GPTConfig:
    for key, value in changes.items():
        if key not in CHANGEABLE:
            raise UsageError(
                f"{key} = {value}: a model that goes on learning keeps its shape; only "
                f"{', '.join(CHANGEABLE)} may change"
            )
    changed = config.replace(**changes)
    if config.position == "learned" and changed.context_length > config.context_length:
        raise UsageError(
            f"context_length = {changed.context_length}: this model has learned "
            f"{config.context_length} positions; give at most that"
        )
    if adapts and config.position == "learned" and changed.context_length < config.context_length:
        raise UsageError(
            f"context_length = {changed.context_length}: adapters leave the {config.context_length}"
            " learned positions of the model as they are; leave it out, or learn all weights with "
            "method = full"
        )
    return changed


def _base_model(
    own: RunFolder, base: BaseTable, held: Checkpoint | None, config: GPTConfig, seed: int
) -> GPT:
    """Return the model of the base of the run `own`, whose weights stay as they are.

    `held` is its checkpoint, which no trainer removes as long as somebody has it.
    """
    from groundup.model import filled_gpt
    from groundup.runs.load import load_base

    loaded = load_base(own, base, named=True).model
    return filled_gpt(config, {name: p.detach() for name, p in loaded.named_parameters()})


def _learnt_model(base: Path, held: Checkpoint | None, config: GPTConfig, seed: int) -> GPT:
    """Return a copy of the model of `base` that may be trained; fewer positions are the first.

    It is that of the checkpoint `held`, whatever `base` has learnt since, or the best.
    """
    from groundup.model import filled_gpt
    from groundup.runs.load import load

    loaded = load(base, held.step if held else "best")
    tensors = {name: p.detach() for name, p in loaded.model.named_parameters()}
    if config.position == "learned":
        name = "position_embedding.weight"
        tensors[name] = tensors[name][: config.context_length]
    own = {name: tensor.clone() for name, tensor in tensors.items()}
    return filled_gpt(config, own).requires_grad_()
