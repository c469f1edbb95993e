"""docs/book.md keeps its word on chapter 6 and appendix E: beside the book's own package.

S. Raschka, "Build a Large Language Model (From Scratch)", 2024. Figures that the book prints are
written out; all else is computed by both from the same weights. `test_book.py` is the same for the
chapters before.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from llms_from_scratch import appendix_e, ch04
from torch import Tensor, nn

import groundup
from groundup import GPT, ByteTokenizer, GPTConfig, preset
from groundup.adapters import LoRALinear, attach, merge
from groundup.cli import main
from groundup.config import TrainConfig, adapter_shapes, build
from groundup.data.examples import Example
from groundup.evaluate.classification import Classification
from groundup.finetune import Classifier, TextClassifier, classify
from groundup.finetune.classifier.api import InPython
from groundup.finetune.classifier.rows import LabelledRows, class_weights, labelled_rows
from groundup.finetune.classifier.step import ClassifyStep
from groundup.finetune.classifier.text_classifier import scores_of, softmax
from groundup.finetune.settings import DEFAULT_EPOCHS, ClassifierSettings, training_defaults
from groundup.tokenizer import gpt2_tokenizer
from tests.model.helpers import randomise
from tests.test_book import BOOK_124M, PAGE, TINY, TOLERANCE, close
from tests.test_docs import BLOCK

pytestmark = pytest.mark.network  # the page begins with GPT-2's vocabulary

TEXT = PAGE.read_text(encoding="utf-8")
CODE = [code for kind, code in BLOCK.findall(TEXT) if kind == "python"]
END = 50256
LABELS = ("not spam", "spam")


def _chapter6() -> Any:
    """Return the package's chapter 6 without what draws figures, and with a table of ours."""
    missing = {name: ModuleType(name) for name in ("matplotlib", "matplotlib.pyplot", "pandas")}
    with patch.dict(sys.modules, missing):
        return importlib.import_module("llms_from_scratch.ch06")


ch06 = _chapter6()


class Table:
    """What the book's data set asks of a table of pandas."""

    def __init__(self, texts: list[str], labels: list[int]) -> None:
        self.columns = {"Text": texts, "Label": labels}
        pairs = zip(texts, labels, strict=True)
        self.iloc = [{"Text": text, "Label": label} for text, label in pairs]

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.iloc)


def book_rows(texts: list[str], labels: list[int], **settings: Any) -> Any:
    with patch.object(
        ch06, "pd", SimpleNamespace(read_csv=lambda name: Table(texts, labels)), create=True
    ):
        return ch06.SpamDataset("sms.csv", gpt2_tokenizer(), **settings)


def from_book(model: nn.Module, **changes: Any) -> GPT:
    """Return our model with the book's tensors, by the page's own function."""
    namespace: dict[str, Any] = {}
    exec(next(code for code in CODE if "def from_book" in code), namespace)
    made: GPT = namespace["from_book"](model.state_dict(), GPTConfig(**{**TINY, **changes}))
    return made


