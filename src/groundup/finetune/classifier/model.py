"""A GPT that decides: a head that scores labels stands in place of the one that scores tokens."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model import GPT

HEAD_STD = 0.02
"""Of a new head's weights, as of GPT-2's matrices (Radford et al., 2019)."""


class Classifier(nn.Module):
    """Scores labels by one vector of each text, that of its last token or the mean over all.

    Texts of different lengths are padded at their ends. A token sees only those before it, and
    padding is left out of what the head sees: it changes nothing.
    """

    def __init__(self, gpt: GPT, n_labels: int, pooling: str, seed: int = 1) -> None:
        super().__init__()
        self.gpt = gpt
        self.pool = POOLS[pooling]
        self.head = nn.Linear(gpt.config.emb_dim, n_labels, bias=False)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.head.weight, std=HEAD_STD, generator=generator)
        gpt.lm_head.requires_grad_(gpt.config.tie_embeddings)  # its own weights are not used

    def forward(
        self, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B C"]:
        """Return the scores of the labels; of each row the first `lengths` tokens are the text."""
        return self.scores(self.pool(self.gpt.hidden_states(tokens), lengths))

    def scores(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Return the scores of texts whose vectors are known."""
        scores: Tensor = self.head(vectors)
        return scores

    def learn_only(self, layers: str) -> None:
        """Let nothing learn but the head and, for "last", the last block and the final norm."""
        if layers == "all":
            return
        self.gpt.requires_grad_(False)
        if layers == "last":
            self.gpt.blocks[-1].requires_grad_()
            self.gpt.final_norm.requires_grad_()

    def stored(self) -> dict[str, nn.Parameter]:
        """Return all parameters by their names in a checkpoint: those of the GPT keep theirs."""
        named = self.named_parameters()
        return {name.removeprefix("gpt."): parameter for name, parameter in named}


def last_token(hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
    """Return the vector of each text's last token."""
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, lengths - 1]


def mean_of_tokens(
    hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
) -> Float[Tensor, "B D"]:
    """Return the mean over the vectors of each text's tokens."""
    places = torch.arange(hidden.shape[1], device=hidden.device)
    is_text = (places < lengths[:, None])[..., None]  # (B, T, 1)
    # Not a product with zeros: padding may be anything, not a number included.
    return hidden.where(is_text, 0).sum(1) / lengths[:, None]


POOLS = {"last": last_token, "mean": mean_of_tokens}
"""From the vectors of all tokens to one of the text."""
