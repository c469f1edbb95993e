"""run.toml is typed where it is read, and written as it was, whichever version has written it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from groundup.base.errors import RunError
from groundup.config import GPTConfig, TrainConfig, as_table
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import (
    BaseTable,
    DataTable,
    JobTable,
    Manifest,
    PlanTable,
    QuantizationTable,
    read_manifest,
    write_manifest,
)

MODEL = '[model]\nvocab_size = 18\nemb_dim = 64\nnorm_eps = 1e-05\nwindow_pattern = "L"\n'
TRAIN = '[train]\nsteps = 66\nlearning_rate = 0.009000000000000001\nsave = "foreground"\n'
SHARDS = """[data]
sources = [
    "story.txt",
]
fingerprint = "6496057e3c5d471f"
folder = "data/6496057e3c5d471f"
tokenizer = "bpe"
tokenizer_fingerprint = "73da"
vocab_size = 18
split_rule = "by position"
train_tokens = 4590
train_bytes = 14850
train_documents = 1
val_tokens = 511
val_bytes = 1650
val_documents = 1
"""
BARE = '[data]\ntokenizer = "chars"\ntokenizer_fingerprint = "e87a"\nvocab_size = 18\n'
CHOICES = '[choices]\ndevice = "cpu"\n\n[choices.reasons]\ndevice = "no GPU is present"\n'
REQUEST = """[request]
command = "groundup train story.txt"
preset = "pico"

[request.model]
vocab_size = 18

[request.train]
steps = 66
minutes = 1.0

[request.changes]

[request.text]
sources = [
    "story.txt",
]
include = []

[request.data]
end_of_text = 3
fingerprint = "6496057e3c5d471f"

[request.from]
name = "a/b"
licence = "mit"
run = "runs/base"
weights = "95d1"
"""
IN_PYTHON = """[request]
command = "groundup.train.train"

[request.model]
vocab_size = 18

[request.train]
steps = 66

[request.data]
fingerprint = "11d0f1eb7b5a6940"
"""
VERSIONS = '[versions]\npython = "3.11.7"\ngroundup = "0.1.0"\ntorch = "2.13.0+cpu"\n'
MACHINE = """[machine]
platform = "Linux"
cpu = "AMD EPYC"
cores = 2
instructions = "AVX512"
memory_gib = 23.5
gpu = "NVIDIA H100"
"""
PLAN = """[plan]
parameters = 104064
flops_per_token = 645888
seconds_per_step = 0.008326
expected_seconds = 230

[plan.memory_mib]
weights = 0.4
total = 313.3
"""
SOURCE = """[source]
format = "hf"
path = "models/x"
family = "llama"
name = "x"
licence = "apache-2.0"

[source.files]
"model.safetensors" = "b179"
"""
QUANTIZATION = """[quantization]
bits = 8
vector_bits = 16
run = "runs/x"
weights = "95d1"
"""
SECOND_JOB = """[job]
kind = "classifier"

