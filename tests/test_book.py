"""docs/book.md keeps its word: its lines beside the book's own package, `llms-from-scratch`.

S. Raschka, "Build a Large Language Model (From Scratch)", 2024. Figures that the book prints are
written out; all else is computed by both from the same weights.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from llms_from_scratch import ch02, ch03, ch04
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

import groundup
from groundup import GPT, ByteTokenizer, GPTConfig, preset
from groundup.data import Batches, TokenSplit
from groundup.evaluate import evaluate_loss
from groundup.generate import SamplingConfig, generate_tokens
from groundup.generate.sampling import filtered, generators, next_tokens
from groundup.generate.windows import window_start
from groundup.model import (
    CAUSAL,
    FeedForward,
    LayerNorm,
    Mask,
    MultiHeadAttention,
    PreNormBlock,
    attention_weights,
    fused_attention,
    plain_attention,
)
from groundup.model.feed_forward import gelu_tanh
from groundup.plan import conventions
from groundup.train import TrainStep, train
from groundup.weights import import_model
from tests.model.helpers import randomise
from tests.test_docs import BLOCK

pytestmark = pytest.mark.network  # the page begins with GPT-2's vocabulary

PAGE = Path(__file__).parent.parent / "docs" / "book.md"
TOLERANCE = 1e-5
EVERYONE = Mask(None, False)
TINY: dict[str, Any] = {
    "vocab_size": 257,
    "context_length": 8,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 2,
    "drop_rate": 0.0,
    "qkv_bias": False,
}
BOOK_124M: dict[str, Any] = {
    "vocab_size": 50257,
    "context_length": 1024,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.1,
    "qkv_bias": False,
}
HEADINGS = {
    2: ["2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8"],
    3: ["3.1", "3.2", "3.3", "3.3.1", "3.3.2", "3.4", "3.4.1", "3.4.2", "3.5", "3.5.1", "3.5.2",
        "3.5.3", "3.6", "3.6.1", "3.6.2"],
    4: ["4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7"],
    5: ["5.1", "5.1.1", "5.1.2", "5.1.3", "5.2", "5.3", "5.3.1", "5.3.2", "5.3.3", "5.4", "5.5"],
}  # fmt: skip
"""The numbered headings of the book's chapters."""


def _chapter5() -> Any:
    """Return the package's chapter 5, which imports what draws figures and draws none here."""
    names = ("matplotlib", "matplotlib.pyplot", "matplotlib.ticker")
    drawing = {name: ModuleType(name) for name in names}
    vars(drawing["matplotlib.ticker"])["MaxNLocator"] = None
    with patch.dict(sys.modules, drawing):
        return importlib.import_module("llms_from_scratch.ch05")


ch05 = _chapter5()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names that the page's Python blocks leave behind."""
    namespace: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(tmp_path_factory.mktemp("book"))
        for kind, code in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if kind == "python":
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(code, PAGE.name, "exec"), namespace)
        yield namespace


@pytest.fixture
def both(page: dict[str, Any]) -> tuple[Any, GPT]:
    """A small model of the book's and ours, on the same random tensors."""
    theirs = ch04.GPTModel(TINY).eval()
    randomise(theirs)
    return theirs, page["from_book"](theirs.state_dict(), GPTConfig(**TINY))


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_every_numbered_heading_has_its_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for chapter, numbers in HEADINGS.items():
        section = text.partition(f"## Chapter {chapter}:")[2].partition("\n## ")[0]
        assert re.findall(r"^\| (\d[\d.]*) ", section, re.MULTILINE) == numbers


# Chapter 2


def test_ids_are_those_that_the_book_prints(page: dict[str, Any]) -> None:
    encode = page["tokenizer"].encode
    assert encode("Every effort moves you") == [6109, 3626, 6100, 345]
    assert encode("Every day holds a") == [6109, 1110, 6622, 257]
    assert encode("Hello, I am") == [15496, 11, 314, 716]


class Given:
    """A tokenizer for the book's data set that gives ids which are there already."""

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def encode(self, text: str, **settings: object) -> list[int]:
        return self.ids


def book_loader(ids: list[int], length: int, stride: int, batch: int, drop_last: bool) -> Any:
    windows = ch02.GPTDatasetV1("", Given(ids), length, stride)
    return DataLoader(windows, batch_size=batch, shuffle=False, drop_last=drop_last)


