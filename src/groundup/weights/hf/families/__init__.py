"""The families whose native classes in `transformers` compute what our model computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.config import GPTConfig
from groundup.weights.hf.families.gemma import GEMMAS
from groundup.weights.hf.families.gpt import GPTS
from groundup.weights.hf.families.llama import LLAMAS
from groundup.weights.hf.families.mixtures import MIXTURES
from groundup.weights.hf.families.plain import PLAINS
from groundup.weights.hf.family import Family

FAMILIES = {**GPTS, **LLAMAS, **PLAINS, **GEMMAS, **MIXTURES}
"""By model_type. The first that can express a model is the class it is exported to."""
_MLA = "its attention keeps one narrow vector in place of keys and values (MLA)"
_DELTA = "most of its layers are linear attention (gated DeltaNet)"
_STATES = "its layers are state spaces, not attention"
_ALIBI = "its positions are slopes on the scores (ALiBi)"
OTHERS = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "minicpm3", "kimi_k25"), _MLA),
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_moe", "olmo_hybrid", "kimi_linear"), _DELTA),
    **dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma"), _STATES),
    **dict.fromkeys(("bamba", "jamba", "falcon_h1", "granitemoehybrid", "nemotron_h", "zamba2"),
                    "some of its layers are state spaces, not attention"),
    **dict.fromkeys(("bloom", "mpt"), _ALIBI),
    **dict.fromkeys(("lfm2", "lfm2_moe"), "some of its layers are short convolutions"),
    **dict.fromkeys(("gemma3n", "gemma4"), "it has embeddings of its own in each layer"),
    **dict.fromkeys(("bert", "roberta", "modernbert", "t5"), "it is no model that writes on"),
}  # fmt: skip
"""What those have that cannot be expressed here, and why."""
UNIMPORTANT = {
    "_name_or_path", "architectures", "attention_dropout", "auto_map", "bos_token_id",
    "cache_implementation", "dtype", "eos_token_id", "initializer_range",
    "max_window_layers", "model_type", "pad_token_id", "pretraining_tp", "rope_parameters",
    "rope_scaling", "tokenizer_class", "torch_dtype", "transformers_version",
    "unk_token_id", "use_cache",
}  # fmt: skip


def family_of(values: Mapping[str, Any], source: Path) -> tuple[str, Family]:
    """Return the model_type of a config.json and its family; an unknown one is a `RunError`."""
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return model_type, FAMILIES[model_type]
    near = max(FAMILIES, key=lambda name: len(_keys(FAMILIES[name]) & values.keys()))
    strange = sorted(values.keys() - _keys(FAMILIES[near]) - UNIMPORTANT)
    told = f", which has no {', '.join(map(shown, strange[:5]))}" if strange else ""
    why = OTHERS.get(str(model_type), "no family that is known here")
    raise RunError(
        f"{source}: model_type = {shown(model_type)}: {why}; the nearest family is {near}{told} "
        "(docs/weights.md has them all)"
    )


def _keys(family: Family) -> set[str]:
    """Return the settings that a family has, about."""
    return {*family.defaults, *family.write(GPTConfig())}
