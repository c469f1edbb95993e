"""Every file that groundup reads and others may have written: a genuine one, and its readers.

A target is a file in a folder of genuine files, and what reads it. Where a hash would protect the
file from whoever does not know it, the hash is made to match: what reads the file is on its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from groundup.base.errors import GroundupError
from groundup.base.files import file_sha256, write_json
from groundup.config import TrainConfig
from groundup.data.prepare import open_prepared
from groundup.data.tokens import SPLITS, open_tokens, read_manifest
from groundup.generate import generate
from groundup.generate.quantize import quantize_run
from groundup.generate.run_settings import run_settings
from groundup.model import GPT
from groundup.runs import RunFolder, cut_back, read_lines
from groundup.runs.checkpoint import (
    MODEL,
    SEAL,
    STATE,
    TRAINER,
    Checkpoint,
    first_intact,
    list_checkpoints,
    newest_intact,
    sealed,
)
from groundup.runs.load import fill, load
from groundup.runs.record import read_run
from groundup.tokenizer import ByteTokenizer, CharTokenizer, load_tokenizer
from groundup.train import ConsoleScreen, TrainRequest, train_run
from groundup.train.progress import Progress
from groundup.weights.convert import export_model
from groundup.weights.formats import open_pretrained
from tests.texts import sentences, text_file
from tests.tokenizer.test_json_file import chat, unigram

SHAPE = {"emb_dim": 8, "n_heads": 2, "n_layers": 1, "context_length": 16, "vocab_size": 260}
SETTINGS: dict[str, Any] = {"steps": 2, "batch_size": 2, "eval_tokens": 64, "sample_tokens": 3,
                            "threads": 1, "learning_rate": 1e-3}  # fmt: skip
GENERATION = {"temperature": 0.7, "top_k": 40, "stop_tokens": [3, 4], "start_token": 1}
WORDS = "The queen has <lost> été 1234.\n"
MANIFEST = "manifest.json"
MOST_BYTES = 1 << 20
"""Of a manifest that is sealed again; larger ones are refused before that."""
GROWTH = 16
"""Of a vocabulary that is read whole: what a table of Python's takes for each short word."""

Use = Callable[[], object]


@dataclass(frozen=True)
class Target:
    """A file, the form it has, and what reads it; `weight` is its share of the inputs.

    `growth` is how much memory it may take, as a multiple of its size.
    """

    file: Path
    form: str
    uses: Callable[[Path], Iterable[Use]]
    weight: int = 1
    growth: int = 2


def genuine(root: Path) -> dict[str, Target]:
    """Fill the folder `root` with genuine files; return what can be done with each."""
    run = _trained(root)
    checkpoint = list_checkpoints(run.checkpoints)[-1].path
    data = next((root / "data").iterdir())
    eight = root / "runs" / "eight"
    quantize_run(run.path, eight, 8, lambda loaded: 1.0)
    for form in ("hf", "gguf", "safetensors"):
        export_model(run.path, root / form, form, licence="mit", verify=False)
    tokenizers = _tokenizers(root / "tokenizers")
    model, trainer, state = (checkpoint / name for name in (MODEL, TRAINER, STATE))
    return {
        "run.toml": Target(run.manifest, "toml", _read_run, 2),
        "generation.toml": Target(run.generation, "toml", _load_and_write),
        "metrics.jsonl": Target(run.metrics, "lines", partial(_read_metrics, run)),
        "state.json": Target(state, "json", partial(_read_state, run), 2),
        "manifest.json": Target(checkpoint / MANIFEST, "json", partial(_read_checkpoint, run), 2),
        "model.safetensors": Target(model, "safetensors", partial(_read_model, run), 3),
        "trainer.safetensors": Target(trainer, "safetensors", _read_trainer, 2),
        "quantized model": Target(
            next(eight.glob("checkpoints/*")) / "model.safetensors", "safetensors", _load_sealed
        ),
        "quantized run.toml": Target(eight / "run.toml", "toml", _load_and_write),
        "data manifest.json": Target(data / MANIFEST, "json", _read_data, 3),
        "data shard": Target(data / "val-00000.bin", "bytes", _read_data),
        **{
            f"{kind} tokenizer.json": Target(path, "json", _read_tokenizer, 2, GROWTH)
            for kind, path in tokenizers.items()
        },
        "exported config.toml": Target(root / "safetensors/config.toml", "toml", _open),
        "exported tensors": Target(root / "safetensors/model.safetensors", "safetensors", _open),
        "hf config.json": Target(root / "hf/config.json", "json", _open),
        "hf tensors": Target(root / "hf/model.safetensors", "safetensors", _open),
        "gguf": Target(root / "gguf", "bytes", lambda path: [lambda: read_all(path)], 2),
    }


