"""A checkpoint is read whole while a trainer writes others and removes them as fast as it can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundup import GPT, ByteTokenizer, GPTConfig, load, save
from groundup.generate.quantize import quantize_run
from groundup.runs import RunFolder
from groundup.runs.base import base_of
from groundup.runs.checkpoint import Checkpoint, list_checkpoints
from groundup.runs.load import load_base
from groundup.train.start import start_from
from groundup.weights import export_model
from groundup.weights.convert import model_to_export

CONFIG = GPTConfig(vocab_size=257, context_length=8, emb_dim=32, n_heads=2, n_layers=1)
NORM = "final_norm.weight"
WRITER = """
import os, sys
from pathlib import Path
import torch
from groundup import load
from groundup.runs import RunFolder
from groundup.runs.checkpoint import prune, save_checkpoint

torch.set_num_threads(1)
os.fsync = lambda descriptor: None
folder = RunFolder(Path(sys.argv[1]))
tensors = {name: p.detach().clone() for name, p in load(folder.path).model.state_dict().items()}
for step in range(1, 10_000_000):
    tensors["final_norm.weight"].fill_(step)
    loss = 1.0 + (step % 7) - step / 1000
    save_checkpoint(folder.checkpoints, step, tensors, {}, {"step": step, "val_loss": loss})
    prune(folder.checkpoints, 1)
    if step == 30:
        print("writes", flush=True)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a run in which another process writes checkpoints, each filled with its step."""
    path = tmp_path_factory.mktemp("beside") / "run"
    save(GPT(CONFIG), ByteTokenizer(), path)
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writes\n"
        yield path
        assert writer.poll() is None, "the writer has failed"
        writer.kill()


def is_of(step: int, model: GPT) -> bool:
    """Tell whether weights are those of a step."""
    return bool((model.state_dict()[NORM] == step).all())


def loaded(run: Path, number: int) -> None:
    for which in ("latest", "best"):
        found = load(run, which)
        assert is_of(found.step, found.model)
        assert not found.notices


def exported(run: Path, number: int) -> None:
    model, chosen, notices = model_to_export(RunFolder(run), "latest", "safetensors")
    assert (model.tensors[NORM].read() == chosen.step).all()
    assert not notices
    export_model(run, run.parent / f"of-{number}", "safetensors", checkpoint="latest", verify=False)


def quantized(run: Path, number: int) -> None:
    made = quantize_run(run, run.parent / f"q-{number}", 8, lambda model: 1.0, checkpoint="latest")
    found = load(made.path)
    assert is_of(found.step, found.model)


def learnt_from(run: Path, number: int) -> None:
    start = start_from(run, {}, RunFolder(run.parent / "new"))
    origin = start.identity["from"]["weights"]
    model = start.model(start.config, 1)
    step = int(model.state_dict()[NORM][0])
    assert is_of(step, model)
    assert origin == Checkpoint.at(run / "checkpoints", step).fingerprint()


def adapted(run: Path, number: int) -> None:
    table, _held = base_of(RunFolder(run.parent / "new"), run)
    base = load_base(RunFolder(run.parent / "new"), table)
    assert is_of(table.step or 0, base.model)


READERS = [loaded, exported, quantized, learnt_from, adapted]


@pytest.mark.parametrize("read", READERS)
def test_a_checkpoint_is_read_beside_a_trainer(
    read: Callable[[Path, int], None], run: Path
) -> None:
    for number in range(8):
        read(run, number)


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS)
def test_a_thousand_times(read: Callable[[Path, int], None], run: Path) -> None:
    for number in range(100, 1100):
        read(run, number)
        assert len(list_checkpoints(run / "checkpoints")) < 10
