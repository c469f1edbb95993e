"""`groundup import` and `groundup export`, as a user would call them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from llms_from_scratch.ch04 import GPTModel

from tests.cli.conftest import Groundup

BOOK = {
    "vocab_size": 50257, "context_length": 8, "emb_dim": 8, "n_layers": 1, "drop_rate": 0.0,
    "qkv_bias": False,
}  # fmt: skip


def test_there_and_back(groundup: Groundup, trained: Path) -> None:
    out = groundup("export", trained, "out", "--license", "mit")
    assert "Verified  read back; largest difference of logits" in out.out
    assert "license: mit" in Path("out/README.md").read_text(encoding="utf-8")
    assert "Validation loss" in Path("out/README.md").read_text(encoding="utf-8")
    back = groundup("import", "out")
    assert back.out.startswith("Imported  runs/out: ")
    words = ["It was", "--max-tokens", "12", "--temperature", "0"]
    assert groundup("generate", "runs/out", *words).out == groundup("generate", trained, *words).out
    listed = groundup("runs").out
    assert "imported" in listed


def test_gguf_and_json(groundup: Groundup, trained: Path) -> None:
    done = groundup("export", trained, "out.gguf", "--json")  # the name says the format
    result = json.loads(done.out)
    assert result["difference"] < 1e-4
    assert Path("out.gguf").stat().st_size == result["size_bytes"]
    assert Path("out.gguf").read_bytes()[:4] == b"GGUF"
    again = groundup("import", "out.gguf", "again", "--no-verify", "--json")
    assert json.loads(again.out)["difference"] is None


def test_training_on_from_an_import(groundup: Groundup, trained: Path) -> None:
    groundup("export", trained, "out", "--format", "safetensors")
    groundup("import", "out", "runs/base")
    settings = ["--set", "sample_tokens=0", "--set", "threads=1"]
    done = groundup("train", "story.txt", "--from", "runs/base", "--steps", "2", *settings)
    assert done.status == 0, done.err
    assert Path("runs/story-base/run.toml").is_file()
    refused = groundup("train", "story.txt", "--run", "base", "--steps", "2", *settings)
    assert "--from" in refused.error


def test_a_book_s_file_comes_in_by_the_command_that_its_refusal_names(
    groundup: Groundup,
) -> None:
    model = GPTModel({**BOOK, "n_heads": 2})
    torch.save(model.state_dict(), "model.pth")
    refused = groundup("import", "model.pth", "runs/book")
    told = refused.error.partition("; the whole command: ")[2]
    assert told == (
        "groundup import model.pth runs/book --trust-pickle --tokenizer gpt2 --set 'n_heads=?'"
    )
    behind = groundup("import", "--", "model.pth", "runs/book").error
    assert behind.endswith("--set 'n_heads=?' -- model.pth runs/book")
    _, *words = shlex.split(told.replace("?", "2"))
    assert groundup(*words).out.startswith("Imported  runs/book: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "nowhere"], "no such file or folder"),
        (["import", "story.txt"], "no model format"),
        (["import", "pickle.pt"], "--trust-pickle"),
        (["import", "pickle.pt", "--set", "n_head=4"], "did you mean 'n_heads'?"),
        (["import", "pickle.pt", "--merge"], "--merge: pickle.pt is no adapter's folder"),
        (["import", "out", "--from", "base", "--set", "n_heads=4"], "--set: an adapter has"),
        (["import", "out", "--from", "base", "--tokenizer", "gpt2"], "--tokenizer: an adapter has"),
        (["import", "runs/story-pico", "new"], "is a run folder already"),
        (["import", "story.txt", "new", "--tokenizer", "chars"], "--tokenizer chars"),
        (["generate", "story.txt", "hi"], "'groundup import story.txt' makes one"),
        (["export", "nowhere", "out"], "is not a run folder"),
        (["export", "runs/story-pico", "out", "--format", "onx"], "format 'onx'"),
        (["export", "runs/story-pico", "out", "--dtype", "int4"], "dtype 'int4'"),
        (["export", "runs/story-pico", "."], "this very folder; give the name of a new one"),
        (
            ["train", "story.txt", "--from", "runs/story-pico", "--preset", "pico"],
            "--preset with --from",
        ),
        (["train", "story.txt", "--from", "nowhere"], "is not a run folder"),
    ],
)
def test_wrong_words_are_one_line(
    groundup: Groundup, trained: Path, words: list[str], said: str
) -> None:
    Path("pickle.pt").write_bytes(b"PK\x03\x04" + bytes(50))
    before = sorted(Path().iterdir())
    done = groundup(*words)
    assert done.status in (1, 2)
    assert said in done.error
    assert sorted(Path().iterdir()) == before


def test_a_checkpoint_with_what_its_tensors_do_not_tell(groundup: Groundup, trained: Path) -> None:
    weights = weights_of_the_book(n_layers=2, width=8, vocab_size=257)
    torch.save({"model_state_dict": weights}, "model.pth")
    words = ("import", "model.pth", "--trust-pickle", "--tokenizer", "bytes")
    asked = groundup(*words)
    assert asked.status == 2
    assert "its tensors do not tell n_heads" in asked.error
    done = groundup(*words, "--set", "n_heads=2", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["difference"] == 0
    assert Path("runs/model/run.toml").is_file()


def weights_of_the_book(n_layers: int, width: int, vocab_size: int) -> dict[str, torch.Tensor]:
    """Return a state dict with the names of the book's GPTModel."""
    shapes: dict[str, tuple[int, ...]] = {
        "tok_emb.weight": (vocab_size, width),
        "pos_emb.weight": (16, width),
        "final_norm.scale": (width,),
        "final_norm.shift": (width,),
        "out_head.weight": (vocab_size, width),
    }
    for at in (f"trf_blocks.{layer}" for layer in range(n_layers)):
        shapes |= {
            f"{at}.att.W_{name}.weight": (width, width) for name in ("query", "key", "value")
        }
        for name, rows, columns in (
            ("att.out_proj", width, width),
            ("ff.layers.0", 4 * width, width),
            ("ff.layers.2", width, 4 * width),
        ):
            shapes |= {f"{at}.{name}.weight": (rows, columns), f"{at}.{name}.bias": (rows,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"{at}.{name}.scale": (width,), f"{at}.{name}.shift": (width,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}
