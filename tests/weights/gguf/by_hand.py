"""Models as GGUF files in llama.cpp's names and layouts, spelt out and written by its package."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFWriter
from torch import Tensor

from groundup import GPT
from tests.weights.gguf.making import model_of

COMMON = {
    "block_count": "n_layers",
    "context_length": "context_length",
    "embedding_length": "emb_dim",
    "feed_forward_length": "ffn_dim",
    "attention.head_count": "n_heads",
    "attention.head_count_kv": "n_kv_heads",
}
ROPE = {"rope.freq_base": "rope_base", "attention.layer_norm_rms_epsilon": "norm_eps"}
LAYERNORM = {"rope.freq_base": "rope_base", "attention.layer_norm_epsilon": "norm_eps"}
HEADS = {"attention.key_length": "head_dim", "attention.value_length": "head_dim"}
PART = {"rope.dimension_count": "rope_dim"}
YARN = {
    "rope.scaling.type": "rope_scaling",
    "rope.scaling.factor": "rope_factor",
    "rope.scaling.original_context_length": "rope_original_context",
    "rope.scaling.yarn_beta_fast": "rope_high_freq_factor",
    "rope.scaling.yarn_attn_factor": "rope_attention_factor",
}
EXPERTS = {"expert_count": "n_experts", "expert_used_count": "n_active_experts"}
KEYS: dict[str, dict[str, str]] = {
    "gpt2": COMMON | {"attention.layer_norm_epsilon": "norm_eps"},
    "llama": COMMON | ROPE | EXPERTS,
    "qwen2": COMMON | ROPE,
    "qwen3": COMMON | ROPE | HEADS,
    "olmo2": COMMON | ROPE,
    "gemma": COMMON | ROPE | HEADS,
    "phi3": COMMON | ROPE | PART | YARN,
    "smollm3": COMMON | ROPE | HEADS | YARN,
    "arcee": COMMON | ROPE,
    "seed_oss": COMMON | ROPE | HEADS,
    "granite": COMMON | ROPE,
    "glm4": COMMON | ROPE | HEADS | PART,
    "gptneox": COMMON | LAYERNORM | PART,
    "phi2": COMMON | LAYERNORM | PART,
    "starcoder2": COMMON | LAYERNORM,
    "cohere2": COMMON | LAYERNORM | PART | {
        "attention.sliding_window": "window",
        "rope.scaling.type": "rope_scaling",
        "rope.scaling.factor": "rope_factor",
    },
    "gemma2": COMMON | HEADS | {
        "attention.layer_norm_rms_epsilon": "norm_eps",
        "attention.sliding_window": "window",
        "attn_logit_softcapping": "attention_softcap",
        "final_logit_softcapping": "logit_softcap",
    },
    "gemma3": COMMON | ROPE | HEADS | {
        "attention.sliding_window": "window",
        "rope.freq_base_swa": "rope_local_base",
    },
}  # fmt: skip
FAMILIES = {
    "gpt2": "gpt2", "llama": "llama", "linear rope": "llama", "mistral": "llama",
    "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "olmo2": "olmo2", "gemma2": "gemma2",
    "gemma3": "gemma3", "gemma": "gemma", "phi3": "phi3", "smollm3": "smollm3", "arcee": "arcee",
    "seed_oss": "seed_oss", "granite": "granite", "glm4": "glm4", "gptneox": "gptneox",
    "phi2": "phi2", "starcoder2": "starcoder2", "cohere2": "cohere2",
}  # fmt: skip
INTERLEAVED = ("llama", "smollm3", "arcee", "granite", "glm4", "cohere2")


def interleaved(x: Tensor, n_heads: int, width: int = 0) -> Tensor:
    """Rows 0, R/2, 1, R/2 + 1 … of each head, spelt out, and then those beyond R (`width`)."""
    size = len(x) // n_heads
    half = (width or size) // 2
    order = []
    for start in range(0, len(x), size):
        order += [start + i + part for i in range(half) for part in (0, half)]
        order += range(start + 2 * half, start + size)
    return x[order]


def tensors_of(model: GPT, architecture: str) -> dict[str, Tensor]:
    """llama.cpp's tensors of a model, made by hand."""
    ours = {name: parameter.detach() for name, parameter in model.named_parameters()}
    config = model.config
    found: dict[str, Tensor] = {}
    for name, theirs in (
        ("token_embedding", "token_embd"), ("final_norm", "output_norm"),
        ("position_embedding", "position_embd"), ("lm_head", "output"),
    ):  # fmt: skip
        found |= _both(ours, name, theirs)
    for i in range(config.n_layers):
        at, to = f"blocks.{i}.", f"blk.{i}."
        for name, theirs in (
            ("attn_norm", "attn_norm"), ("ffn_norm", "ffn_norm"), ("attn.out", "attn_output"),
            ("attn.query_norm", "attn_q_norm"), ("attn.key_norm", "attn_k_norm"),
            ("attn_post_norm", "post_attention_norm"), ("ffn_post_norm", "post_ffw_norm"),
            ("ffn.gate", "ffn_gate"), ("ffn.up", "ffn_up"), ("ffn.down", "ffn_down"),
            ("ffn.router", "ffn_gate_inp"), ("attn.query", "attn_q"), ("attn.key", "attn_k"),
            ("attn.value", "attn_v"),
        ):  # fmt: skip
            found |= _both(ours, at + name, to + theirs)
        for name in ("gate", "up", "down") if config.n_experts else ():
            each = [ours[f"{at}ffn.experts.{e}.{name}.weight"] for e in range(config.n_experts)]
            found[f"{to}ffn_{name}_exps.weight"] = torch.stack(each)
    if architecture in INTERLEAVED:
        for name in found:
            heads = {"attn_q.": config.n_heads, "attn_k.": config.n_kv_heads}
            n_heads = next((n for part, n in heads.items() if part in name), None)
            if n_heads:
                found[name] = interleaved(found[name], n_heads, config.rope_dim)
    if architecture in ("gpt2", "gptneox", "phi3"):
        found = _joined(found, ("attn_q", "attn_k", "attn_v"), "attn_qkv")
    if architecture in ("phi3", "glm4"):
        found = _joined(found, ("ffn_gate", "ffn_up"), "ffn_up")
    if architecture == "seed_oss":
        found = {n.replace("ffn_norm", "post_attention_norm"): x for n, x in found.items()}
    if architecture.startswith("gemma"):
        found = {n: x + 1 if n.endswith("norm.weight") else x for n, x in found.items()}
    return found


