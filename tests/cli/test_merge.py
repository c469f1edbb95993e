"""`groundup train --method`, `merge`, and adapters out and in, as a user would call them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Groundup

SHORT = [word for pair in ("sample_tokens=0", "threads=1") for word in ("--set", pair)]


def test_adapters_are_learnt_merged_and_quantised(groundup: Groundup, trained: Path) -> None:
    learn = ["train", "story.txt", "--from", trained, "--method", "lora", "--run", "tuned"]
    assert groundup(*learn, "--steps", "3", *SHORT).status == 0
    merged = groundup("merge", "tuned")
    assert merged.out.startswith("Merged    runs/tuned-merged: step "), merged.err
    assert f" of runs/tuned and {trained}, " in merged.out
    words = ["It was", "--max-tokens", "12", "--temperature", "0"]
    ours = groundup("generate", "tuned", *words).out
    assert groundup("generate", "tuned-merged", *words).out == ours
    smaller = groundup("merge", "tuned", "--bits", "8")
    assert "Quantized runs/tuned-int8: 8 bits" in smaller.out, smaller.err
    assert "before" in smaller.out.partition("Loss")[2]
    told = json.loads(groundup("merge", "tuned", "--to", "other", "--json").out)
    assert (told["path"], told["base"]) == ("other", str(trained))
    listed = groundup("runs").out
    assert "saved" in listed
    assert "quantized" in listed
    assert not list(Path("runs").glob(".*"))


def test_what_cannot_be_is_one_line(groundup: Groundup, trained: Path) -> None:
    assert "there is nothing to merge" in groundup("merge", trained).error
    assert "give the run to learn beside" in groundup("train", "--method", "lora").error
    asked = groundup("train", "story.txt", "--from", trained, "--method", "qlora")
    assert "expected one of full, lora, dora" in asked.error
    assert "holds no adapters" in groundup("export", trained, "out", "--format", "peft").error
    asked = groundup("export", trained, "out", "--format", "peft", "--license", "mit")
    assert "an adapter has no model card" in asked.error
    assert "no adapter_config.json in it" in groundup("import", "runs", "--from", trained).error
    Path("theirs").mkdir()
    Path("theirs/adapter_config.json").write_text("{}")
    assert "is no model by itself" in groundup("import", "theirs").error
    assert "r = None: expected a number" in groundup("import", "theirs", "--from", trained).error
    assert not Path("out").exists()
