"""What the tests of checkpoints share: files as tools write them, and models as we read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup import GPT
from groundup.weights.formats import open_pretrained
from groundup.weights.pretrained import Pretrained

TOLERANCE = 1e-5


def saved(folder: Path, content: Any, name: str = "model.pth") -> Path:
    """Write `content` as torch.save does."""
    torch.save(content, folder / name)
    return folder / name


def opened(file: Path, **settings: Any) -> Pretrained:
    """Read a file whose pickle is trusted."""
    return open_pretrained(file, True, settings)


def filled(found: Pretrained) -> GPT:
    """Return a model with the weights that were read."""
    model = GPT(found.config).eval()
    model.load_state_dict({n: s.read() for n, s in found.tensors.items()}, strict=False)
    model.tie_weights()
    return model


@torch.no_grad()
def assert_same(found: Pretrained, theirs: Any, length: int | None = None) -> None:
    """Compare logits on random tokens, one alone and a whole context."""
    for n_tokens in (1, length or found.config.context_length):
        tokens = torch.randint(found.config.vocab_size, (2, n_tokens))
        expected: Tensor = theirs(tokens)
        torch.testing.assert_close(filled(found)(tokens), expected, atol=TOLERANCE, rtol=0)
