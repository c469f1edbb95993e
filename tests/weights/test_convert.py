"""In and out of run folders: whole or not at all, checked by reading back, told in full."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import UsageError
from groundup.base.errors import GroundupError, RunError, TokenizerError
from groundup.config import as_table
from groundup.generate import generate
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.checkpoint import save_checkpoint
from groundup.runs.load import load
from groundup.runs.manifest import DataTable, Manifest, SourceTable
from groundup.runs.record import read_run
from groundup.tokenizer import BPETokenizer, ByteTokenizer
from groundup.weights import export_model, import_model
from tests.model.helpers import FAMILIES, random_gpt
from tests.texts import text_file

TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BPETokenizer:
    text = text_file(tmp_path_factory.mktemp("text")).read_text(encoding="utf-8")
    return BPETokenizer.train([text], 300)


def make_run(folder: Path, tokenizer: BPETokenizer, **shape: Any) -> tuple[Path, GPT]:
    model = random_gpt(**shape | {"vocab_size": tokenizer.vocab_size, "context_length": 64})
    run = RunFolder(folder / "run")
    run.path.mkdir(parents=True)
    save_checkpoint(run.checkpoints, 7, dict(model.named_parameters()), {}, {"step": 7})
    tokenizer.save(run.tokenizer)
    run.write_chat_settings(TEMPLATE, {"temperature": 0.5, "stop_tokens": [3]})
    run.write(
        Manifest(
            model=as_table(model.config),
            data=DataTable(tokenizer="bpe", tokenizer_fingerprint=tokenizer.fingerprint),
        )
    )
    return run.path, model


FORMATS = [("hf", "llama"), ("hf", "gpt2"), ("gguf", "llama"), ("safetensors", "gemma3")]


@pytest.mark.parametrize(("form", "family"), FORMATS)
@torch.no_grad()
def test_out_and_in_again_is_the_same_model(
    form: str, family: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, model = make_run(tmp_path, tokenizer, **FAMILIES[family])
    out = export_model(run, tmp_path / "out.gguf", form)
    assert out.difference is not None
    assert out.difference < 1e-4
    assert out.parameters == sum(p.numel() for p in model.parameters())
    back = import_model(out.path, tmp_path / "back")
    assert back.difference == 0
    loaded = load(back.path)
    assert loaded.model.config == model.config
    for name, parameter in loaded.model.named_parameters():
        assert torch.equal(parameter, dict(model.named_parameters())[name]), name
    assert loaded.tokenizer.encode("Was it so?") == tokenizer.encode("Was it so?")
    assert loaded.chat_template == TEMPLATE
    assert loaded.generation["stop_tokens"][:1] == [3]
    settings: dict[str, Any] = {"max_tokens": 20, "temperature": 0.0}
    expected = generate(model, tokenizer, "It was", **settings)
    assert generate(loaded.model, loaded.tokenizer, "It was", **settings) == expected


@pytest.mark.parametrize(
    ("generation", "says"),
    [({"stop_tokens": 5}, "expected a list"), ({"special_tokens": "x"}, "expected a table"),
     ({"end_of_text": 9999}, "expected a token id"), ({"start_token": "a"}, "expected a token id")],
)  # fmt: skip
def test_settings_edited_by_hand_are_refused_in_one_line(
    generation: dict[str, Any], says: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    RunFolder(run).write_chat_settings(None, generation)
    for form in ("hf", "gguf", "safetensors"):
        with pytest.raises(RunError, match=rf"generation\.toml: .*{says}"):
            export_model(run, tmp_path / "out.gguf", form)


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
@pytest.mark.parametrize("form", ["hf", "safetensors", "gguf"])
def test_narrow_numbers_are_kept_and_widened_when_used(
    form: str, dtype: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, model = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    out = export_model(run, tmp_path / "out", form, dtype=dtype)
    back = import_model(out.path, tmp_path / "back")
    wanted = {"bf16": torch.bfloat16, "f16": torch.float16}[dtype]
    ours = dict(load(back.path).model.named_parameters())
    for name, parameter in model.named_parameters():
        assert ours[name].dtype == torch.float32
        if parameter.dim() == 2:
            assert torch.equal(ours[name], parameter.detach().to(wanted).float()), name
    assert back.size_bytes < 0.8 * sum(4 * p.numel() for p in model.parameters()) + 200_000


def test_the_numbers_of_a_run_can_be_chosen(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, model = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    export_model(run, tmp_path / "out")
    told: list[tuple[int, int]] = []
    done = import_model(
        tmp_path / "out",
        tmp_path / "in",
        dtype="bf16",
        progress=lambda done, total: told.append((done, total)),
    )
    size = 2 * sum(p.numel() for p in model.parameters())
    assert [total for _, total in told] == [size] * len(list(model.parameters()))
    assert told[-1] == (size, size)
    assert done.difference
    kept = load(tmp_path / "in").model
    for name, parameter in model.named_parameters():
        assert torch.equal(kept.get_parameter(name), parameter.bfloat16().float()), name


def test_an_import_is_a_run_that_tells_where_it_comes_from(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    export_model(run, tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "runs" / "mine")
    record = read_run(tmp_path / "runs" / "mine")
    assert record.state == "imported"
    source = record.manifest.source
    assert source
    assert source.files
    assert source.format == "hf"
    assert len(source.files["model.safetensors"]) == 64


def test_the_card_has_what_is_known_and_no_more(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, model = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    export_model(run, tmp_path / "hf", licence="mit")
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in card
    assert "Validation loss" not in card
    assert "None" not in card


def test_the_card_is_of_the_step_that_leaves(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    rows: list[dict[str, Any]] = [
        {"step": 7, "tokens": 700, "val_loss": 1.25},
        {"step": 9, "tokens": 900, "val_loss": 1.5},
        {"step": 9, "event": "finished", "val_loss": 1.75},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    export_model(run, tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert "Validation loss, nats a token: 1.2500" in card
    assert "Steps: 7 of a run of 9" in card
    assert "Tokens seen: 700" in card
    assert "1.5" not in card
    assert "1.75" not in card


def test_a_strangers_licence_stays_one_line_of_the_card(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    folder = RunFolder(run)
    source = SourceTable(format="gguf", name="x\n# y", licence="mit\nbase_model: evil/one")
    folder.write(dataclasses.replace(folder.read(), source=source))
    export_model(run, tmp_path / "hf")
    card = (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert 'license: "mit base_model: evil/one"' in card
    assert "Imported from: x # y (gguf)" in card


@pytest.mark.parametrize("form", ["hf", "gguf", "safetensors"])
def test_numbers_that_a_format_cannot_hold_are_refused(
    form: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    out = save_spoilt(tmp_path, tokenizer, 1e5)
    with pytest.raises(RunError, match="as f16 its logits are no longer finite"):
        export_model(out, tmp_path / "narrow", form, dtype="f16")
    assert not (tmp_path / "narrow").exists()
    assert export_model(out, tmp_path / "wide", form, dtype="f32").difference == 0


def save_spoilt(folder: Path, tokenizer: BPETokenizer, value: float) -> Path:
    run, model = make_run(folder, tokenizer, **FAMILIES["llama"])
    with torch.no_grad():
        model.get_parameter("blocks.0.ffn.down.weight")[0, 0] = value
    save_checkpoint(RunFolder(run).checkpoints, 8, dict(model.named_parameters()), {}, {"step": 8})
    return run


def test_a_model_without_numbers_is_refused(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run = save_spoilt(tmp_path, tokenizer, float("nan"))
    with pytest.raises(RunError, match="not finite before"):
        export_model(run, tmp_path / "own", "safetensors")
    export_model(run, tmp_path / "own", "safetensors", verify=False)
    with pytest.raises(RunError, match=r"own: the model's logits are not finite"):
        import_model(tmp_path / "own", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_mixed_numbers_leave_as_the_widest(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, model = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    mixed = {
        name: parameter.to(torch.bfloat16 if name.startswith("blocks.") else torch.float32)
        for name, parameter in model.named_parameters()
    }
    save_checkpoint(RunFolder(run).checkpoints, 8, mixed, {}, {"step": 8})
    out = export_model(run, tmp_path / "x.gguf", "gguf")
    assert out.difference == 0


def test_our_own_folder_with_a_template_that_is_no_text(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    out = export_model(run, tmp_path / "own", "safetensors").path
    (out / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"chat_template\.jinja: expected UTF-8"):
        import_model(out, tmp_path / "back")


def test_the_folder_one_is_in_has_no_name(
    tokenizer: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="name of a new one"):
        export_model(run, ".")
    assert (tmp_path / "here").is_dir()


def test_what_is_there_already_is_never_overwritten(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious").write_text("x")
    for convert in (lambda: export_model(run, taken), lambda: import_model(run, taken)):
        with pytest.raises(UsageError, match="there already"):
            convert()
    assert (taken / "precious").read_text() == "x"


def test_a_failed_export_leaves_nothing(
    tokenizer: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    monkeypatch.setattr("groundup.weights.convert.largest_difference", lambda a, b: 0.5)
    for form, out in (("hf", tmp_path / "hf"), ("gguf", tmp_path / "x.gguf")):
        with pytest.raises(RunError, match=r"differ by 0\.5"):
            export_model(run, out, form)
        assert not out.exists()


def test_a_failed_import_leaves_nothing(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    out = export_model(run, tmp_path / "hf").path
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(GroundupError, match=r"blocks\.4|layers\.4"):
        import_model(out, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_tokenizer_that_does_not_fit_is_refused(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    out = export_model(run, tmp_path / "own", "safetensors").path
    text = text_file(tmp_path).read_text(encoding="utf-8")
    larger = BPETokenizer.train([text], tokenizer.vocab_size + 1)
    with pytest.raises(TokenizerError, match=r"ids up to .* vocab_size"):
        import_model(out, tmp_path / "back", tokenizer=larger)


def test_a_tokenizer_can_be_given(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    out = export_model(run, tmp_path / "hf").path
    (out / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="--tokenizer"):
        import_model(out, tmp_path / "back")
    import_model(out, tmp_path / "back", tokenizer=ByteTokenizer())
    assert load(tmp_path / "back").tokenizer.kind == "bytes"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "no such file or folder"),
        ("notes.txt", "no model format"),
        ("empty", "config.json"),
        ("model.safetensors", "the header is no JSON object"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "notes.txt").write_text("hello there")
    (tmp_path / "model.safetensors").write_bytes(bytes(100))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundupError, match=said):
        import_model(tmp_path / source, tmp_path / "back")


def test_formats_and_dtypes_that_do_not_exist_are_refused(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    run, _ = make_run(tmp_path, tokenizer, **FAMILIES["llama"])
    with pytest.raises(UsageError, match="format 'onnx'"):
        export_model(run, tmp_path / "out", "onnx")
    with pytest.raises(UsageError, match="dtype 'q8_0': hf has f32, bf16, f16"):
        export_model(run, tmp_path / "out", "hf", dtype="q8_0")
    assert not (tmp_path / "out").exists()
