"""One vector of each text from a model that stays as it is, and which pooling serves better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.evaluate.classification import confusion, macro_f1
from groundup.evaluate.loss import OnProgress, silent
from groundup.finetune.classifier.model import POOLS
from groundup.finetune.classifier.rows import Floats
from groundup.finetune.classifier.text_classifier import in_batches
from groundup.finetune.order import Ids
from groundup.model import GPT, evaluation_mode

PENALTY = 1e-3
"""Times the squared norm of the probe's weights: it keeps them finite where classes separate."""
ROUNDS = 100


def vectors_of(gpt: GPT, ids: Sequence[Ids], progress: OnProgress = silent) -> dict[str, Floats]:
    """Return the vector of each text (n, D) by every pooling, in one pass of the model."""
    vectors = {name: np.empty((len(ids), gpt.config.emb_dim), np.float32) for name in POOLS}
    with torch.no_grad(), evaluation_mode(gpt):
        for rows, tokens, lengths in in_batches(ids, gpt.device, progress):
            hidden = gpt.hidden_states(tokens)
            for name, pool in POOLS.items():
                vectors[name][rows] = pool(hidden, lengths).float().cpu().numpy()
    return vectors


def probed(train: Floats, labels: Ids, val: Floats, n_labels: int) -> Floats:
    """Return the scores (n, C) of `val` by a head that was fitted to `train` in full.

    Vectors are divided by the root of their mean square, so that the penalty weighs alike whatever
    the model's scale. L-BFGS: Liu and Nocedal, 1989.
    """
    scale = float(np.sqrt(np.mean(np.square(train)))) or 1.0
    x, y = torch.from_numpy(train) / scale, torch.from_numpy(labels)
    weight = torch.zeros(n_labels, x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = F.cross_entropy(x @ weight.T, y) + PENALTY * weight.square().sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    scores: Floats = (torch.from_numpy(val) / scale @ weight.detach().T).numpy()
    return scores


def better_pooling(
    train: dict[str, Floats], val: dict[str, Floats], labels: Ids, truth: Ids, n_labels: int
) -> tuple[str, dict[str, float]]:
    """Return the pooling whose vectors decide better about `val`, and the macro F1 of each."""
    found = {}
    for name in POOLS:
        scores = probed(train[name], labels, val[name], n_labels)
        found[name] = float(macro_f1(confusion(truth, scores.argmax(axis=1), n_labels)))
    return max(found, key=lambda name: found[name]), found