def as_split(ids: list[int]) -> TokenSplit:
    return TokenSplit.from_array(np.array(ids), n_bytes=len(ids))


@pytest.mark.parametrize(("length", "stride"), [(4, 1), (4, 4), (8, 3), (5, 9)])
@pytest.mark.parametrize("n_tokens", [41, 50, 51])
def test_windows_are_the_books_and_the_last_batch_is_filled(
    length: int, stride: int, n_tokens: int
) -> None:
    ids = torch.randint(257, (n_tokens,)).tolist()
    loader = book_loader(ids, length, stride, 3, drop_last=False)
    book = [torch.cat(arrays) for arrays in zip(*loader, strict=True)]  # tokens, targets
    batches = Batches(as_split(ids), length, 3, seed=1, order="sliding", stride=stride)
    mine = [torch.cat(arrays) for arrays in zip(*batches.torch(), strict=True)]
    assert batches.n_windows == len(book[0])
    again = torch.arange(3 * len(loader)) % batches.n_windows  # the next pass fills the last batch
    for a, b in zip(mine, book, strict=True):
        assert torch.equal(a, b[again])


def test_embeddings_are_the_books(both: tuple[Any, GPT]) -> None:
    theirs, ours = both
    tokens = torch.randint(257, (2, 8))
    vectors = theirs.tok_emb(tokens) + theirs.pos_emb(torch.arange(8))
    close(ours.position_embedding(ours.token_embedding(tokens), slice(0, 8)), vectors)


# Chapter 3


def heads(x: Tensor) -> Tensor:
    return x[:, None]  # (B, 1, T, H)


def test_one_head_is_the_books_with_and_without_a_mask() -> None:
    x = torch.randn(2, 6, 3)
    free, causal = ch03.SelfAttention_v2(3, 2), ch03.CausalAttention(3, 2, 6, dropout=0.0)
    for theirs, mask in ((free, EVERYONE), (causal, CAUSAL)):
        query, key, value = (heads(p(x)) for p in (theirs.W_query, theirs.W_key, theirs.W_value))
        expected = theirs(x) if mask is CAUSAL else torch.stack([theirs(row) for row in x])
        for attend in (plain_attention, fused_attention):
            close(attend(query, key, value, mask)[:, 0], expected)
        close((attention_weights(query, key, mask) @ value)[:, 0], expected)


def test_heads_side_by_side_are_slices_of_ours() -> None:
    stacked = ch03.MultiHeadAttentionWrapper(8, 2, 6, 0.0, num_heads=4)
    ours = MultiHeadAttention(GPTConfig(**{**TINY, "emb_dim": 8}), layer=0)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            rows = torch.cat([getattr(head, f"W_{name}").weight for head in stacked.heads])
            getattr(ours, name).weight.copy_(rows)
        ours.out.weight.copy_(torch.eye(8))
        ours.out.bias.zero_()
    x = torch.randn(2, 6, 8)
    close(ours(x), stacked(x))


def test_a_block_and_each_part_of_it_are_the_books(both: tuple[Any, GPT]) -> None:
    theirs, ours = both[0].trf_blocks[1], both[1].blocks[1]
    assert isinstance(ours, PreNormBlock)
    x = torch.randn(2, 8, 32)
    pairs: list[tuple[nn.Module, Any]] = [
        (ours.attn, theirs.att),
        (ours.attn_norm, theirs.norm1),
        (ours.ffn_norm, theirs.norm2),
        (ours.ffn, theirs.ff),
        (ours, theirs),
    ]
    for mine, book in pairs:
        close(mine(x), book(x))
    kinds = [type(mine) for mine, _ in pairs]
    assert kinds == [MultiHeadAttention, LayerNorm, LayerNorm, FeedForward, PreNormBlock]
    wide = torch.linspace(-8, 8, 1001)
    close(gelu_tanh(wide), ch04.GELU()(wide))


# Chapter 4


def test_logits_are_the_books(both: tuple[Any, GPT]) -> None:
    theirs, ours = both
    for length in (1, 5, 8):
        tokens = torch.randint(257, (3, length))
        close(ours(tokens), theirs(tokens))


