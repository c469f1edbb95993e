"""docs/book.md keeps its word on chapter 7: beside the book's own package.

S. Raschka, "Build a Large Language Model (From Scratch)", 2024. Figures that the book prints are
written out; all else is computed by both from the same weights. `test_book.py` and
`test_book_finetuning.py` are the same for the chapters before.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llms_from_scratch import appendix_e, ch04, ch07
from torch import Tensor

import groundup
from groundup import GPT, ByteTokenizer, GPTConfig, preset
from groundup.config import TrainConfig, adapter_shapes
from groundup.data.batch import IGNORED
from groundup.data.dialogue import Dialogue, PlainText
from groundup.finetune.assistant.dialogue_rows import learnable
from groundup.finetune.assistant.packing import PackedRows
from groundup.finetune.replies.run import InstructRun
from groundup.finetune.replies.step import InstructStep
from groundup.finetune.settings import INSTRUCT_EPOCHS, MAX_LENGTH, instruct_defaults
from groundup.generate import ChatTemplate, DialogueIds, encode_dialogues, write_replies
from groundup.optim.step import plain_loss
from groundup.runs.record import read_run
from groundup.tokenizer import Tokenizer, gpt2_tokenizer
from tests.finetune.instructing import carry_out as train_instructed
from tests.finetune.instructing import request, write_records
from tests.model.helpers import randomise
from tests.test_book import BOOK_124M, TINY, TOLERANCE, by_the_book, ch05, close
from tests.test_book_finetuning import (
    CODE,
    END,
    TEXT,
    carry_out,
    commands,
    from_book,
    numbers,
    same_walk,
    signals,
)

pytestmark = pytest.mark.network  # the page begins with GPT-2's vocabulary

__all__ = ["signals"]  # a fixture

BYTES_END = 256
ENTRIES = [
    {"instruction": "Use a simile.", "input": "He runs fast.", "output": "He runs as the wind."},
    {"instruction": "What is an antonym of 'hot'?", "input": "", "output": "It is 'cold'."},
    {"instruction": "Add.", "input": "1, 2", "output": "3"},
]
THREE = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
"""The rows on which section 7.3 shows what it pads."""

Pairs = list[tuple[Tensor, Tensor]]


class Listed:
    """A tokenizer as the book asks one: it gives lists."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self.tokenizer.encode_array(text)]


def of_page(*names: str) -> dict[str, Any]:
    """Return what the page calls by these names, without running all of it."""
    namespace: dict[str, Any] = {}
    for node in (node for code in CODE for node in ast.parse(code).body):
        named = isinstance(node, ast.FunctionDef) and node.name in names
        named |= isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in names
        if named:
            exec(compile(ast.Module([node], []), "book.md", "exec"), namespace)
    return {name: namespace[name] for name in names}


def template() -> ChatTemplate:
    """Return the page's template, with what the book's text begins with."""
    begin = ch07.format_input(dict.fromkeys(ENTRIES[0], "")).partition("### ")[0]
    return ChatTemplate(f"{{{{- {json.dumps(begin)} }}}}{of_page('ALPACA')['ALPACA']}")


def talks() -> list[Dialogue]:
    """Return the entries as the page makes dialogues of them."""
    messages = of_page("as_in_the_book")["as_in_the_book"]
    return [Dialogue(tuple(messages(entry)), "") for entry in ENTRIES]


