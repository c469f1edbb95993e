"""More tokens for a model that is there: old ones keep their logits, new ones do no harm."""

from __future__ import annotations

import pytest
import torch

from groundup.adapters import attach, merge
from groundup.model import empty_gpt, grown, shapes_of
from groundup.quantized import quantizable, quantize, swap_in
from tests.model.helpers import FAMILIES, random_gpt
from tests.model.own_parts import CHOICES, own_gpt


@pytest.mark.parametrize("family", FAMILIES)
def test_the_old_tokens_keep_their_logits(family: str) -> None:
    model = random_gpt(**FAMILIES[family])
    tokens = torch.randint(67, (2, 20), generator=torch.Generator().manual_seed(1))
    other = grown(model, 3)
    assert other.config.vocab_size == 70
    assert other(tokens).shape == (2, 20, 70)
    torch.testing.assert_close(other(tokens)[..., :67], model(tokens), rtol=0, atol=1e-6)
    assert torch.equal(other.token_embedding.weight[:67], model.token_embedding.weight)
    assert torch.equal(other.lm_head.weight[:67], model.lm_head.weight)
    tied = other.lm_head.weight is other.token_embedding.weight
    assert tied == model.config.tie_embeddings
    assert not other.training
    other(torch.tensor([[67, 68, 69]]))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_new_rows_are_the_mean_with_a_little_noise(family: str) -> None:
    model = random_gpt(**FAMILIES[family])
    other = grown(model, 50)
    for name in ("token_embedding", "lm_head"):
        old, new = (getattr(m, name).weight.detach() for m in (model, other))
        apart = new[67:] - old.mean(dim=0)
        spread = old.std(dim=0)
        assert 0.007 < (apart / spread).std() < 0.013
        assert (apart / spread).abs().max() < 0.06
        assert len(new[67:].unique(dim=0)) == 50
    if not model.config.tie_embeddings:
        assert not torch.equal(other.token_embedding.weight[67:], other.lm_head.weight[67:])


def test_a_new_token_takes_its_share_of_the_probability_at_most() -> None:
    """By the inequality of the means: exp(mean of logits) is at most the mean of exp(logits)."""
    model = random_gpt(scale=1.0, **FAMILIES["llama"])
    model.lm_head.weight.data += 3.0  # so that a row near 0 would be far from all others
    tokens = torch.randint(67, (4, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        share = grown(model, 2)(tokens).softmax(-1)[..., 67:].sum(-1)
    assert share.max() < 2 / 67 * 1.1


def test_rows_that_only_fill_the_vocabulary_are_used_first() -> None:
    model = random_gpt(**FAMILIES["gpt2"])
    weight = model.token_embedding.weight.detach().clone()
    within = grown(model, 2, known=60)
    assert within.config == model.config
    new = within.token_embedding.weight.detach()
    assert torch.equal(new[:60], weight[:60])
    assert torch.equal(new[62:], weight[62:])
    assert (new[60:62] - weight[:60].mean(dim=0)).abs().max() < 0.05
    assert torch.equal(model.token_embedding.weight, weight), "the model itself stays"
    assert grown(model, 9, known=60).config.vocab_size == 69
    assert grown(model, 0).config == model.config


def test_what_is_not_of_the_vocabulary_is_the_models_own() -> None:
    model = random_gpt(**FAMILIES["llama"]).train()
    model.blocks[0].requires_grad_(False)
    other = grown(model, 1)
    assert other.training
    theirs = dict(model.named_parameters())
    for name, parameter in other.named_parameters():
        if name not in ("token_embedding.weight", "lm_head.weight"):
            assert parameter is theirs[name]
        assert parameter.requires_grad == theirs[name].requires_grad
    assert all(b.shape == a.shape for a, b in zip(model.buffers(), other.buffers(), strict=True))


def test_numbers_keep_their_format_and_the_same_seed_gives_the_same() -> None:
    model = random_gpt(**FAMILIES["gpt2"]).to(torch.bfloat16)
    one, two, three = grown(model, 4), grown(model, 4), grown(model, 4, seed=1)
    assert one.token_embedding.weight.dtype == torch.bfloat16
    assert torch.equal(one.token_embedding.weight, two.token_embedding.weight)
    assert not torch.equal(one.token_embedding.weight, three.token_embedding.weight)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_model_of_other_parts_grows_too(choice: str) -> None:
    model = own_gpt(choice)
    size = model.config.vocab_size
    tokens = torch.randint(size, (1, 8), generator=torch.Generator().manual_seed(1))
    known = grown(model, 2)(tokens)[..., :size]
    torch.testing.assert_close(known, model(tokens), rtol=0, atol=1e-6)


@torch.no_grad()
def test_what_was_added_to_a_model_does_not_grow() -> None:
    model = random_gpt(**FAMILIES["llama"])
    attach(model, "lora", 2, 4.0, seed=0)
    with pytest.raises(ValueError, match="adapters and quantised weights do not grow"):
        grown(model, 1)
    merge(model)
    assert grown(model, 1).config.vocab_size == 68
    codes = {p.name: quantize(model.get_parameter(p.name), 8) for p in shapes_of(model)
             if quantizable(p)}  # fmt: skip
    coded = empty_gpt(model.config)
    swap_in(coded, {**dict(model.named_parameters()), **codes})
    with pytest.raises(ValueError, match="adapters and quantised weights do not grow"):
        grown(coded, 1)


@pytest.mark.parametrize(("n", "known"), [(-1, None), (1, 0), (1, 68)])
def test_counts_that_make_no_sense_are_refused(n: int, known: int | None) -> None:
    with pytest.raises(ValueError, match=f"{n} more tokens than"):
        grown(random_gpt(**FAMILIES["gpt2"]), n, known=known)