@pytest.mark.parametrize("name", ["gpt2-124m", "gpt2-355m", "gpt2-774m", "gpt2-1558m"])
def test_counts_and_storage_are_the_books(name: str) -> None:
    config = preset(name)
    shape = {field: getattr(config, field) for field in BOOK_124M} | {"qkv_bias": False}
    with torch.device("meta"):
        theirs = ch04.GPTModel(shape)
    total = sum(p.numel() for p in theirs.parameters())
    untied, tied, _ = conventions(config)
    assert untied.total == total
    assert tied.total == total - theirs.out_head.weight.numel()
    assert untied.storage() == total * 4
    assert f"{total:,} {tied.total:,} {total * 4 / 1024**2:.2f} MiB" in PAGE.read_text("utf-8")


def continued(model: GPT, ids: list[int], n: int) -> list[int]:
    settings = SamplingConfig(max_tokens=n, temperature=0)
    return [step[0] for step in generate_tokens(model, [ids], settings) if step[0] is not None]


def test_greedy_text_is_the_books_until_the_context_is_full(page: dict[str, Any]) -> None:
    theirs = ch04.GPTModel(TINY).eval()
    ours = page["from_book"](theirs.state_dict(), GPTConfig(**TINY))
    ids = [72, 105, 33]
    book = ch04.generate_text_simple(theirs, torch.tensor([ids]), 20, 8)[0].tolist()
    mine = ids + continued(ours, ids, 20)
    assert mine[:9] == book[:9]  # the ninth is the last that all eight before it decide
    assert mine != book
    for at in range(9, len(mine)):
        seen = mine[window_start(at, 8) : at]
        assert mine[at] == ours(torch.tensor([seen]))[0, -1].argmax()


def test_the_table_of_what_is_looked_at_is_right() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lengths, book, mine = (
        [int(number) for number in re.findall(r"\| (\d+)(?= )", row)]
        for row in re.findall(r"^\| (?:tokens so far|the book looks|groundup looks).*$", text, re.M)
    )
    assert book == [min(n, 8) for n in lengths]
    assert mine == [n - window_start(n, 8) for n in lengths]


def at_seed_123(page: dict[str, Any], context_length: int) -> GPT:
    """Return the book's model of 124M as PyTorch makes it."""
    shape = BOOK_124M | {"context_length": context_length}
    torch.manual_seed(123)
    model: GPT = page["from_book"](ch04.GPTModel(shape).state_dict(), GPTConfig(**shape))
    return model


def test_greedy_ids_are_those_of_section_4_7(page: dict[str, Any]) -> None:
    model = at_seed_123(page, context_length=1024)
    ids = [27018, 24086, 47843, 30961, 42348, 7267]
    assert continued(model, [15496, 11, 314, 716], 6) == ids
    assert ", ".join(map(str, ids)) in PAGE.read_text(encoding="utf-8")


@torch.no_grad()
def test_loss_and_perplexity_are_those_of_section_5_1_2(page: dict[str, Any]) -> None:
    model = at_seed_123(page, context_length=256)
    texts = torch.tensor([[16833, 3626, 6100, 345], [40, 1107, 588, 11311]])
    loss_sum, n_targets = TrainStep(model)(texts[:, :-1], texts[:, 1:])
    loss = loss_sum / n_targets
    assert f"{loss:.4f}" == "10.7940"
    assert loss.exp().item() == pytest.approx(48725.8203, rel=1e-5)


# Chapter 5


def test_the_loss_of_a_batch_is_the_books(both: tuple[Any, GPT]) -> None:
    theirs, ours = both
    texts = torch.randint(257, (3, 9))
    loss_sum, n_targets = TrainStep(ours)(texts[:, :-1], texts[:, 1:])
    close(loss_sum / n_targets, ch05.calc_loss_batch(texts[:, :-1], texts[:, 1:], theirs, "cpu"))


