"""Which number format trains faster is measured once on a machine, and then known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup import GPTConfig
from groundup.config import TrainConfig
from groundup.train import probe
from groundup.train.choices import choose

WIDE = GPTConfig(emb_dim=256, n_heads=4, n_layers=2, context_length=64, vocab_size=100)


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Let products be so fast here as the test says, and keep what is found in its folder."""
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path))
    told = {"fp32": 1.0, "bf16": 2.0, "layer": 1.6}
    monkeypatch.setattr(
        probe, "matmul_rate", lambda cpu, dtype, s: told["bf16" if dtype.itemsize == 2 else "fp32"]
    )
    monkeypatch.setattr(probe, "layer_seconds", lambda *asked: {"fp32": told["layer"], "bf16": 1.0})
    return told


def test_what_was_measured_once_holds(rates: dict[str, float]) -> None:
    first = probe.cpu_precision(WIDE, 4)
    assert first == ("bf16", "a layer of this model trains 1.6 times as fast in bf16 here")
    rates |= {"bf16": 1.0, "layer": 1.0}  # another program uses the CPU
    assert probe.cpu_precision(WIDE, 4) == first
    assert probe.cpu_precision(WIDE, 1)[0] == "fp32"  # of which nothing is known
    assert probe.cpu_precision(WIDE.replace(emb_dim=512), 4)[0] == "fp32"


def test_products_that_gain_nothing_are_known_too(rates: dict[str, float]) -> None:
    rates["bf16"] = 1.1
    said = probe.cpu_precision(WIDE, 4)
    assert said == ("fp32", "bf16 products run at 1.1 times the rate of fp32 here")
    rates["bf16"] = 9.0
    assert probe.cpu_precision(WIDE, 4) == said


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', "[1", '{"NAME": {"products": "a"}}'])
def test_a_damaged_file_is_measured_anew(rates: dict[str, float], text: str) -> None:
    probe.cpu_precision(WIDE, 4)
    path = probe._path()
    name = path.read_text().split('"')[1]
    path.write_text(text.replace("NAME", name))
    rates["bf16"] = 1.0
    assert probe.cpu_precision(WIDE, 4)[0] == "fp32"
    rates["bf16"] = 2.0
    assert probe.cpu_precision(WIDE, 4)[0] == "fp32"


def test_muon_s_products_have_a_format_of_their_own(
    rates: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates["layer"] = 1.0
    spent = {"fp32": 2.0, "bf16": 1.0}
    monkeypatch.setattr(probe, "_least_seconds", lambda work: dict(spent))
    open_ = TrainConfig(device="cpu", threads=1, products="default")
    chosen = choose(open_, WIDE)
    assert (chosen.config.precision, chosen.config.muon_precision) == ("fp32", "bf16")
    said = "Muon's products run 2.0 times as fast in bf16 here"
    assert chosen.reasons["muon_precision"] == said
    spent["bf16"] = 9.0  # another program uses the CPU
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


def test_a_layer_is_really_timed() -> None:
    seconds = probe.layer_seconds(WIDE, (2, 64))
    assert all(0 < spent < 5 for spent in seconds.values())
    assert 0 < probe._muon_gains(32)["products"] < 100
