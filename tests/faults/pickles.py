"""Pickles that do something when they are unpickled, where a reader may come by; and every reader.

What they do is to make the folder `MARKER`.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from groundup.config import TrainConfig
from groundup.data import open_tokens, prepare
from groundup.evaluate import evaluate_loss
from groundup.generate.quantize import quantize_run
from groundup.report import write_report
from groundup.report.compare import write_comparison
from groundup.runs.load import LoadedRun, load
from groundup.tokenizer import load_tokenizer
from groundup.train import ConsoleScreen, TrainRequest, train_run
from groundup.weights.convert import export_model, import_model
from tests.faults.targets import SETTINGS, SHAPE, write

MARKER = Path("unpickled")
Use = Callable[[], object]


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(MARKER),)


BOMB = pickle.dumps(_Bomb())


def planted(root: Path) -> Iterator[tuple[str, Use]]:
    """Yield what meets a pickle that has another name, or is asked for by its own."""
    bomb = root / "bomb.pt"
    bomb.write_bytes(BOMB)
    archive = root / "archive.pt"
    torch.save({"model": _Bomb(), "model_args": {}}, archive)
    for path in (bomb, archive):
        for trust in (False, True):
            label = f"{path.name}{' --trust-pickle' if trust else ''}"
            yield label, partial(import_model, path, root / "never", trust_pickle=trust)
    for name in ("pytorch_model.bin", "model.bin"):
        folder = Path(shutil.copytree(root / "hf", root / f"hf-{name}"))
        (folder / "model.safetensors").unlink()
        shutil.copy(bomb, folder / name)
        yield name, partial(import_model, folder, root / "never")
    yield "a text", partial(prepare, [str(bomb)], "bytes", 257, root / "data")
    yield "a tokenizer", partial(load_tokenizer, bomb)


def verbs(root: Path, tag: str) -> Iterator[tuple[str, Use]]:
    """Yield what the verbs do with a genuine run; `tag` tells one call from another."""
    runs = Path(shutil.copytree(root / "runs", root / f"runs {tag}"))
    run, data = runs / "run", next((root / "data").iterdir())

    def request(**changes: object) -> TrainRequest:
        return TrainRequest(
            sources=(str(root / "story.txt"),),
            train=TrainConfig(**SETTINGS),
            runs_folder=runs,
            data_folder=root / "data",
            **changes,  # type: ignore[arg-type]
        )

    def train(**changes: object) -> None:
        train_run(request(**changes), ConsoleScreen(Console(quiet=True)))

    def loss(loaded: LoadedRun) -> float:
        return evaluate_loss(loaded.model, open_tokens(data, "val")).loss

    def convert(form: str) -> None:
        export_model(run, runs / form, form, licence="mit")
        import_model(runs / form, runs / f"from {form}")

    yield "resume", partial(train, preset="pico", model_changes=SHAPE, run="run", extend=4)
    yield "train on", partial(train, base=run, run="more")
    yield "quantize", partial(quantize_run, run, runs / "four", 4, loss, limit=100.0)
    yield "generate", partial(write, runs / "eight")
    for form in ("hf", "gguf", "safetensors"):
        yield f"export and import {form}", partial(convert, form)
    yield "report", partial(write_report, run)
    yield "compare", partial(write_comparison, [run, runs / "more"], runs / "page.html")
    yield "load", partial(load, run, "latest")
