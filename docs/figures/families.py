"""Write the tables of docs/weights.md: each family and file beside the tool that it is from.

    python docs/figures/families.py

Small models with every tensor random and every feature switched on, as the tests have them
(tests/weights/hf, tests/weights/checkpoints): the largest difference of logits, as a part of the
largest logit, over contexts of several lengths; and how many greedy texts are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.generate import SamplingConfig, generate_tokens
from groundup.model import GPT
from groundup.weights.equivalence import differences
from groundup.weights.formats import open_pretrained
from groundup.weights.hf import read_hf
from groundup.weights.hf.native import native_class
from tests.weights.checkpoints import (
    test_book,
    test_llama2c,
    test_mingpt,
    test_nanochat,
    test_nanogpt,
    test_openai,
)
from tests.weights.checkpoints.helpers import filled as filled_checkpoint
from tests.weights.checkpoints.helpers import opened, saved
from tests.weights.hf.models import CONTEXT, MODELS, VOCABULARY, WINDOW, filled
from tests.weights.hf.models import saved as saved_model

PAGE = Path(__file__).parents[1] / "weights.md"
BEGIN, END = "<!-- compared: begin -->", "<!-- compared: end -->"
TEXTS = 10
LENGTHS = (1, WINDOW + 1, CONTEXT)
Logits = Callable[[Tensor], Tensor]


def furthest(ours: Logits, theirs: Logits, vocabulary: int, lengths: tuple[int, ...]) -> float:
    """Return the largest difference of logits, as a part of the largest logit."""
    worst = 0.0
    for length in lengths:
        tokens = torch.randint(vocabulary, (3, length))
        expected = theirs(tokens)
        worst = max(worst, float((ours(tokens) - expected).abs().max() / expected.abs().max()))
    return worst


def _logits(model: Any) -> Logits:
    """Return what computes the logits of a model of `transformers`."""
    return lambda tokens: model(tokens).logits


def writes_the_same(ours: GPT, theirs: Any) -> bool:
    """Tell whether a greedy text, longer than the window, is the same."""
    # Not 0, which transformers would take for padding.
    prompt, n_tokens = torch.randint(1, VOCABULARY, (1, WINDOW - 2)), 3 * WINDOW
    sampling = SamplingConfig(max_tokens=n_tokens, temperature=0)
    text = [token for (token,) in generate_tokens(ours, prompt.tolist(), sampling)]
    written = theirs.generate(prompt, max_new_tokens=n_tokens, do_sample=False, pad_token_id=0)
    return bool(text == written[0, WINDOW - 2 :].tolist())


def families() -> Iterator[str]:
    """Yield a row for each model of the tests."""
    for name, values in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            theirs: Any = saved_model(name, Path(folder))
            found = read_hf(Path(folder))
            ours = filled(found)
            gap = furthest(ours, _logits(theirs), VOCABULARY, LENGTHS)
            same = sum(writes_the_same(ours, theirs) for _ in range(TEXTS))
            native = native_class(found.config, values["model_type"])
            assert differences(native.config, found.config) == {}
            cells = [f"`{name}`", f"{gap:.1e}", f"{same} of {TEXTS}"]
            cells += [f"`{native.model_type}`"]
            yield f"| {' | '.join(cells)} |"


def files() -> Iterator[tuple[str, str, float]]:
    """Yield each kind of file, what it is compared with, and the largest difference."""

    def gap(found: Any, theirs: Logits) -> float:
        model, config = filled_checkpoint(found), found.config
        return furthest(model, theirs, config.vocab_size, (1, config.context_length))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        book = test_book.model()
        file = saved(folder, book.state_dict())
        yield "the book's `model.pth`", "its `GPTModel`", gap(opened(file, n_heads=3), book)
        mingpt = test_mingpt.MinGPT().eval()
        file = saved(folder, mingpt.state_dict())
        found = opened(file, n_heads=test_mingpt.N_HEADS)
        yield "minGPT's `model.pt`", "its architecture, written again", gap(found, mingpt)
        gpt2 = test_nanogpt.reference(True)
        file = saved(folder, test_nanogpt.checkpoint(gpt2, True))
        theirs = "transformers, weights laid out as it does"
        yield "nanoGPT's `ckpt.pt`", theirs, gap(opened(file), _logits(gpt2))
        chat = test_nanochat.reference()
        found = opened(test_nanochat.written(folder, chat))
        yield "nanochat's `model_NNN.pt`", theirs, gap(found, _logits(chat))
        weights = test_llama2c.weights()
        for version in (0, 1, 2):
            content = dict(weights)
            raw = (
                test_llama2c.newer(content, False, version)
                if version
                else test_llama2c.legacy(content, False)
            )
            (folder / "model.bin").write_bytes(raw)
            llama = test_llama2c.reference(content, False)
            found = open_pretrained(folder / "model.bin", False)
            what = f"llama2.c's `.bin`, version {version}"
            yield what, theirs, gap(found, _logits(llama))
    found = open_pretrained(test_openai.DATA, False)
    expected = torch.from_numpy(np.load(test_openai.DATA / "logits.npy"))
    tokens = torch.arange(12)[None] * 7919 % 264
    far = (filled_checkpoint(found)(tokens)[0] - expected).abs().max() / expected.abs().max()
    yield "OpenAI's folder of GPT-2", "TensorFlow, which wrote it", float(far)


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    table = [
        "| model of `transformers` | largest difference | greedy texts | goes out as |",
        "|---|---|---|---|",
        *families(),
        "",
        "| file | compared with | largest difference |",
        "|---|---|---|",
        *(f"| {what} | {other} | {gap:.1e} |" for what, other, gap in files()),
    ]
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(table) + f"\n{END}{after}", "utf-8")
    print("\n".join(table))


if __name__ == "__main__":
    main()
