"""Named models: small ones that a CPU trains in minutes, and the published ones people run.

A family is what its models have in common; a model adds the numbers of its size. The numbers are
those of the papers' tables and of the `config.json` that stands beside the published weights, and
a test holds every total to the published one. `context_length` is what those files allow at most:
for less memory, choose a shorter one.
"""

from __future__ import annotations

import math
from typing import Any

from groundup.base.errors import ConfigError, nearest, quoted, shown
from groundup.config import other_names
from groundup.config.fields import build
from groundup.config.gpt import GPTConfig

Fields = dict[str, Any]

# Radford et al. 2019, table 2, with the released checkpoints' own widths and heads.
_GPT2: Fields = {"qkv_bias": True, "tie_embeddings": True}
# Brown et al. 2020, tables 2.1 and D.1, without "XL" and "13B", whose heads do not add up to their
# width. Every other layer of theirs saw in a sparse pattern of its own; here all see all before.
_GPT3: Fields = {**_GPT2, "context_length": 2048}

# Touvron et al. 2023; Dubey et al. 2024 and the model cards of 3.1 and 3.2.
_LLAMA: Fields = {
    "norm": "rmsnorm",
    "position": "rope",
    "feed_forward": "swiglu",
    "bias": False,
}
_LLAMA2: Fields = {**_LLAMA, "vocab_size": 32000, "context_length": 4096}
_LLAMA3: Fields = {**_LLAMA, "vocab_size": 128256, "context_length": 8192, "rope_base": 500000.0}
_LLAMA31: Fields = {
    **_LLAMA3,
    "context_length": 131072,
    "rope_scaling": "llama3",
    "rope_factor": 8.0,
    "rope_original_context": 8192,
}
_LLAMA32: Fields = {**_LLAMA31, "rope_factor": 32.0, "tie_embeddings": True}
# Ben Allal et al. 2025, and the model cards.
_SMOLLM2: Fields = {
    **_LLAMA,
    "vocab_size": 49152,
    "context_length": 8192,
    "rope_base": 100000.0,
    "tie_embeddings": True,
}
# Jiang et al. 2023 (version 0.1, the one with a window) and 2024.
_MISTRAL: Fields = {**_LLAMA, "vocab_size": 32000, "context_length": 32768}
_MIXTRAL: Fields = {**_MISTRAL, "rope_base": 1e6, "n_experts": 8, "n_active_experts": 2}
# Yang et al. 2024 (Qwen 2 and 2.5) and 2025 (Qwen 3).
_QWEN: Fields = {
    **_LLAMA,
    "vocab_size": 151936,
    "context_length": 131072,
    "rope_base": 1e6,
    "norm_eps": 1e-6,
}
_QWEN2: Fields = {**_QWEN, "qkv_bias": True}
_QWEN3: Fields = {**_QWEN, "context_length": 40960, "qk_norm": "head", "head_dim": 128}
_TIED: Fields = {"tie_embeddings": True}
# Qwen 3's architecture for texts and contexts as small as these.
_SMALL: Fields = {
    **_QWEN3,
    **_TIED,
    "vocab_size": 4096,
    "rope_base": 10000.0,
    "head_dim": 0,
}
_SMALL_GPT2: Fields = {**_GPT2, "vocab_size": 4096}
# Riviere et al. 2024, table 1, and Kamath et al. 2025, with the model cards for 270M.
_GEMMA: Fields = {
    **_LLAMA,
    "norm": "zero_centered_rmsnorm",
    "norm_eps": 1e-6,
    "norm_order": "sandwich",
    "feed_forward": "geglu",
    "embedding_scale": True,
    "head_dim": 256,
    "tie_embeddings": True,
}
_GEMMA2: Fields = {
    **_GEMMA,
    "vocab_size": 256000,
    "context_length": 8192,
    "window": 4096,
    "window_pattern": "LG",
    "attention_softcap": 50.0,
    "logit_softcap": 30.0,
}
_GEMMA3: Fields = {
    **_GEMMA,
    "vocab_size": 262144,
    "context_length": 32768,
    "window": 512,
    "window_pattern": "LLLLLG",
    "rope_base": 1e6,
    "rope_local_base": 10000.0,
    "qk_norm": "head",
}
# OLMo team 2025, table 3, and the model cards.
_OLMO2: Fields = {
    **_LLAMA,
    "vocab_size": 100352,
    "context_length": 4096,
    "rope_base": 500000.0,
    "norm_eps": 1e-6,
    "norm_order": "post",
    "qk_norm": "width",
}
# OLMo team 2025 (OLMo 3), and the config.json files: YaRN extends all but windowed layers.
_OLMO3: Fields = {
    **_OLMO2,
    "vocab_size": 100278,
    "context_length": 65536,
    "window": 4096,
    "window_pattern": "LLLG",
    "rope_local_base": 500000.0,
    "rope_scaling": "yarn",
    "rope_factor": 8.0,
    "rope_high_freq_factor": 32.0,
    "rope_original_context": 8192,
}
# Bakouch et al. 2025 (SmolLM3): every fourth layer has no positions.
_SMOLLM3: Fields = {
    **_LLAMA,
    "vocab_size": 128256,
    "context_length": 65536,
    "norm_eps": 1e-6,
    "rope_base": 5e6,
    "rope_pattern": "RRRN",
    "tie_embeddings": True,
}
# Biderman et al. 2023, table 1: a quarter of each head turns, both steps see the same input.
_PYTHIA: Fields = {
    "vocab_size": 50304,
    "context_length": 2048,
    "qkv_bias": True,
    "position": "rope",
    "rope_fraction": 0.25,
    "norm_order": "parallel",
    "feed_forward": "gelu",
}
# Black et al. 2021, and Eldan and Li 2023 (TinyStories): every other layer sees 256 tokens.
_GPT_NEO: Fields = {
    "context_length": 2048,
    "window": 256,
    "window_pattern": "GL",
    "query_pre_attn_scalar": 1.0,
    "tie_embeddings": True,
}
# Zhang et al. 2022, table 1, without 350M, whose embeddings are narrower than its layers.
_OPT: Fields = {
    "vocab_size": 50272,
    "context_length": 2048,
    "qkv_bias": True,
    "feed_forward": "relu",
    "tie_embeddings": True,
}
# Li et al. 2023 and Javaheripi et al. 2023; Abdin et al. 2024 (3 and 4); Microsoft 2025 (4 mini).
_PHI: Fields = {
    "vocab_size": 51200,
    "context_length": 2048,
    "qkv_bias": True,
    "position": "rope",
    "norm_order": "parallel_shared",
    "head_bias": True,
}
_PHI3: Fields = {**_LLAMA, "vocab_size": 32064, "context_length": 4096, "window": 2047}
_GEMMA1: Fields = {**_GEMMA, "norm_order": "pre", "vocab_size": 256000, "context_length": 8192}
# Lozhkov et al. 2024.
_STARCODER2: Fields = {
    "vocab_size": 49152,
    "context_length": 16384,
    "qkv_bias": True,
    "position": "rope",
    "tie_embeddings": True,
}
# The model cards and config.json files of Arcee (AFM), Mistral, ByteDance, Z.ai and Cohere.
_AFM: Fields = {
    **_LLAMA,
    "vocab_size": 128004,
    "context_length": 65536,
    "feed_forward": "relu_squared",
    "rope_scaling": "yarn",
    "rope_factor": 20.0,
    "rope_high_freq_factor": 32.0,
    "rope_original_context": 4096,
    "head_dim": 128,
}
_MINISTRAL: Fields = {**_LLAMA, "vocab_size": 131072, "context_length": 32768, "rope_base": 1e8}
_SEED: Fields = {
    **_LLAMA,
    "vocab_size": 155136,
    "context_length": 524288,
    "norm_eps": 1e-6,
    "qkv_bias": True,
    "rope_base": 1e7,
    "head_dim": 128,
}
_GLM4: Fields = {
    **_LLAMA,
    "vocab_size": 151552,
    "context_length": 32768,
    "qkv_bias": True,
    "norm_order": "sandwich",
    "rope_fraction": 0.5,
    "head_dim": 128,
}
_COHERE2: Fields = {
    "vocab_size": 256000,
    "context_length": 132096,
    "bias": False,
    "position": "rope",
    "feed_forward": "swiglu",
    "norm_order": "parallel_shared",
    "rope_base": 50000.0,
    "rope_pattern": "RRRN",
    "window": 4096,
    "window_pattern": "LLLG",
    "tie_embeddings": True,
}
# OpenAI 2025, the model card of gpt-oss.
_GPT_OSS: Fields = {
    **_LLAMA,
    "vocab_size": 201088,
    "context_length": 131072,
    "bias": True,
    "qkv_bias": True,
    "head_dim": 64,
    "feed_forward": "clamped_swiglu",
    "n_active_experts": 4,
    "router_bias": True,
    "attention_sinks": True,
    "window": 128,
    "window_pattern": "LG",
    "rope_base": 150000.0,
    "rope_scaling": "yarn",
    "rope_factor": 32.0,
    "rope_high_freq_factor": 32.0,
    "rope_original_context": 4096,
    "rope_truncate": False,
}


