"""Runs that were made in Python, by `save` or `train(run=...)`, and every verb that takes one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from groundup import GPT, BPETokenizer, GPTConfig, save
from groundup.train import train
from tests.cli.conftest import Groundup

TEXT = "the cat sat on the mat. the dog sat on the log. " * 20
SETTINGS = ["--set", "sample_tokens=0", "--set", "threads=1"]


@pytest.fixture
def made(groundup: Groundup) -> list[str]:
    """Two run folders in the working folder, one of each kind."""
    torch.manual_seed(0)
    tokenizer = BPETokenizer.train([TEXT], 270)
    model = GPT(GPTConfig(vocab_size=270, context_length=16, emb_dim=32, n_heads=2, n_layers=1))
    Path("story.txt").write_text(TEXT)
    train(model, tokenizer, TEXT, steps=2, sample_tokens=2, run="runs/kept", show=False)
    return ["runs/kept", str(save(model, tokenizer, "runs/saved"))]


def test_every_verb_takes_them(groundup: Groundup, made: list[str]) -> None:
    written = [groundup("generate", run, "the", "--max-tokens", "4", "--seed", "1") for run in made]
    assert written[0].out == written[1].out
    losses = [groundup("evaluate", run, "--text", "story.txt", "--json").out for run in made]
    assert "bits_per_byte" in losses[0]
    for run in made:
        name = Path(run).name
        assert groundup("chat", run, stdin="the\n").status == 0
        assert "--text FILE" in groundup("evaluate", run).error
        assert "difference of logits" in groundup("export", run, f"hf-{name}").out
        assert groundup("export", run, f"{name}.gguf").status == 0
        assert groundup("report", run).status == 0
        assert groundup("quantize", run, "--text", "story.txt", "--limit", "1").status == 0
        words = ["--from", run, "--run", f"on-{name}", "--steps", "1"]
        assert groundup("train", "story.txt", *words, *SETTINGS).status == 0
    listed = groundup("runs").out
    assert "saved" in listed
    assert "finished" in listed
    assert "kept" in groundup("compare", *made).out


def test_the_command_line_does_not_go_on_with_them(groundup: Groundup, made: list[str]) -> None:
    tiny = ["emb_dim=32", "n_heads=2", "n_layers=1", "context_length=16"]
    words = [word for setting in tiny for word in ("--set", setting)]
    words += ["--tokenizer", "bytes", "--steps", "2", "--preset", "pico"]
    kept = groundup("train", "story.txt", "--run", "kept", *words)
    assert "runs/kept holds a run with other settings" in kept.error
    saved = groundup("train", "story.txt", "--run", "saved", *words)
    assert "holds a model that was imported or saved" in saved.error


def test_what_only_python_can_do_is_said(groundup: Groundup, made: list[str]) -> None:
    kept = made[0]
    for words in (["resume", kept], ["train", "--run", "kept"]):
        refused = groundup(*words)
        assert refused.status == 2
        assert "was trained in Python" in refused.error
        assert "train(model, tokenizer, text, run='runs/kept', ...)" in refused.error
    assert "give --text FILE or --tasks" in groundup("evaluate", kept).error
    assert groundup("quantize", kept).error.rstrip().endswith("give --text FILE")