def _trained(root: Path) -> RunFolder:
    request = TrainRequest(
        sources=(str(text_file(root, 60)),),
        preset="pico",
        model_changes=SHAPE,
        train=TrainConfig(**SETTINGS),
        run="run",
        runs_folder=root / "runs",
        data_folder=root / "data",
    )
    run = train_run(request, ConsoleScreen(Console(quiet=True))).folder
    run.write_chat_settings("{{ messages[0]['content'] }}", GENERATION)
    return run


def _tokenizers(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    (folder / "chars").write_text(CharTokenizer.train([sentences(60), WORDS]).to_json())
    (folder / "bytes").write_text(ByteTokenizer().to_json())
    chat().save(str(folder / "bpe with more"))
    unigram().save(str(folder / "unigram"))
    found = {path.name: path for path in sorted(folder.iterdir())}
    return found | {"bpe": folder.parent / "runs/run/tokenizer.json"}


def _seal(checkpoint: Path) -> None:
    """Make the manifest of a checkpoint match its files, whatever they hold."""
    names = [file for file in checkpoint.iterdir() if file.name != MANIFEST]
    files = {f.name: {"size": f.stat().st_size, "sha256": file_sha256(f)} for f in names}
    write_json(checkpoint / MANIFEST, sealed(2, files))


def _reseal(manifest: Path) -> None:
    """Make the digest of a manifest match what it says, where it says anything."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError):
        content = {k: v for k, v in json.loads(manifest.read_bytes()).items() if k != SEAL}
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        write_json(manifest, content | {SEAL: digest})


def write(run: Path) -> None:
    """Load a run and let it write."""
    loaded = load(run)
    settings = run_settings(loaded, max_tokens=1, seed=1)
    generate(loaded.model, loaded.tokenizer, "The", **settings)


def _load_and_write(path: Path) -> Iterable[Use]:
    return [lambda: write(path.parent)]


def _load_sealed(path: Path) -> Iterable[Use]:
    _seal(path.parent)
    return [lambda: write(path.parents[2])]


def _read_run(path: Path) -> Iterable[Use]:
    run = RunFolder(path.parent)
    return [
        lambda: run.model_config(run.read()),
        lambda: run.train_config(run.read()),
        lambda: write(run.path),
        lambda: read_run(run.path).steps,
    ]


def _read_metrics(run: RunFolder, path: Path) -> Iterable[Use]:
    return [
        lambda: list(read_lines(path)),
        lambda: read_run(run.path).best,
        lambda: cut_back(path, 1),
        lambda: cut_back(path, 2, 10),
    ]


def _read_state(run: RunFolder, path: Path) -> Iterable[Use]:
    _seal(path.parent)
    checkpoint = Checkpoint(path.parent)
    return [
        lambda: Progress.from_state(checkpoint.state(), path),
        lambda: newest_intact(run.checkpoints),
        lambda: load(run.path),
    ]


def _read_checkpoint(run: RunFolder, path: Path) -> Iterable[Use]:
    checkpoint = Checkpoint(path.parent)

    def judged() -> None:
        checkpoint.damage()
        if path.stat().st_size < MOST_BYTES:
            _reseal(path)
        _, damaged = first_intact([checkpoint])
        for line in damaged:
            raise GroundupError(line)

    return [judged, lambda: load(run.path)]


def _read_model(run: RunFolder, path: Path) -> Iterable[Use]:
    _seal(path.parent)
    model = GPT(run.model_config(run.read()))
    return [
        lambda: fill(dict(model.named_parameters()), Checkpoint(path.parent).model_tensors(), path),
        lambda: write(run.path),
    ]


def _read_trainer(path: Path) -> Iterable[Use]:
    _seal(path.parent)
    checkpoint = Checkpoint(path.parent)
    return [
        lambda: newest_intact(path.parents[1]),
        lambda: [
            tensor.sum() for tensor in checkpoint.trainer_tensors().values() if tensor.numel()
        ],
    ]


def _read_data(path: Path) -> Iterable[Use]:
    folder = path.parent

    def read(split: str, verify: bool) -> None:
        tokens = open_tokens(folder, split, verify=verify)
        tokens.read(0, min(10, tokens.n_tokens))
        tokens.read(max(0, tokens.n_tokens - 10), min(10, tokens.n_tokens))

    def described() -> None:
        data = open_prepared(folder)
        assert data.fingerprint
        assert data.tokenizer
        assert data.split_rule is not None
        repr(data)

    opened = [partial(read, split, verify) for split in SPLITS for verify in (True, False)]
    return [lambda: read_manifest(folder), *opened, described]


def _read_tokenizer(path: Path) -> Iterable[Use]:
    def used() -> None:
        tokenizer = load_tokenizer(path)
        ids = tokenizer.encode(WORDS)
        tokenizer.decode(ids)
        tokenizer.decode(range(min(300, tokenizer.vocab_size)))
        assert tokenizer.fingerprint

    return [used]


def read_all(source: Path) -> None:
    """Read the outline of a model and all of its tensors."""
    for stored in open_pretrained(source, False).tensors.values():
        stored.read()


def _open(path: Path) -> Iterable[Use]:
    return [lambda: read_all(path.parent)]
