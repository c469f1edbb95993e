"""The same logits and the same greedy texts as `transformers`, for every family."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from groundup.generate import KVCache, SamplingConfig, generate_tokens
from groundup.model import GPT
from groundup.tokenizer import CharTokenizer
from groundup.weights.hf import read_hf, write_hf
from groundup.weights.hf.families import FAMILIES
from groundup.weights.pretrained import Exported
from tests.weights.hf.conftest import Pair
from tests.weights.hf.models import CONTEXT, MODELS, VOCABULARY, WINDOW, filled, loaded

TOLERANCE = 1e-4
LENGTHS = (1, 2, WINDOW, WINDOW + 1, 3 * WINDOW + 2, CONTEXT)


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def random_tokens(n_rows: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (n_rows, length))


@pytest.mark.parametrize("length", LENGTHS)
@torch.no_grad()
def test_logits_of_any_length(pair: Pair, length: int) -> None:
    tokens = random_tokens(3, length)
    assert_close(pair.ours(tokens), pair.theirs(tokens).logits)


@pytest.mark.parametrize("pieces", [[1] * 30, [5, 1, 1, 9, 14], [WINDOW, WINDOW, 3, 13]])
@torch.no_grad()
def test_logits_piece_by_piece(pair: Pair, pieces: list[int]) -> None:
    tokens = random_tokens(2, sum(pieces))
    cache = KVCache(pair.ours.config, n_rows=2, capacity=sum(pieces))
    logits = [pair.ours(piece, cache) for piece in tokens.split(pieces, dim=1)]
    assert_close(torch.cat(logits, dim=1), pair.theirs(tokens).logits)


@torch.no_grad()
def test_logits_of_padded_batches(pair: Pair) -> None:
    """Theirs are padded on the left, ours on the right: each token's logits are the same."""
    lengths = [3, WINDOW + 4, 29]
    longest = max(lengths)
    tokens = random_tokens(len(lengths), longest)
    right = torch.zeros_like(tokens)
    for row, length in enumerate(lengths):
        right[row, :length] = tokens[row, longest - length :]
    mask = torch.tensor([[i >= longest - n for i in range(longest)] for n in lengths]).long()
    positions = (mask.cumsum(-1) - 1).clamp(0)
    theirs = pair.theirs(tokens, attention_mask=mask, position_ids=positions).logits
    ours = pair.ours(right)
    for row, length in enumerate(lengths):
        assert_close(ours[row, :length], theirs[row, longest - length :])


def greedy(model: GPT, prompts: list[list[int]], n_tokens: int) -> list[list[int]]:
    sampling = SamplingConfig(max_tokens=n_tokens, temperature=0)
    steps = list(generate_tokens(model, prompts, sampling))
    return [[token for token in row if token is not None] for row in zip(*steps, strict=True)]


@torch.no_grad()
def test_greedy_texts(pair: Pair) -> None:
    # Not 0, which `generate` would take for padding.
    prompts = random_tokens(2, WINDOW - 2).clamp(min=1).tolist()
    n_tokens = 3 * WINDOW
    theirs = pair.theirs.generate(
        torch.tensor(prompts), max_new_tokens=n_tokens, do_sample=False, pad_token_id=0
    )
    assert greedy(pair.ours, prompts, n_tokens) == theirs[:, WINDOW - 2 :].tolist()


@torch.no_grad()
def test_every_feature_shows_in_the_logits(pair: Pair) -> None:
    """A feature that changed nothing would not be tested by any of this."""
    config = pair.ours.config
    others: list[dict[str, Any]] = [{"norm_eps": config.norm_eps * 100}]
    others += [{"window": None}, {"window": WINDOW + 1}] if config.window else []
    if config.position == "rope":
        others.append({"rope_base": config.rope_base * 2})
    if config.rope_scaling != "none":
        others.append({"rope_scaling": "none"})
    for field in ("rope_local_base", "attention_softcap", "logit_softcap", "query_pre_attn_scalar"):
        if getattr(config, field):
            others.append({field: 2 * getattr(config, field)})
    tokens = random_tokens(2, CONTEXT)
    right = pair.ours(tokens)
    for changes in others:
        other = GPT(config.replace(**changes)).eval()
        other.load_state_dict(pair.ours.state_dict())
        assert (other(tokens) - right).abs().max() > 10 * TOLERANCE, changes


