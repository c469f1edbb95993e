"""The loss of preferences beside trl's, from the same weights and on the same pairs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("trl", reason="`make test-long` installs it")
from accelerate import Accelerator
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.utils import add_fused_lm_head

from groundup.finetune.preferences.rows import Pair, PreferenceRows, reference_log_probs
from groundup.finetune.preferences.step import DPOStep
from groundup.weights.hf import read_hf
from tests.finetune.test_preference_rows import TOKENIZER, made, pairs_of
from tests.weights.hf.models import filled

pytestmark = pytest.mark.slow

N_PAIRS = 20


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=TOKENIZER.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.15,
    )
    return LlamaForCausalLM(config).eval()


def trainer(model: LlamaForCausalLM) -> Any:
    """Return trl's trainer with what its loss needs, without the rest."""
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    made_by_hand: Any = DPOTrainer.__new__(DPOTrainer)
    made_by_hand.__dict__ |= {
        "model": model,
        "accelerator": Accelerator(cpu=True),
        "aux_loss_enabled": False,
        "ld_alpha": None,
        "precompute_ref_logps": True,
        "f_divergence_type": "reverse_kl",
        "loss_types": ["sigmoid"],
        "loss_weights": [1.0],
        "beta": 0.1,
        "label_smoothing": 0.0,
        "use_weighting": False,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    return made_by_hand


def as_trl(pair: Pair, reference: Any) -> dict[str, Any]:
    begin = int(pair.chosen.counts.argmax())
    chosen, rejected = (one.ids[: one.counts.nonzero()[0][-1] + 1].tolist() for one in pair.both)
    assert chosen[:begin] == rejected[:begin]
    return {
        "prompt_ids": chosen[:begin],
        "chosen_ids": chosen[begin:],
        "rejected_ids": rejected[begin:],
        "ref_chosen_logps": reference[0],
        "ref_rejected_logps": reference[1],
    }


@pytest.mark.parametrize("away", [0.0, 5.0])
def test_dpo_loses_as_much_as_in_trl_with_the_same_gradient(away: float, tmp_path: Path) -> None:
    theirs = llama()
    theirs.save_pretrained(tmp_path)
    ours = filled(read_hf(tmp_path))
    pairs = pairs_of(made(N_PAIRS)).pairs
    reference = reference_log_probs(ours, pairs)
    reference = reference + away * np.random.default_rng(1).standard_normal(reference.shape)
    source = PreferenceRows(pairs, reference, N_PAIRS, 1)
    batch = {key: torch.from_numpy(array) for key, array in source.rows(0, N_PAIRS).arrays.items()}
    loss_sum, n_pairs = DPOStep(ours)(**batch)
    (loss := loss_sum / n_pairs).backward()
    examples = [as_trl(pairs[row], reference[row]) for row in source.order.rows(0, N_PAIRS)]
    inputs = DataCollatorForPreference(pad_token_id=0)(examples)
    (their_loss := trainer(theirs.train())._compute_loss(theirs, inputs, False)).backward()
    assert abs(loss.item() - their_loss.item()) < 1e-5
    gradients = ours.token_embedding.weight.grad, theirs.get_input_embeddings().weight.grad
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