def test_the_mean_of_the_validation_loss_is_of_tokens_and_of_all(both: tuple[Any, GPT]) -> None:
    theirs, ours = both
    ids = torch.randint(257, (8 * 5 + 4,)).tolist()

    def book(n: int, batch: int) -> float:
        with torch.no_grad():
            loader = book_loader(ids[:n], 8, 8, batch, drop_last=False)
            return float(ch05.calc_loss_loader(loader, theirs, "cpu"))

    def mine(n: int, batch: int) -> float:
        return evaluate_loss(ours, as_split(ids[:n]), batch_size=batch).loss

    full = 8 * 5 + 1
    assert mine(full, 1) == pytest.approx(book(full, 1), abs=TOLERANCE)
    assert mine(full, 5) == pytest.approx(book(full, 5), abs=TOLERANCE)
    # A last batch that is smaller counts as much in the book, and the rest of a text not at all.
    assert mine(full, 2) == pytest.approx(mine(full, 1), abs=TOLERANCE)
    assert abs(book(full, 2) - book(full, 1)) > 1e-3
    assert book(len(ids), 1) == book(full, 1)
    assert abs(mine(len(ids), 1) - mine(full, 1)) > 1e-3
    assert evaluate_loss(ours, as_split(ids)).tokens == len(ids) - 1


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_training_loop_is_the_books(
    page: dict[str, Any], decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ByteTokenizer().encode("the cat sat on the mat. the dog sat on the log. " * 4)
    n_train = 8 * 2 * 10 + 1  # whole batches: the loaders differ at their ends
    theirs = ch04.GPTModel(TINY)
    start = copy.deepcopy(theirs.state_dict())
    ours = page["from_book"](copy.deepcopy(start), GPTConfig(**TINY))
    loader = book_loader(ids[:n_train], 8, 8, 2, drop_last=True)
    losses = by_the_book(theirs, loader, page["as_the_book"]["learning_rate"], decay, monkeypatch)
    settings = page["as_the_book"] | {"weight_decay": decay, "steps": 3 * len(loader)}
    text = ByteTokenizer().decode(ids[: n_train + n_train // 9 + 1])  # the last tenth validates
    metrics = train(ours, ByteTokenizer(), text, batch_size=2, show=False, **settings)
    found = [record["train_loss"] for record in metrics if "train_loss" in record]
    assert len(found) == 30
    assert found == pytest.approx(losses, abs=TOLERANCE)
    after = page["from_book"](theirs.state_dict(), GPTConfig(**TINY))
    before = page["from_book"](start, GPTConfig(**TINY))
    for mine, other, first in zip(*(m.parameters() for m in (ours, after, before)), strict=True):
        # AdamW makes a step of any gradient, of one that is nearly rounding error, too.
        moved = (other - first).abs().mean()
        assert moved > 0
        assert (mine - other).abs().mean() < 1e-4 * moved


def by_the_book(
    model: Any,
    loader: Any,
    rate: float,
    decay: float,
    monkeypatch: pytest.MonkeyPatch,
    passes: int = 3,
) -> list[float]:
    """Let the book's loop make so many passes, and return the loss of each step."""
    losses: list[float] = []

    def watched(*given: Any) -> Tensor:
        loss: Tensor = batch_loss(*given)
        if model.training:
            losses.append(loss.item())
        return loss

    batch_loss = ch05.calc_loss_batch
    monkeypatch.setattr(ch05, "calc_loss_batch", watched)
    # The book's one setting without a counterpart: what is not a matrix does not decay here.
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}],
        lr=rate,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        ch05.train_model_simple(
            model, loader, loader, optimizer, "cpu", passes, 100, 1, "the", Characters()
        )
    return losses


class Characters:
    """What the book's loop asks of a tokenizer to print a sample after each pass."""

    def encode(self, text: str, **settings: object) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return ByteTokenizer().decode(ids)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.1, None), (5.0, 3), (1.4, 25)])