@torch.no_grad()
def test_every_tensor_shows_in_the_logits(pair: Pair) -> None:
    """So that none of them could stand in another's place unnoticed."""
    tokens = random_tokens(2, CONTEXT // 2)
    right = pair.ours(tokens)
    for name, parameter in pair.ours.named_parameters():
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else 0
        if name.endswith("key.bias") and not pair.ours.config.is_rotated(layer):
            continue  # it adds the same to all scores of a query, and so does nothing
        if "norm" in name and (parameter == 1).all():
            continue  # nanochat has no such tensor
        kept = parameter.clone()
        parameter.copy_(kept.flip(0 if len(kept) > 1 else -1))
        difference = (pair.ours(tokens) - right).abs().max()
        parameter.copy_(kept)
        assert difference > 10 * TOLERANCE, name


@torch.no_grad()
def test_out_again_transformers_loads_its_own_class(pair: Pair, tmp_path: Any) -> None:
    folder = tmp_path / "out"
    notices = write_hf(exported(pair), folder)
    is_recut = pair.theirs.config.model_type == "qwen2"  # see `test_write.py`
    assert ["AutoTokenizer" in line for line in notices] == [True] * is_recut
    again = loaded(folder)
    kind = pair.theirs.config.model_type
    assert again.config.model_type == ("llama" if kind == "granite" else kind)
    tokens = random_tokens(3, CONTEXT)
    assert_close(again(tokens).logits, pair.theirs(tokens).logits)
    assert_close(filled(read_hf(folder))(tokens), pair.ours(tokens))
    if FAMILIES[kind].folds is None and not FAMILIES[kind].names.bare_norms:
        assert tensors_of(folder) == tensors_of(pair.folder)


def exported(pair: Pair) -> Exported:
    return Exported(
        config=pair.found.config,
        tensors=pair.found.tensors,
        tokenizer=CharTokenizer("abc"),
        chat_template=None,
        generation={},
        name="again",
    )


def tensors_of(folder: Any) -> dict[str, tuple[torch.dtype, bytes]]:
    """Return the bytes of every tensor, as the safetensors library reads them."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {
        n: (t.dtype, t.contiguous().view(torch.uint8).numpy().tobytes()) for n, t in found.items()
    }


ROTARY = [name for name, values in MODELS.items() if "rope_parameters" in values]


# Of OLMo 3 the older layout has no base of its own for windows: versions read it differently.
@pytest.mark.parametrize("pair", [name for name in ROTARY if name != "olmo3"], indirect=True)
def test_both_layouts_of_a_config_are_read_alike(pair: Pair, tmp_path: Any) -> None:
    """Version 5 nests the rotations in `rope_parameters`; before, they stood side by side."""
    values = json.loads((pair.folder / "config.json").read_text())
    rotations = values.pop("rope_parameters")
    far = rotations.get("full_attention", rotations)
    is_neox = values["model_type"] == "gpt_neox"
    values["rotary_emb_base" if is_neox else "rope_theta"] = far["rope_theta"]
    if (share := far.pop("partial_rotary_factor", None)) is not None:
        values["rotary_pct" if is_neox else "partial_rotary_factor"] = share
    if far["rope_type"] != "default":
        scaling = {k: v for k, v in far.items() if k not in ("rope_theta", "rope_type")}
        name = "rope_type" if far is not rotations else "type"  # Gemma 3 came later than the first
        values["rope_scaling"] = scaling | {name: far["rope_type"]}
    if near := rotations.get("sliding_attention"):
        values["rope_local_base_freq"] = near["rope_theta"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").symlink_to(pair.folder / "model.safetensors")
    assert read_hf(tmp_path).config == pair.found.config