def as_chapter_6() -> dict[str, Any]:
    """Return the settings that the page calls by this name."""
    for node in (node for code in CODE for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "as_chapter_6":
            settings: dict[str, Any] = ast.literal_eval(node.value)
            return settings
    raise AssertionError("the page has no as_chapter_6")


def pair(bias: bool = True, **changes: Any) -> tuple[Any, Classifier]:
    """Return the book's model with a head for two classes, and ours of the same random tensors."""
    theirs = ch04.GPTModel({**TINY, **changes}).eval()
    randomise(theirs)
    gpt = from_book(theirs, **changes)
    theirs.out_head = nn.Linear(32, 2, bias=bias)
    ours = Classifier(gpt, 2, "last").eval()
    ours.head.weight = nn.Parameter(theirs.out_head.weight.detach().clone())
    return theirs, ours


def lengths(tokens: Tensor) -> Tensor:
    return torch.full((len(tokens),), tokens.shape[1])


@pytest.mark.parametrize(
    ("chapter", "pattern", "numbers"),
    [
        ("## Chapter 6:", r"^\| (\d[\d.]*) ", [f"6.{n}" for n in range(1, 9)]),
        ("## Appendix E:", r"^\| (E\.\d) ", ["E.1", "E.2", "E.3", "E.4"]),
    ],
)
def test_every_heading_has_its_row(chapter: str, pattern: str, numbers: list[str]) -> None:
    section = TEXT.partition(chapter)[2].partition("\n## ")[0]
    table = section.partition("|---|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(pattern, table, re.MULTILINE) == numbers


# 6.2 and 6.3


@pytest.mark.parametrize("max_length", [None, 5])
def test_rows_are_the_books_without_its_padding(max_length: int | None) -> None:
    texts = ["Do you have time", "You have won a prize, call now to claim it", "No"]
    labels = [0, 1, 0]
    theirs = book_rows(texts, labels, max_length=max_length)
    examples = [
        Example(text, LABELS[label], None, "") for text, label in zip(texts, labels, strict=True)
    ]
    ours = labelled_rows(examples, LABELS, gpt2_tokenizer(), theirs.max_length)
    assert ours.ids[0].tolist()[:4] == [5211, 345, 423, 640]  # as section 6.5 prints
    assert len(theirs) == len(ours.ids)
    for (tokens, label), ids, number in zip(theirs, ours.ids, ours.labels, strict=True):
        n_pads = theirs.max_length - len(ids)
        assert tokens.tolist() == [*ids.tolist(), *[END] * n_pads]
        assert label == number
    assert (theirs[2][0] == END).sum() > 2  # its padding is among them


def test_weights_let_each_class_count_alike() -> None:
    counts = np.array([4825, 747])
    weights = class_weights(np.repeat([0, 1], counts), 2, "weights")
    np.testing.assert_allclose(weights * counts, counts.sum() / 2, rtol=1e-6)
    assert f"a spam {weights[1]:.4f} and a ham {weights[0]:.4f}" in " ".join(TEXT.split())


# 6.5


@torch.no_grad()
def test_logits_at_the_last_token_are_the_books() -> None:
    theirs, ours = pair()
    for length in (1, 5, 8):
        tokens = torch.randint(257, (3, length))
        close(ours(tokens, lengths(tokens)) + theirs.out_head.bias, theirs(tokens)[:, -1])


@torch.no_grad()
def test_the_book_reads_a_pad_and_we_the_last_token() -> None:
    theirs, ours = pair(bias=False)
    tokens = torch.randint(256, (1, 8))
    tokens[:, 3:] = 256  # padding
    book, mine = theirs(tokens)[0], ours(tokens, torch.tensor([3]))[0]
    close(mine, book[2])
    assert (mine - book[-1]).abs().max() > 1e-2
    assert (book[-1] - book[-2]).abs().max() > 1e-2  # one pad less, another answer


def test_parameters_are_the_books_but_for_the_bias() -> None:
    with torch.device("meta"):
        theirs = ch04.GPTModel(BOOK_124M | {"qkv_bias": True})
        theirs.out_head = nn.Linear(768, 2)
        ours = Classifier(GPT(preset("gpt2-124m")), 2, "last")
    ours.learn_only("last")
    theirs.requires_grad_(False)
    for part in (theirs.trf_blocks[-1], theirs.final_norm, theirs.out_head):
        part.requires_grad_()
    assert numbers(theirs) == (124_441_346, 7_090_946)
    assert numbers(ours) == (124_441_346 - 2, 7_090_946 - 2)
    assert "{:,}, of which {:,} learn".format(*numbers(ours)) in TEXT


def numbers(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters there are, and how many learn."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


# 6.6


@torch.no_grad()
def test_loss_and_accuracy_are_the_books() -> None:
    theirs, ours = pair(bias=False)
    tokens, labels = torch.randint(257, (24, 8)), torch.randint(2, (24,))
    loss_sum, n = ClassifyStep(ours)(tokens, lengths(tokens), labels, torch.ones(24))
    close(loss_sum / n, ch06.calc_loss_batch(tokens, labels, theirs, "cpu"))
    loader = list(zip(tokens.split(6), labels.split(6), strict=True))
    scores = scores_of(ours, [row.numpy() for row in tokens])
    found = Classification(LABELS, labels.numpy(), softmax(scores))
    assert found.losses.mean() == pytest.approx(
        ch06.calc_loss_loader(loader, theirs, "cpu"), abs=TOLERANCE
    )
    assert found.figures.accuracy == ch06.calc_accuracy_loader(loader, theirs, "cpu")
    assert 0 < found.figures.accuracy < 1


# 6.7


def test_finetuning_is_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = as_chapter_6()
    own = {name: settings.pop(name) for name in ("layers", "pooling")}
    texts = [f"{'ab'[n % 2]}{n:05d}{'ab'[n % 2]}!" for n in range(60)]  # 8 bytes: no padding
    labels = [LABELS[n % 2] for n in range(60)]
    theirs, _ = pair(bias=False)
    gpt = copied(theirs)
    batches, head = in_our_order(gpt, texts, labels, own, settings)
    theirs.out_head.weight = nn.Parameter(head.clone())
    losses = by_the_book(theirs, batches, settings["learning_rate"], monkeypatch)
    before = {name: p.detach().clone() for name, p in gpt.named_parameters()}
    made = classify(
        gpt, ByteTokenizer(), texts, labels, epochs=2, show=False, device="cpu", **own, **settings
    )
    found = [record["train_loss"] for record in made.metrics if "train_loss" in record]
    assert len(found) == len(losses) == len(batches) > 10
    assert found == pytest.approx(losses, abs=TOLERANCE)
    same_walk(made.model.head.weight, theirs.out_head.weight, head)
    after = dict(copied(theirs).named_parameters())
    learnt = {name for name, p in gpt.named_parameters() if not torch.equal(p, before[name])}
    assert learnt == {n for n in before if n.startswith(("blocks.1.", "final_norm."))}
    for name in learnt:
        same_walk(gpt.get_parameter(name), after[name], before[name])


def same_walk(mine: Tensor, theirs: Tensor, start: Tensor) -> None:
    """Check that both went the same way from where they started."""
    moved = (theirs - start).abs().mean()
    assert moved > 0
    # AdamW makes a step of any gradient, of one that is nearly rounding error, too.
    assert (mine - theirs).abs().mean() < 1e-4 * moved


def copied(theirs: Any) -> GPT:
    """Return our model with copies of the book's tensors, whose head stays behind."""
    whole = ch04.GPTModel(TINY)
    own = {k: v.clone() for k, v in theirs.state_dict().items() if not k.startswith("out_head.")}
    whole.load_state_dict(own, strict=False)
    return from_book(whole)


def in_our_order(
    gpt: GPT, texts: list[str], labels: list[str], own: dict[str, Any], settings: dict[str, Any]
) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Return the batches of two passes as `classify` makes them, and where its head starts."""
    examples = [Example(text, label, None, "") for text, label in zip(texts, labels, strict=True)]
    train = build(TrainConfig, training_defaults("last") | settings | {"epochs": 2})
    job = InPython(gpt, ByteTokenizer(), examples, ClassifierSettings(**own), train)
    size = train.batch_size
    rows = LabelledRows(job.train_rows, np.ones(2, np.float32), size, train.seed)
    n_steps = -(-2 * rows.n_rows // size)
    arrays = [rows.rows(step * size, size).arrays for step in range(n_steps)]
    batches = [(torch.from_numpy(a["tokens"]), torch.from_numpy(a["labels"])) for a in arrays]
    return batches, Classifier(gpt, 2, "last", train.seed).head.weight.detach().clone()


def by_the_book(
    model: Any,
    batches: list[tuple[Tensor, Tensor]],
    rate: float,
    monkeypatch: pytest.MonkeyPatch,
) -> list[float]:
    """Let the book's loop make a pass over `batches`, and return the loss of each step."""
    losses: list[float] = []

    def watched(*given: Any) -> Tensor:
        loss: Tensor = batch_loss(*given)
        if model.training:
            losses.append(loss.item())
        return loss

    batch_loss = ch06.calc_loss_batch
    monkeypatch.setattr(ch06, "calc_loss_batch", watched)
    model.requires_grad_(False)
    for part in (model.trf_blocks[-1], model.final_norm, model.out_head):
        part.requires_grad_()
    # The book's one setting without a counterpart: what is not a matrix does not decay here.
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in learning if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in learning if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=rate,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        ch06.train_classifier_simple(model, batches, batches, optimizer, "cpu", 1, 1000, 1)
    return losses


# 6.8


def test_a_text_is_what_the_book_says_it_is() -> None:
    theirs, ours = pair(bias=False)
    nn.init.zeros_(theirs.final_norm.shift)  # of both, or all texts are one class
    classifier = TextClassifier(ours, ByteTokenizer(), LABELS, max_length=8)
    texts = ["abc"[: n % 4] + chr(33 + 2 * n) for n in range(40)]
    mine = [prediction.label for prediction in classifier.predict(texts)]
    book = [
        ch06.classify_review(text, theirs, ByteTokenizer(), "cpu", max_length=len(text))
        for text in texts
    ]
    assert mine == book
    assert set(mine) == set(LABELS)


# Appendix E


@torch.no_grad()
def test_a_layer_with_lora_is_the_books_but_for_its_scale() -> None:
    linear = nn.Linear(12, 20)
    theirs = appendix_e.LinearWithLoRA(linear, rank=4, alpha=3.0)
    ours = LoRALinear(linear, 4, 4 * 3.0, torch.Generator())
    x = torch.randn(5, 12)
    close(ours(x), theirs(x))  # B is 0
    as_theirs(ours, theirs)
    close(ours(x), theirs(x))
    close(ours.merged()(x), theirs(x))
    assert (ours(x) - linear(x)).abs().max() > 1e-2


def as_theirs(ours: LoRALinear, theirs: Any) -> None:
    """Give both the same random thin matrices, which the book keeps the other way round."""
    nn.init.normal_(theirs.lora.B, std=0.2)
    ours.lora_a.data, ours.lora_b.data = theirs.lora.A.data.T, theirs.lora.B.data.T


@torch.no_grad()
def test_a_model_with_lora_is_the_books() -> None:
    theirs, ours = pair(bias=False)
    appendix_e.replace_linear_with_lora(theirs, rank=4, alpha=0.5)
    attach(ours.gpt, "lora", rank=4, alpha=4 * 0.5, seed=1)
    layers = {
        "att.W_query": "attn.query", "att.W_key": "attn.key", "att.W_value": "attn.value",
        "att.out_proj": "attn.out", "ff.layers.0": "ffn.up", "ff.layers.2": "ffn.down",
    }  # fmt: skip
    n_adapted = 0
    for book, mine in zip(theirs.trf_blocks, ours.gpt.blocks, strict=True):
        for name, our_name in layers.items():
            layer = mine.get_submodule(our_name)
            assert isinstance(layer, LoRALinear)
            as_theirs(layer, book.get_submodule(name))
            n_adapted += 1
    assert n_adapted == sum(isinstance(module, LoRALinear) for module in ours.modules())
    tokens = torch.randint(257, (3, 8))
    before = ours(tokens, lengths(tokens))
    close(before, theirs(tokens)[:, -1])
    merge(ours.gpt)
    close(ours(tokens, lengths(tokens)), before)


def test_what_learns_with_lora_differs_by_the_head() -> None:
    with torch.device("meta"):
        theirs = ch04.GPTModel(BOOK_124M | {"qkv_bias": True})
        theirs.out_head = nn.Linear(768, 2)
        theirs.requires_grad_(False)
        appendix_e.replace_linear_with_lora(theirs, rank=16, alpha=16)
    _, learn = numbers(theirs)
    blocks = sum(int(np.prod(s)) for s in adapter_shapes(preset("gpt2-124m"), "lora", 16).values())
    head = sum(p.numel() for p in theirs.out_head.lora.parameters())
    assert (learn, head) == (2_666_528, 12_320)
    assert blocks == learn - head
    words = " ".join(TEXT.split())
    assert f"{learn:,} parameters learn, {blocks:,} in the blocks and {head:,} beside" in words
    assert f"{blocks:,} and {2 * 768:,} make {blocks + 2 * 768:,}" in words


# The commands, and what is otherwise by default


def test_defaults_are_those_of_the_table() -> None:
    epochs = {layers: f"{n:g}" for layers, n in DEFAULT_EPOCHS.items()}
    row = "| passes | 5 | {all}; {last} with `last`, {head} with `head` |".format(**epochs)
    assert row in TEXT
    sizes = {layers: training_defaults(layers)["batch_size"] for layers in ("all", "head")}
    batch = "| batch | 8 texts | {all} texts, of about the same length; {head} with `head` |"
    assert batch.format(**sizes) in TEXT
    assert f"`head`: {training_defaults('head')['learning_rate']}" in TEXT
    assert ClassifierSettings().layers == "all"


@pytest.fixture
def signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def commands(*chapters: str) -> list[str]:
    """Return the commands of the chapters that begin so, in their order."""
    sections = [TEXT.partition(f"## {chapter}:")[2].partition("\n## ")[0] for chapter in chapters]
    blocks = [code for section in sections for kind, code in BLOCK.findall(section) if kind == "sh"]
    return "".join(blocks).replace("\\\n", " ").splitlines()


def carry_out(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run commands here, but for those that fetch a model; return what they printed."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    printed = io.StringIO()
    for line in lines:
        words = shlex.split(line)
        if words[0] != "groundup":
            subprocess.run(["sh", "-c", line], check=True)
        elif words[1] != "import":  # GPT-2's weights
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(printed):
                main()
            assert ended.value.code == 0
    return printed.getvalue()


@pytest.mark.usefixtures("signals")
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = ('ham\tI am "at" the station, {}\n', "spam\tYou have won ${}, call now\n")
    Path("SMSSpamCollection.tsv").write_text("".join(said[n % 3 == 0].format(n) for n in range(40)))
    tied = GPTConfig(**{**TINY, "context_length": 120, "tie_embeddings": True})
    groundup.save(GPT(tied), ByteTokenizer(), "runs/gpt2")
    printed = carry_out(commands("Chapter 6", "Appendix E"), monkeypatch)
    for name in ("spam", "spam-lora"):
        assert Path("runs", name, "classification.json").is_file()
    assert re.search(r"(ham|spam) +\d+\.\d%.*tonight", printed)