def test_probabilities_of_sampling_are_the_books(
    both: tuple[Any, GPT],
    temperature: float,
    top_k: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs, ours = both
    drawn: list[Tensor] = []

    def first(probabilities: Tensor, num_samples: int) -> Tensor:
        drawn.append(probabilities)
        return probabilities.argmax(dim=-1, keepdim=True)

    monkeypatch.setattr(torch, "multinomial", first)
    tokens = torch.randint(257, (1, 5))
    ch05.generate(theirs, tokens, 1, 8, temperature=temperature, top_k=top_k)
    settings = SamplingConfig(temperature=temperature, top_k=top_k or 0)
    close(filtered(ours(tokens)[:, -1], settings).softmax(dim=-1), drawn[0])


def test_draws_follow_the_probabilities_as_the_books_do() -> None:
    """The counts of 1,000 draws that section 5.3.1 prints, and ours, from 0.5721 and 0.3576."""
    scores = torch.tensor([[4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79]])
    expected = scores.softmax(dim=-1)[0] * 1000
    book = torch.tensor([73, 0, 0, 582, 2, 0, 0, 343, 0])
    settings = SamplingConfig(temperature=1, seed=1)
    random = generators(1, 1)
    drawn = [next_tokens(scores, settings, random, [[]])[0] for _ in range(1000)]
    mine = torch.bincount(torch.tensor(drawn), minlength=9)
    for counts in (book, mine):
        assert ((counts - expected).abs() <= 4 * expected.sqrt() + 1).all()
    assert not torch.equal(book, mine)


def test_text_ends_at_the_end_of_text_as_the_books_does(both: tuple[Any, GPT]) -> None:
    theirs, ours = both
    ids = [72, 105]
    end = continued(ours, ids, 4)[3]  # what comes fourth is taken as the end
    book = ch05.generate(theirs, torch.tensor([ids]), 6, 8, eos_id=end)[0].tolist()
    ending = SamplingConfig(max_tokens=6, temperature=0, stop_tokens=[end])
    mine = list(ids)

    def ended(row: int) -> bool:
        return mine[-1] in ending.stop_tokens

    for step in generate_tokens(ours, [ids], ending, ended=ended):
        mine += [token for token in step if token is not None]
    assert mine == [*book, end]


def test_a_saved_model_comes_back_as_the_books_does(both: tuple[Any, GPT], tmp_path: Path) -> None:
    theirs, ours = both
    groundup.save(ours, ByteTokenizer(), tmp_path / "run")
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    again = ch04.GPTModel(TINY).eval()
    again.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    tokens = torch.randint(257, (2, 8))
    back = groundup.load(tmp_path / "run").model
    assert torch.equal(back(tokens), ours(tokens))
    close(back(tokens), again(tokens))


def test_openais_weights_are_read_as_the_book_reads_them(tmp_path: Path) -> None:
    config = TINY | {"qkv_bias": True}
    theirs = ch04.GPTModel(config).eval()
    random = np.random.default_rng(1)

    def made(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.2).astype(np.float32)

    shapes = {
        "attn": {"c_attn": (32, 96), "c_proj": (32, 32)},
        "mlp": {"c_fc": (32, 128), "c_proj": (128, 32)},
    }
    blocks = [
        {
            room: {name: {"w": made(*s), "b": made(s[1])} for name, s in parts.items()}
            for room, parts in shapes.items()
        }
        | {norm: {"g": made(32), "b": made(32)} for norm in ("ln_1", "ln_2")}
        for _ in range(config["n_layers"])
    ]
    params = {"wte": made(257, 32), "wpe": made(8, 32), "g": made(32), "b": made(32)}
    ch05.load_weights_into_gpt(theirs, params | {"blocks": blocks})
    write_hugging_face(tmp_path / "gpt2", params, blocks)
    import_model(tmp_path / "gpt2", tmp_path / "run", tokenizer=ByteTokenizer())
    ours = groundup.load(tmp_path / "run").model
    tokens = torch.randint(257, (2, 8))
    close(ours(tokens), theirs(tokens))
    untied = sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in ours.parameters()) == untied - 257 * 32  # the head is no copy


def write_hugging_face(folder: Path, params: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
    """Write OpenAI's tensors as Hugging Face publishes them: other names, the same layout."""
    letters = {"w": "weight", "g": "weight", "b": "bias"}
    tensors = {
        "wte.weight": params["wte"],
        "wpe.weight": params["wpe"],
        "ln_f.weight": params["g"],
        "ln_f.bias": params["b"],
    }
    for i, block in enumerate(blocks):
        for norm in ("ln_1", "ln_2"):
            for letter, values in block[norm].items():
                tensors[f"h.{i}.{norm}.{letters[letter]}"] = values
        for room in ("attn", "mlp"):
            for name, pair in block[room].items():
                for letter, values in pair.items():
                    tensors[f"h.{i}.{room}.{name}.{letters[letter]}"] = values
    folder.mkdir()
    save_file(
        {name: torch.from_numpy(values) for name, values in tensors.items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(
        '{"model_type": "gpt2", "vocab_size": 257, "n_positions": 8, "n_embd": 32, "n_layer": 2, '
        '"n_head": 4, "bos_token_id": null, "eos_token_id": 256}'
    )
