"""Which number format trains faster is measured once on a machine, and then known."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPTConfig
from groundup.config import TrainConfig
from groundup.train import probe
from groundup.train.choices import choose

WIDE = GPTConfig(emb_dim=256, n_heads=4, n_layers=2, context_length=64, vocab_size=100)


@pytest.fixture
def gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Let bf16 gain here what the test says, and keep what is found in its folder."""
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    told = {"products": 2.0, "layer": 1.6, "muon": 2.0}
    monkeypatch.setattr(probe, "gain_of_bf16", lambda work: told["products"])
    monkeypatch.setattr(probe, "layer_gain", lambda *asked: told["layer"])
    monkeypatch.setattr(probe, "muon_gain", lambda width: told["muon"])
    return told


def test_what_was_measured_once_holds(gains: dict[str, float]) -> None:
    first = probe.cpu_precision(WIDE, 4)
    assert first == ("bf16", "a layer of this model trains 1.6 times as fast in bf16 here")
    gains |= {"products": 1.0, "layer": 1.0}  # another program uses the CPU
    assert probe.cpu_precision(WIDE, 4) == first
    assert probe.cpu_precision(WIDE, 1)[0] == "fp32"  # of which nothing is known
    assert probe.cpu_precision(WIDE.replace(emb_dim=512), 4)[0] == "fp32"


def test_products_that_gain_nothing_are_known_too(gains: dict[str, float]) -> None:
    gains["products"] = 1.1
    said = probe.cpu_precision(WIDE, 4)
    assert said == ("fp32", "bf16 products run at 1.1 times the rate of fp32 here")
    gains["products"] = 9.0
    assert probe.cpu_precision(WIDE, 4) == said


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"x": 1}', "[1", '{"NAME": {"products": 2}}', '{"NAME": "a"}']
)
def test_a_damaged_file_is_measured_anew(gains: dict[str, float], text: str) -> None:
    probe.cpu_precision(WIDE, 4)
    path = probe._path()
    name = path.read_text().split('"')[1]
    path.write_text(text.replace("NAME", name))
    gains["products"] = 1.0
    assert probe.cpu_precision(WIDE, 4)[0] == "fp32"
    gains["products"] = 2.0
    assert probe.cpu_precision(WIDE, 4)[0] == "fp32"


def test_muon_s_products_have_a_format_of_their_own(gains: dict[str, float]) -> None:
    gains["layer"] = 1.0
    open_ = TrainConfig(device="cpu", threads=1, products="default")
    chosen = choose(open_, WIDE)
    assert (chosen.config.precision, chosen.config.muon_precision) == ("fp32", "bf16")
    said = "Muon's products run 2.0 times as fast in bf16 here"
    assert chosen.reasons["muon_precision"] == said
    gains["muon"] = 0.9  # another program uses the CPU
    assert choose(open_, WIDE).config.muon_precision == "bf16"
    assert choose(open_, WIDE.replace(emb_dim=512)).config.muon_precision == "fp32"
    as_it_is: list[dict[str, Any]] = [
        {"exact": "on"},
        {"optimizer": "adamw"},
        {"muon_precision": "fp32"},
    ]
    for given in as_it_is:
        assert choose(replace(open_, **given), WIDE).config.muon_precision == "fp32"
    narrow = replace(open_, precision="bf16")
    assert choose(narrow, WIDE.replace(emb_dim=512)).config.muon_precision == "bf16"


def test_each_is_really_timed() -> None:
    found = [probe.layer_gain(WIDE, (2, 64)), probe.muon_gain(64)]
    assert all(0.01 < gain < 100 for gain in found)


def test_other_programs_change_nothing() -> None:
    """Work of which bf16 takes half, beside as many busy processes as there are cores, and more."""
    size = {torch.float32: 400_000, torch.bfloat16: 200_000}
    spin = "import time; end = time.time() + 20\nwhile time.time() < end: pass"
    n_busy = 2 * (os.cpu_count() or 1)
    busy = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(n_busy)]
    try:
        assert probe.gain_of_bf16(lambda dtype: sum(range(size[dtype]))) == pytest.approx(2, 0.2)
    finally:
        for process in busy:
            process.kill()
            process.wait()