def _size(
    family: Fields,
    n_layers: int,
    emb_dim: int,
    n_heads: int,
    n_kv_heads: int = 0,
    ffn_dim: int = 0,
    **others: Any,
) -> Fields:
    """Return a model of `family`; 0 stands for what GPTConfig derives."""
    sizes = {"n_layers": n_layers, "emb_dim": emb_dim, "n_heads": n_heads}
    return {**family, **sizes, "n_kv_heads": n_kv_heads, "ffn_dim": ffn_dim, **others}


PRESETS: dict[str, Fields] = {
    # Small; vocab_size follows the tokenizer when one is trained.
    "pico": _size(_SMALL, 4, 128, 4, context_length=64),
    "nano": _size(_SMALL, 4, 192, 6, context_length=128),
    "micro": _size(_SMALL, 6, 384, 6, context_length=256),
    "mini": _size(_SMALL, 8, 512, 8, context_length=512),
    # A low loss on characters in the least time on a CPU, where layernorm is one fused kernel.
    "speedrun": _size(_SMALL, 2, 128, 4, context_length=64, norm="layernorm"),
    "gpt2-pico": _size(_SMALL_GPT2, 4, 128, 4, context_length=64),
    "gpt2-nano": _size(_SMALL_GPT2, 4, 192, 6, context_length=128),
    "gpt2-micro": _size(_SMALL_GPT2, 6, 384, 6, context_length=256),
    "gpt2-mini": _size(_SMALL_GPT2, 8, 512, 8, context_length=512),
    # Published: layers, width, heads, heads of keys and values, width of the feed-forward network.
    "gpt2-124m": _size(_GPT2, 12, 768, 12),
    "gpt2-355m": _size(_GPT2, 24, 1024, 16),
    "gpt2-774m": _size(_GPT2, 36, 1280, 20),
    "gpt2-1558m": _size(_GPT2, 48, 1600, 25),
    "gpt3-125m": _size(_GPT3, 12, 768, 12),
    "gpt3-350m": _size(_GPT3, 24, 1024, 16),
    "gpt3-760m": _size(_GPT3, 24, 1536, 16),
    "gpt3-2.7b": _size(_GPT3, 32, 2560, 32),
    "gpt3-6.7b": _size(_GPT3, 32, 4096, 32),
    "gpt3-175b": _size(_GPT3, 96, 12288, 96),
    "llama2-7b": _size(_LLAMA2, 32, 4096, 32, 32, 11008),
    "llama3-8b": _size(_LLAMA3, 32, 4096, 32, 8, 14336),
    "llama3.1-8b": _size(_LLAMA31, 32, 4096, 32, 8, 14336),
    "llama3.2-1b": _size(_LLAMA32, 16, 2048, 32, 8, 8192),
    "llama3.2-3b": _size(_LLAMA32, 28, 3072, 24, 8, 8192),
    "smollm2-135m": _size(_SMOLLM2, 30, 576, 9, 3, 1536),
    "smollm2-360m": _size(_SMOLLM2, 32, 960, 15, 5, 2560),
    "smollm2-1.7b": _size(_SMOLLM2, 24, 2048, 32, 32, 8192, rope_base=130000.0),
    "mistral-7b": _size(_MISTRAL, 32, 4096, 32, 8, 14336, window=4096),
    "mixtral-8x7b": _size(_MIXTRAL, 32, 4096, 32, 8, 14336),
    "qwen2-0.5b": _size(_QWEN2 | _TIED, 24, 896, 14, 2, 4864),
    "qwen2.5-0.5b": _size(_QWEN2 | _TIED, 24, 896, 14, 2, 4864, context_length=32768),
    "qwen2.5-1.5b": _size(_QWEN2 | _TIED, 28, 1536, 12, 2, 8960),
    "qwen2.5-3b": _size(_QWEN2 | _TIED, 36, 2048, 16, 2, 11008, context_length=32768),
    "qwen2.5-7b": _size(_QWEN2, 28, 3584, 28, 4, 18944, vocab_size=152064),
    "qwen3-0.6b": _size(_QWEN3 | _TIED, 28, 1024, 16, 8, 3072),
    "qwen3-1.7b": _size(_QWEN3 | _TIED, 28, 2048, 16, 8, 6144),
    "qwen3-4b": _size(_QWEN3 | _TIED, 36, 2560, 32, 8, 9728),
    "qwen3-8b": _size(_QWEN3, 36, 4096, 32, 8, 12288),
    "qwen3-30b-a3b": _size(_QWEN3, 48, 2048, 32, 4, 768, n_experts=128, n_active_experts=8),
    "qwen1.5-moe-a2.7b": _size(
        _QWEN2,
        24,
        2048,
        16,
        16,
        1408,
        context_length=8192,
        n_experts=60,
        n_active_experts=4,
        norm_expert_scores=False,
        shared_ffn_dim=5632,
    ),
    "gpt-oss-20b": _size(_GPT_OSS, 24, 2880, 64, 8, 2880, n_experts=32),
    "gpt-oss-120b": _size(_GPT_OSS, 36, 2880, 64, 8, 2880, n_experts=128),
    "gemma2-2b": _size(_GEMMA2, 26, 2304, 8, 4, 9216),
    "gemma2-9b": _size(_GEMMA2, 42, 3584, 16, 8, 14336),
    "gemma2-27b": _size(
        _GEMMA2, 46, 4608, 32, 16, 36864, head_dim=128, query_pre_attn_scalar=144.0
    ),
    "gemma3-270m": _size(_GEMMA3, 18, 640, 4, 1, 2048),
    "gemma3-1b": _size(_GEMMA3, 26, 1152, 4, 1, 6912),
    "olmo2-1b": _size(_OLMO2, 16, 2048, 16, 16, 8192),
    "olmo2-7b": _size(_OLMO2, 32, 4096, 32, 32, 11008),
    "olmo2-13b": _size(_OLMO2, 40, 5120, 40, 40, 13824),
    "olmo3-7b": _size(_OLMO3, 32, 4096, 32, 32, 11008),
    "olmo3-32b": _size(_OLMO3, 64, 5120, 40, 8, 27648),
    "smollm3-3b": _size(_SMOLLM3, 36, 2048, 16, 4, 11008),
    "pythia-70m": _size(_PYTHIA, 6, 512, 8),
    "pythia-160m": _size(_PYTHIA, 12, 768, 12),
    "pythia-410m": _size(_PYTHIA, 24, 1024, 16),
    "pythia-1b": _size(_PYTHIA, 16, 2048, 8),
    "pythia-1.4b": _size(_PYTHIA, 24, 2048, 16),
    "pythia-2.8b": _size(_PYTHIA, 32, 2560, 32),
    "pythia-6.9b": _size(_PYTHIA, 32, 4096, 32, vocab_size=50432),
    "pythia-12b": _size(_PYTHIA, 36, 5120, 40, vocab_size=50688),
    "tinystories-33m": _size(_GPT_NEO, 4, 768, 16),
    "gpt-neo-125m": _size(_GPT_NEO, 12, 768, 12),
    "gpt-neo-1.3b": _size(_GPT_NEO, 24, 2048, 16),
    "gpt-neo-2.7b": _size(_GPT_NEO, 32, 2560, 20),
    "opt-125m": _size(_OPT, 12, 768, 12),
    "opt-1.3b": _size(_OPT, 24, 2048, 32),
    "opt-2.7b": _size(_OPT, 32, 2560, 32),
    "opt-6.7b": _size(_OPT, 32, 4096, 32),
    "phi-1.5": _size(_PHI, 24, 2048, 32, rope_fraction=0.5),
    "phi-2": _size(_PHI, 32, 2560, 32, rope_fraction=0.4),
    "phi3-mini": _size(_PHI3, 32, 3072, 32, 32, 8192),
    "phi4": _size(
        _PHI3,
        40,
        5120,
        40,
        10,
        17920,
        vocab_size=100352,
        context_length=16384,
        window=None,
        rope_base=250000.0,
    ),
    # Up to the context that it first learned, where its longrope slows nothing.
    "phi4-mini": _size(
        _PHI3,
        32,
        3072,
        24,
        8,
        8192,
        vocab_size=200064,
        window=None,
        tie_embeddings=True,
        rope_fraction=0.75,
        rope_scaling="longrope",
        rope_factors=(1.0,) * 48,
        rope_attention_factor=math.sqrt(1 + math.log(131072 / 4096) / math.log(4096)),
    ),
    "gemma-2b": _size(_GEMMA1, 18, 2048, 8, 1, 16384),
    "gemma-7b": _size(_GEMMA1, 28, 3072, 16, 16, 24576),
    "gemma3-4b": _size(
        _GEMMA3,
        34,
        2560,
        8,
        4,
        10240,
        vocab_size=262208,
        context_length=131072,
        window=1024,
        rope_scaling="linear",
        rope_factor=8.0,
    ),
    "starcoder2-3b": _size(_STARCODER2, 30, 3072, 24, 2, 12288, rope_base=999999.4420358813),
    "starcoder2-7b": _size(_STARCODER2, 32, 4608, 36, 4, 18432, rope_base=1e6),
    "starcoder2-15b": _size(
        _STARCODER2, 40, 6144, 48, 4, 24576, rope_base=1e5, tie_embeddings=False
    ),
    "afm-4.5b": _size(_AFM, 36, 2560, 20, 4, 18432),
    "ministral-8b": _size(_MINISTRAL, 36, 4096, 32, 8, 12288),
    "seed-oss-36b": _size(_SEED, 64, 5120, 80, 8, 27648),
    "glm4-9b": _size(_GLM4, 40, 4096, 32, 2, 13696),
    "command-r7b": _size(_COHERE2, 32, 4096, 32, 8, 14336),
}


def preset(name: str, **changes: Any) -> GPTConfig:
    """Return the `GPTConfig` of a named model with some fields changed."""
    if not isinstance(name, str):
        raise ConfigError(f"preset {quoted(name)}: expected a name, such as preset('nano')")
    if name not in PRESETS:
        hint = nearest(name, PRESETS, other_names.PRESETS)
        raise ConfigError(f"unknown preset '{shown(name)}'; {hint}")
    return build(GPTConfig, {**PRESETS[name], **changes})