def book_ids(tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of the entries as the book's data set makes them."""
    return list(ch07.InstructionDataset(ENTRIES, Listed(tokenizer)))


def whole(rows: Sequence[Sequence[int]], end: int = END) -> list[DialogueIds]:
    """Return rows of ids of which all count, with their end."""
    ended = [np.array([*row, end], np.uint32) for row in rows]
    return [DialogueIds(ids, np.ones(len(ids), np.bool_), 0) for ids in ended]


def batch_of(rows: Sequence[DialogueIds], capacity: int) -> dict[str, Tensor]:
    """Return all rows, packed, as one batch."""
    source = PackedRows(rows, capacity, 1, seed=1)
    arrays = source.rows(0, source.n_rows).arrays
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def pair() -> tuple[Any, GPT]:
    """Return the book's model and ours of the same random tensors; they see 512 bytes."""
    wide = {"context_length": 512}
    theirs = ch04.GPTModel(TINY | wide).eval()
    randomise(theirs)
    return theirs, from_book(theirs, **wide)


def test_every_heading_has_its_row() -> None:
    section = TEXT.partition("## Chapter 7:")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (7[\d.]*) ", section.partition("\n\n### ")[0], re.MULTILINE)
    assert found == [*(f"7.{n}" for n in range(1, 10)), "7.9.1", "7.9.2", "7.9.3"]


# 7.2


def test_the_text_of_a_record_is_the_books() -> None:
    tokenizer = gpt2_tokenizer()
    texts = template().render_all([one.messages for one in talks()])
    assert texts == [
        f"{ch07.format_input(entry)}\n\n### Response:\n{entry['output']}" for entry in ENTRIES
    ]
    found = encode_dialogues(template(), tokenizer, [one.messages for one in talks()])
    for ours, theirs, entry in zip(found, book_ids(tokenizer), ENTRIES, strict=True):
        assert ours.ids.tolist() == [*theirs, END]
        assert ours.ids[:3].tolist() == [21106, 318, 281]  # as section 7.4 prints
        assert tokenizer.decode(ours.ids[ours.counts][:-1]) == entry["output"]
        assert ours.ids[ours.counts][-1] == END


# 7.3 and 7.4


def test_what_a_third_class_adds_is_the_books() -> None:
    answers = torch.tensor([[-1.0, 1.0], [-0.5, 1.5], [-0.5, 1.5]])
    printed = []
    for classes in (torch.tensor([0, 1, IGNORED]), torch.tensor([0, 1, 1])):
        summed = plain_loss(answers, torch.eye(2), classes)
        printed.append(f"{summed / (classes != IGNORED).sum():.4f}")
        close(
            summed / 2 if IGNORED in classes else summed / 3,
            torch.nn.functional.cross_entropy(answers, classes),
        )
    assert printed == ["1.1269", "0.7936"]


def test_targets_are_the_books() -> None:
    tokens, targets = ch07.custom_collate_fn(THREE)
    assert targets.tolist() == [
        [1, 2, 3, 4, END],
        [6, END, IGNORED, IGNORED, IGNORED],
        [8, 9, END, IGNORED, IGNORED],
    ]
    batch = batch_of(whole(THREE), capacity=5)
    kept = targets != IGNORED
    for name, theirs in (("tokens", tokens), ("targets", targets)):
        first, second, third = (row[k].tolist() for row, k in zip(theirs, kept, strict=True))
        assert sorted(batch[name].tolist()) == [first, [*third, *second]]
    assert (batch["targets"] != IGNORED).all()


@pytest.mark.parametrize("max_length", [1000, 12])
def test_a_plain_text_counts_as_in_the_book(max_length: int) -> None:
    texts = ["a short one", "another one, rather longer", "no"]
    tokens, targets = ch07.custom_collate_fn(
        [Listed(ByteTokenizer()).encode(text) for text in texts],
        pad_token_id=BYTES_END,
        allowed_max_length=max_length,
    )
    entries = [PlainText(text, "") for text in texts]
    ours = learnable(entries, template(), ByteTokenizer(), max_length).rows
    for row, inputs, expected in zip(ours, tokens, targets, strict=True):
        kept = expected != IGNORED
        assert row.ids[:-1].tolist() == inputs[kept].tolist()
        assert row.ids[1:].tolist() == expected[kept].tolist()
        assert row.counts.all()


# 7.6


@torch.no_grad()
@pytest.mark.parametrize("capacity", [300, 512], ids=["alone", "packed"])
@pytest.mark.parametrize("masked", [False, True], ids=["all counts", "replies count"])
def test_the_loss_is_the_books_where_the_same_targets_count(capacity: int, masked: bool) -> None:
    theirs, ours = pair()
    tokenizer = ByteTokenizer()
    ids = book_ids(tokenizer)
    tokens, targets = ch07.custom_collate_fn(ids, pad_token_id=BYTES_END)
    rows = whole(ids, BYTES_END)
    if masked:
        rows = learnable(talks(), template(), tokenizer, 512).rows
        for row, entry in zip(targets, ENTRIES, strict=True):
            head = f"{ch07.format_input(entry)}\n\n### Response:\n"
            row[: len(head.encode()) - 1] = IGNORED
    batch = batch_of(rows, capacity)
    # Of replies, what all begin with is there once, so that a row takes all three.
    assert len(batch["tokens"]) == (1 if masked else 3 if capacity == 300 else 2)
    loss_sum, n_targets = InstructStep(ours)(**batch)
    assert n_targets == (targets != IGNORED).sum()
    close(loss_sum / n_targets, ch05.calc_loss_batch(tokens, targets, theirs, "cpu"))


def settings_of_chapter_7() -> dict[str, Any]:
    """Return what the page's command sets."""
    (line,) = [line for line in commands("Chapter 7") if " finetune " in line]
    pairs = dict(re.findall(r"--set (\w+)=(\S+)", line))
    return {k: v if v.isalpha() else ast.literal_eval(v) for k, v in pairs.items()}


def test_finetuning_is_the_books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    theirs = ch04.GPTModel(TINY)
    start = {name: p.detach().clone() for name, p in from_book(theirs).named_parameters()}
    said = "{% for m in messages %}{{ m.content }}{% endfor %}"  # nothing is: these are texts
    groundup.save(from_book(theirs), ByteTokenizer(), tmp_path / "base", chat_template=said)
    texts = [{"text": f"{'ab'[n % 2]}{n:05d}{'ab'[n % 2]}!"} for n in range(60)]  # 8 bytes
    write_records(tmp_path / "records.jsonl", texts)
    settings = settings_of_chapter_7() | {"batch_size": 8, "learning_rate": 5e-3}
    asked = request(tmp_path / "run", **settings, weight_decay=0.1, steps=12)
    batches = in_our_order(InstructRun(asked), asked.train)
    losses = by_the_book(theirs, batches, 5e-3, 0.1, monkeypatch, passes=1)
    run = train_instructed(asked).folder
    found = [line["train_loss"] for line in read_run(run.path).rows if "train_loss" in line]
    assert len(found) == len(losses) == 12
    assert found == pytest.approx(losses, abs=TOLERANCE)
    mine, after = (
        groundup.load(run.path, checkpoint=12).model,
        dict(from_book(theirs).named_parameters()),
    )
    for name, p in mine.named_parameters():
        same_walk(p, after[name], start[name])


def in_our_order(job: InstructRun, train: TrainConfig) -> Pairs:
    """Return the batches of all steps as the job makes them, padded by the book."""
    source, found = job.source(train), Pairs()
    for step in range(train.steps or 0):
        arrays = source.rows(step * train.batch_size, train.batch_size).arrays
        assert (arrays["positions"] == np.arange(8)).all(), "a text fills its row"
        rows = [row.tolist() for row in arrays["tokens"]]
        tokens, targets = ch07.custom_collate_fn(rows, pad_token_id=BYTES_END)
        assert targets.tolist() == arrays["targets"].tolist()
        found.append((tokens, targets))
    return found


# 7.7


def test_replies_are_the_books_behind_the_heading() -> None:
    theirs, ours = pair()
    questions = [one.messages[:-1] for one in talks()]
    prompts = [f"{ch07.format_input(entry)}\n\n### Response:\n" for entry in ENTRIES]
    assert template().render(questions[0]) == prompts[0]
    n_tokens = 30
    starts = [torch.tensor([Listed(ByteTokenizer()).encode(prompt)]) for prompt in prompts]
    written = [
        ch05.generate(theirs, ids, n_tokens, 512)[0, ids.shape[1] :].tolist() for ids in starts
    ]
    end = written[0][-1]  # a byte that comes ends them, as random weights do not end by themselves
    tokenizer = ByteTokenizer().ending(end)
    replies = write_replies(ours, tokenizer, template(), questions, max_tokens=n_tokens)
    for ids, reply in zip(starts, replies, strict=True):
        book = ch05.generate(theirs, ids, n_tokens, 512, eos_id=end)[0, ids.shape[1] :].tolist()
        assert list(reply.ids) == ([*book, end] if reply.ended else book)
    assert replies[0].ended


# Exercise 7.4


def test_what_learns_with_lora_differs_by_the_head() -> None:
    medium = {"emb_dim": 1024, "n_layers": 24, "n_heads": 16, "qkv_bias": True}
    with torch.device("meta"):
        theirs = ch04.GPTModel(BOOK_124M | medium)
        assert numbers(theirs)[0] == 406_286_336
        theirs.requires_grad_(False)
        appendix_e.replace_linear_with_lora(theirs, rank=16, alpha=16)
    _, learn = numbers(theirs)
    blocks = sum(int(np.prod(s)) for s in adapter_shapes(preset("gpt2-355m"), "lora", 16).values())
    head = sum(p.numel() for p in theirs.out_head.lora.parameters())
    assert learn == 7_898_384 == blocks + head
    words = " ".join(TEXT.split())
    assert f"{learn:,} parameters learn in the book, {blocks:,} in the blocks and {head:,}" in words


# The commands, and what is otherwise by default


def test_defaults_are_those_of_the_table() -> None:
    table = TEXT.partition("### Defaults of instruction finetuning")[2]
    rows = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE))
    default = TrainConfig(**instruct_defaults())
    assert default.optimizer == "adamw"
    assert rows["passes"] == f"{INSTRUCT_EPOCHS:g}"
    assert rows["longest text"] == f"{MAX_LENGTH:,} tokens"
    assert rows["batch"] == f"{default.batch_size} rows of packed texts"
    assert rows["betas"] == f"{default.beta1}, {default.beta2}"
    assert rows["gradient clipping"] == f"norm of {default.grad_clip:g}"


@pytest.mark.usefixtures("signals")
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = of_page("ALPACA", "numbers", "entries")
    Path("alpaca.jinja").write_text(page["ALPACA"])
    Path("instruction-data.json").write_text(json.dumps(page["entries"]))
    tied = GPTConfig(**{**TINY, "context_length": 1024, "tie_embeddings": True})
    groundup.save(GPT(tied), ByteTokenizer(), "runs/gpt2-medium")
    lines = commands("Chapter 7")
    assert shlex.split(lines[-1])[:2] == ["groundup", "chat"]
    carry_out(lines[:-1], monkeypatch)
    judged = json.loads(Path("runs/instructed/assistant.json").read_text())
    assert judged["asked"]["questions"] == 6
    replies = Path("runs/instructed/replies.jsonl").read_text().splitlines()
    assert len(replies) == 6
    assert Path("runs/instructed/chat_template.jinja").read_text() == page["ALPACA"]