[base]
run = "runs/x"
step = 20
sha256 = "95d1"
"""
KINDS = {
    "trained": [MODEL, TRAIN, SHARDS, CHOICES, REQUEST, VERSIONS, MACHINE, PLAN],
    "trained in Python": [MODEL, TRAIN, BARE, CHOICES, IN_PYTHON, VERSIONS, MACHINE, PLAN],
    "another job": [MODEL, TRAIN, SHARDS, SECOND_JOB, CHOICES, REQUEST, VERSIONS, MACHINE, PLAN],
    "imported": [MODEL, BARE, SOURCE, VERSIONS],
    "saved": [MODEL, BARE, '[saved]\nby = "groundup.save"\n', VERSIONS],
    "quantised": [MODEL, SHARDS, SOURCE, VERSIONS, QUANTIZATION],
    "with no more than it must": ["[model]\n", "[data]\n"],
    "of an older version": [MODEL, TRAIN, BARE, '[request]\npreset = "nano"\n'],
    "in another order": [MODEL, TRAIN, SHARDS, REQUEST, CHOICES, PLAN, VERSIONS],
    "of a newer version": [
        MODEL,
        '[data]\nlanguage = "en"\nsources = []\n\n[data.mixture]\na = 0.5\n',
        '[curriculum]\nstages = [\n    "easy",\n    "hard",\n]\n',
        VERSIONS,
        '[plan]\nwatts = 65.0\nparameters = "many"\n',
    ],
    "with odd names": [
        MODEL,
        "[data]\nothers = 1\norder = 2\nfrom = 3\n",
        "[request]\nfrom_ = 4\nfrom = 5\ncommand = true\n",
    ],
}


def text_of(kind: str) -> str:
    return "format = 1\n\n" + "\n".join(KINDS[kind])


def read(path: Path, text: str) -> Manifest:
    path.write_text(text)
    return read_manifest(path)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_written_as_it_was_read(tmp_path: Path, kind: str) -> None:
    manifest = read(tmp_path / "run.toml", text_of(kind))
    write_manifest(tmp_path / "again.toml", manifest)
    assert (tmp_path / "again.toml").read_text() == text_of(kind)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if "order" not in kind and "newer" not in kind]
)
def test_what_is_made_anew_has_the_tables_in_the_same_order(kind: str, tmp_path: Path) -> None:
    def anew(table: object) -> object:
        """Return a table with nothing of where its keys stood."""
        names = [field.name for field in dataclasses.fields(table)]  # type: ignore[arg-type]
        values = {name: getattr(table, name) for name in names if name != "order"}
        tables = {n: anew(v) for n, v in values.items() if dataclasses.is_dataclass(v)}
        return type(table)(**values | tables)

    manifest = anew(read(tmp_path / "run.toml", text_of(kind)))
    assert isinstance(manifest, Manifest)
    write_manifest(tmp_path / "again.toml", manifest)
    assert (tmp_path / "again.toml").read_text() == text_of(kind)


def test_what_is_known_has_a_name_and_a_type(tmp_path: Path) -> None:
    manifest = read(tmp_path / "run.toml", text_of("trained"))
    assert manifest.data.sources == ["story.txt"]
    assert manifest.data.val_documents == 1
    assert manifest.request
    assert manifest.request.from_
    assert manifest.request.from_.licence == "mit"
    assert manifest.machine
    assert (manifest.machine.cores, manifest.machine.gpu) == (2, "NVIDIA H100")
    assert manifest.plan
    assert (manifest.plan.expected_seconds, manifest.plan.memory_mib) == (
        230,
        {"weights": 0.4, "total": 313.3},
    )
    assert (manifest.job, manifest.base, manifest.source, manifest.saved) == (None,) * 4
    other = read(tmp_path / "run.toml", text_of("another job"))
    assert other.job == JobTable(kind="classifier")
    assert other.base == BaseTable(run="runs/x", step=20, sha256="95d1")


def test_what_is_not_known_is_kept_apart(tmp_path: Path) -> None:
    manifest = read(tmp_path / "run.toml", text_of("of a newer version"))
    assert manifest.others == {"curriculum": {"stages": ["easy", "hard"]}}
    assert manifest.data.others == {"language": "en", "mixture": {"a": 0.5}}
    assert manifest.plan
    assert (manifest.plan.parameters, manifest.plan.others["parameters"]) == (None, "many")
    odd = read(tmp_path / "run.toml", text_of("with odd names"))
    assert odd.data == DataTable(others={"others": 1, "order": 2, "from": 3})
    assert odd.request
    assert odd.request.others == {"from_": 4, "from": 5, "command": True}


def test_a_changed_table_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    manifest = read(path, text_of("in another order"))
    assert manifest.plan
    plan = dataclasses.replace(manifest.plan, seconds_per_step=0.5, expected_seconds=None)
    changed = dataclasses.replace(
        manifest, plan=plan, request=None, quantization=QuantizationTable(bits=4)
    )
    write_manifest(path, changed)
    expected = text_of("in another order").replace(f"{REQUEST}\n", "")
    expected = expected.replace("expected_seconds = 230\n", "")
    expected = expected.replace("seconds_per_step = 0.008326", "seconds_per_step = 0.5")
    assert path.read_text() == f"{expected}\n[quantization]\nbits = 4\n"


def test_a_new_one_is_written_without_what_it_has_not(tmp_path: Path) -> None:
    config = GPTConfig(vocab_size=18, context_length=8, emb_dim=16, n_heads=2, n_layers=1)
    train = TrainConfig(steps=3)
    manifest = Manifest(
        model=as_table(config),
        train=as_table(train),
        data=DataTable(sources=["a"], vocab_size=18),
        plan=PlanTable(parameters=7),
    )
    folder = RunFolder(tmp_path)
    folder.write(manifest)
    expected = {"format": 1, "model": as_table(config), "train": as_table(train)}
    expected |= {"data": {"sources": ["a"], "vocab_size": 18}, "plan": {"parameters": 7}}
    assert folder.manifest.read_text() == tomli_w.dumps(expected)
    assert folder.read().as_table() == {k: v for k, v in expected.items() if k != "format"}
    assert folder.model_config(folder.read()) == config
    # Runs from before there was a choice of products go on with those that they had.
    before = dataclasses.replace(train, products="default", muon_precision=train.precision)
    assert folder.train_config(folder.read()) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "format None, this groundup reads format 1; use the version named in [versions]"),
        ("format = 2\n[model]\n[data]", "format 2, this groundup reads format 1; use the version"),
        ("format = 1\n[model]", "expected the tables model, data, but data is missing; restore"),
        ("format = 1\nmodel = 3\n[data]", "expected only tables, but model is 3; restore"),
        ("format = 1\nnew = 3\n[model]\n[data]", "expected only tables, but new is 3; restore it"),
        ("a b", "expected TOML, but Expected '=' after a key"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(RunError) as raised:
        read(tmp_path / "run.toml", text)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{tmp_path / 'run.toml'}: {expected}")


def test_settings_of_another_type_are_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.manifest.write_text("format = 1\n[model]\n[data]\n[request]\ntrain = 3\n")
    manifest = folder.read()
    with pytest.raises(RunError, match="expected the settings of a training, but found None"):
        folder.train_config(manifest)
    assert manifest.request
    with pytest.raises(RunError, match="expected the settings of a training, but found 3"):
        folder.train_config(manifest.request)


def test_it_needs_no_torch() -> None:
    code = "import sys, groundup.runs.manifest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
