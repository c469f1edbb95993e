"""How alike tokens are, against a plain loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from groundup.lab.measures.fading import mean_cosine


def test_mean_cosine_is_the_mean_over_all_pairs_of_different_tokens():
    stream = torch.randn(3, 5, 4, dtype=torch.float64)
    pairs = [
        F.cosine_similarity(row[i], row[j], dim=0).item()
        for row in stream
        for i in range(5)
        for j in range(i)
    ]
    assert mean_cosine(stream) == pytest.approx(sum(pairs) / len(pairs))
    assert mean_cosine(stream[:, :1].expand(-1, 5, -1)) == pytest.approx(1)