def _joined(found: dict[str, Tensor], parts: tuple[str, ...], whole: str) -> dict[str, Tensor]:
    """The tensors with some of them one below the other."""
    for name in [name for name in found if f".{parts[0]}." in name]:
        names = [name.replace(parts[0], part) for part in parts]
        found[name.replace(parts[0], whole)] = torch.cat([found.pop(each) for each in names])
    return found


def _both(ours: dict[str, Tensor], name: str, theirs: str) -> dict[str, Tensor]:
    kinds = [kind for kind in ("weight", "bias") if f"{name}.{kind}" in ours]
    return {f"{theirs}.{kind}": ours[f"{name}.{kind}"] for kind in kinds}


def numbers_of(model: GPT, architecture: str) -> dict[str, Any]:
    numbers = {key: getattr(model.config, field) for key, field in KEYS[architecture].items()}
    return {f"{architecture}.{key}": value for key, value in numbers.items() if value}


def save(
    path: Path, architecture: str, numbers: dict[str, Any], tensors: dict[str, Tensor]
) -> Path:
    writer = GGUFWriter(path, architecture)
    for key, value in numbers.items():
        add: dict[type, Callable[[str, Any], None]]
        add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
               bool: writer.add_bool, list: writer.add_array}  # fmt: skip
        add[type(value)](key, value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def small(family: str) -> GPT:
    return model_of(family, 50, **({"head_dim": 8} if family.startswith("gemma") else {}))


def made(path: Path, family: str, model: GPT, **changes: Any) -> Path:
    architecture = FAMILIES[family]
    numbers = numbers_of(model, architecture) | extra(model, architecture) | {
        f"{architecture}.{key}": value for key, value in changes.items()
    }  # fmt: skip
    tensors = tensors_of(model, architecture)
    if model.config.rope_scaling == "llama3":
        tensors["rope_freqs.weight"] = torch.tensor(factors(model))
    return save(path, architecture, numbers, tensors)


def extra(model: GPT, architecture: str) -> dict[str, Any]:
    config = model.config
    if architecture == "gptneox":
        return {"gptneox.use_parallel_residual": config.norm_order == "parallel"}
    if architecture == "cohere2":
        turning = [config.is_rotated(i) for i in range(config.n_layers)]
        return {"cohere2.attention.sliding_window_pattern": turning, "cohere2.logit_scale": 1.0}
    if config.rope_scaling == "linear":
        return {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 3.0}
    if config.qk_norm == "head" and config.window:
        return {"gemma3.attention.sliding_window_pattern": 3}
    return {"llama.rope.scaling.original_context_length": config.rope_original_context or 1}


def factors(model: GPT) -> list[float]:
    """Llama 3.1's formula in terms of wavelengths, as published."""
    c = model.config
    result = []
    for i in range(0, c.head_dim, 2):
        wavelength = 2 * math.pi * c.rope_base ** (i / c.head_dim)
        turns = c.rope_original_context / wavelength
        smooth = (turns - c.rope_low_freq_factor) / (
            c.rope_high_freq_factor - c.rope_low_freq_factor
        )
        smooth = min(max(smooth, 0.0), 1.0)
        result.append(1 / ((1 - smooth) / c.rope_factor + smooth))
    return result
