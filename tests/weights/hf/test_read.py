"""Folders of Hugging Face as they are found: prefixes, extras, shards, companions, and hostile."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Library
from tokenizers import models, processors
from torch import Tensor

from groundup.base.errors import GroundupError, RunError, TokenizerError, UsageError
from groundup.runs.manifest import SourceTable
from groundup.tokenizer import ByteTokenizer
from groundup.weights.formats import open_pretrained
from groundup.weights.hf import read_hf
from groundup.weights.hf.hub import WEIGHT_FILES, fetch_hub
from tests.weights.hf.models import MODELS, filled, saved

VOCABULARY = MODELS["gpt2"]["vocab_size"]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name in ("gpt2", "llama", "gemma2"):
        saved(name, folder / name)
    return folder


@pytest.fixture
def gpt2(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "gpt2", tmp_path / "gpt2"))


@pytest.fixture
def llama(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals / "llama", tmp_path / "llama"))


def retell(folder: Path, **changes: Any) -> None:
    """Change the config of a folder."""
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {
        name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()
    }


def keep(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def refusal(folder: Path, kind: type[GroundupError] = RunError) -> str:
    """Return the one line with which a folder is refused, within a second."""
    begun = time.process_time()
    with pytest.raises(kind) as error:
        read_hf(folder)
    assert time.process_time() - begun < 1
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


# Names.


def same_logits(folder: Path, other: Path) -> bool:
    tokens = torch.randint(VOCABULARY, (2, 20))
    first, second = (filled(read_hf(path))(tokens) for path in (folder, other))
    return torch.equal(first, second)


def test_a_file_without_prefix_and_with_masks(gpt2: Path, originals: Path) -> None:
    tensors = tensors_of(gpt2)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    bare |= {f"h.{i}.attn.bias": torch.ones(1, 1, 64, 64).tril() for i in range(3)}
    bare |= {f"h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(3)}
    keep(gpt2, bare)
    assert same_logits(gpt2, originals / "gpt2")


@pytest.mark.parametrize("kept", ["model.decoder.", "decoder.", ""])
def test_opts_prefix_may_be_there_whole_in_part_or_not(tmp_path: Path, kept: str) -> None:
    """Files of the bare model, as the older ones on the hub are, have the second part alone."""
    saved("opt", tmp_path)
    whole = {name: stored.read().clone() for name, stored in read_hf(tmp_path).tensors.items()}
    found = {n.removeprefix("model.decoder."): x for n, x in tensors_of(tmp_path).items()}
    keep(tmp_path, {n if n.startswith("lm_head") else kept + n: x for n, x in found.items()})
    back = read_hf(tmp_path).tensors
    assert all(torch.equal(back[name].read(), whole[name]) for name in whole)


def test_old_rotation_tables_are_no_parameters(llama: Path, originals: Path) -> None:
    extra = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(6) for i in range(3)}
    keep(llama, tensors_of(llama) | extra)
    assert same_logits(llama, originals / "llama")


def test_a_tied_head_may_stand_in_the_file(gpt2: Path, originals: Path) -> None:
    tensors = tensors_of(gpt2)
    head = tensors["transformer.wte.weight"].clone()
    keep(gpt2, tensors | {"lm_head.weight": head})
    assert same_logits(gpt2, originals / "gpt2")
    head[3, 4] += 1
    keep(gpt2, tensors | {"lm_head.weight": head})
    assert "lm_head.weight has other numbers" in refusal(gpt2)
    keep(gpt2, tensors | {"lm_head.weight": head[1:]})
    assert "lm_head.weight is (96, 36)" in refusal(gpt2)


def test_all_that_does_not_fit_is_one_line(llama: Path) -> None:
    tensors = tensors_of(llama)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    del tensors["model.norm.weight"]
    tensors["model.layers.0.self_attn.q_proj.weight"] = torch.randn(5, 6)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].int()
    tensors["surprise\n"] = torch.zeros(1)
    keep(llama, tensors)
    message = refusal(llama)
    for part in (
        "missing model.layers.1.mlp.up_proj.weight",
        "missing model.norm.weight",
        "model.layers.0.self_attn.q_proj.weight is (5, 6), expected (48, 32)",
        "model.embed_tokens.weight holds int32",
        "unexpected 'model.surprise\\n'",
    ):
        assert part in message


def test_a_long_list_is_cut_and_counted(llama: Path) -> None:
    extra = {f"x{i}": torch.zeros(1) for i in range(120)}
    keep(llama, tensors_of(llama) | extra)
    assert refusal(llama).endswith("; and 100 more")


def test_transposed_matrices_of_another_shape(gpt2: Path) -> None:
    tensors = tensors_of(gpt2)
    tensors["transformer.h.0.attn.c_attn.weight"] = torch.randn(108, 36)
    tensors["transformer.h.1.attn.c_attn.bias"] = torch.randn(107)
    keep(gpt2, tensors)
    message = refusal(gpt2)
    assert "transformer.h.0.attn.c_attn.weight is (108, 36), expected (36, 108)" in message
    assert "transformer.h.1.attn.c_attn.bias is (107,), expected (108,)" in message


def test_a_name_with_and_without_prefix_is_refused(gpt2: Path) -> None:
    tensors = tensors_of(gpt2)
    keep(gpt2, tensors | {"ln_f.weight": torch.zeros(36)})
    assert "transformer.ln_f.weight twice" in refusal(gpt2)


@pytest.mark.parametrize("changes", [{"n_layer": 4000}, {"n_layer": 5}])
def test_more_layers_than_tensors(gpt2: Path, changes: dict[str, Any]) -> None:
    retell(gpt2, **changes)
    assert "too few for 4,000 layers" in refusal(gpt2) or "missing transformer.h.3" in refusal(gpt2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_number_formats_are_kept_up_to_32_bits(llama: Path, dtype: torch.dtype) -> None:
    keep(llama, {name: tensor.to(dtype) for name, tensor in tensors_of(llama).items()})
    found = read_hf(llama)
    kept = torch.float32 if dtype == torch.float64 else dtype
    assert {stored.dtype for stored in found.tensors.values()} == {kept}
    assert {stored.read().dtype for stored in found.tensors.values()} == {kept}
    assert any("64-bit" in notice for notice in found.notices) == (dtype == torch.float64)


def test_eight_bits_are_no_parameters(llama: Path) -> None:
    keep(llama, {n: t.to(torch.float8_e4m3fn) for n, t in tensors_of(llama).items()})
    assert "holds float8_e4m3fn, expected floating-point" in refusal(llama)


# Files.


def shard(folder: Path) -> dict[str, str]:
    """Split the weights of a folder in three, and return the index."""
    tensors = tensors_of(folder)
    (folder / "model.safetensors").unlink()
    places: dict[str, str] = {}
    for i in range(3):
        name = f"model-{i + 1:05}-of-00003.safetensors"
        part = dict(list(tensors.items())[i::3])
        save_file(part, folder / name)
        places |= dict.fromkeys(part, name)
    write_index(folder, places)
    return places


def write_index(folder: Path, places: Any) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_one_model(llama: Path, originals: Path) -> None:
    places = shard(llama)
    assert same_logits(llama, originals / "llama")
    (llama / next(iter(places.values()))).unlink()
    assert "No such file" in refusal(llama, GroundupError)


@pytest.mark.parametrize(
    "place",
    ["../model.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors",
     "C:\\x.safetensors", "C:x.safetensors", "..", "", "model.bin", "x\n.safetensors",
     "\0.safetensors", 3, None, ["x"]],
)  # fmt: skip
def test_an_index_leads_nowhere_else(llama: Path, place: Any) -> None:
    places: dict[str, Any] = shard(llama)
    write_index(llama, places | {"model.norm.weight": place})
    assert "weight_map: model.norm.weight is said to be in" in refusal(llama)


def test_an_index_that_names_a_tensor_where_it_is_not(llama: Path) -> None:
    places = shard(llama)
    others = {*places.values()} - {places["model.norm.weight"]}
    write_index(llama, places | {"model.norm.weight": others.pop()})
    assert "missing model.norm.weight" in refusal(llama)


@pytest.mark.parametrize("places", [None, [], {}, "x"])
def test_an_index_without_places(llama: Path, places: Any) -> None:
    shard(llama)
    write_index(llama, places)
    assert "weight_map: expected" in refusal(llama)


def test_pickles_are_not_read(llama: Path) -> None:
    (llama / "model.safetensors").rename(llama / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle" in refusal(llama, UsageError)
    (llama / "pytorch_model.bin").unlink()
    assert "expected model.safetensors" in refusal(llama)
    (llama / "config.json").unlink()
    assert "no config.json" in refusal(llama)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected JSON"),
        (b"[]", "expected a JSON object"),
        (b"[" * 100_000, "expected JSON"),
        (b'{"a":' * 100_000, "expected JSON"),
        (b'{"vocab_size": ' + b"9" * 100_000 + b"}", "expected JSON"),
        (b'{"model_type": "gpt2", "model_type": "llama"}', "stands twice"),
        (b'{"model_type": NaN}', "NaN"),
        (b"\xff\xfe", "expected JSON"),
        (b"{" + b" " * (5 << 20) + b"}", "has more than"),
        (b"{}", "model_type = None"),
    ],
)
def test_a_hostile_config_is_refused(llama: Path, content: bytes, said: str) -> None:
    (llama / "config.json").write_bytes(content)
    assert said in refusal(llama)


def test_what_a_folder_says_of_itself(llama: Path) -> None:
    (llama / "README.md").write_text("---\ntags:\n- x\nlicense: apache-2.0\n---\nlicense: mit\n")
    source = read_hf(llama).source
    assert source == SourceTable(
        format="hf", path=str(llama), family="llama", name="llama", licence="apache-2.0"
    )
    (llama / "README.md").write_text("license: mit\n")
    assert read_hf(llama).source.licence is None


# Settings beside the weights.


def write_tokenizer(folder: Path, n_words: int, start: bool = False, beyond: int = 0) -> None:
    vocab = {f"w{i}": i for i in range(n_words)}
    library = Library(models.WordLevel(vocab, unk_token="w0"))
    library.add_special_tokens(["<eos>", *(f"<extra{i}>" for i in range(beyond))])
    if start:
        special = [("w1", 1), ("w2", 2)]
        library.post_processor = processors.TemplateProcessing(
            single="w1 $A w2", special_tokens=special
        )
    library.save(str(folder / "tokenizer.json"))


def test_a_folder_without_a_tokenizer(llama: Path) -> None:
    found = read_hf(llama)
    assert found.tokenizer is None
    assert found.generation == {}
    assert "a tokenizer must be given" in found.notices[0]


def test_a_tokenizer_within_the_vocabulary(llama: Path) -> None:
    write_tokenizer(llama, VOCABULARY - 1)
    found = read_hf(llama)
    assert found.tokenizer is not None
    assert found.tokenizer.vocab_size == VOCABULARY
    assert found.notices == []


def test_a_tokenizer_beyond_the_vocabulary_is_refused(llama: Path) -> None:
    ByteTokenizer().save(llama / "tokenizer.json")
    assert "ids up to 256, but config.json has vocab_size = 97" in refusal(llama)
    write_tokenizer(llama, VOCABULARY)  # and the end of a text is the first beyond
    assert "ids up to 97" in refusal(llama)
    (llama / "tokenizer.json").write_text("{}")
    assert "vocabulary" in refusal(llama, TokenizerError)


def test_special_tokens_beyond_the_vocabulary_are_left_out(llama: Path) -> None:
    write_tokenizer(llama, VOCABULARY - 1, beyond=2)
    found = read_hf(llama)
    assert found.tokenizer is not None
    assert found.tokenizer.vocab_size == VOCABULARY
    assert "<extra0>, <extra1>" in found.notices[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"eos_token_id": 3}, {"stop_tokens": [3]}),
        ({"eos_token_id": [3, 9]}, {"stop_tokens": [3, 9]}),
        ({"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.1, "eos_token_id": None},
         {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.1}),
        ({"temperature": 1, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "other": {}},
         {"temperature": 1.0, "stop_tokens": [5]}),
        ({"repetition_penalty": 1.1}, {"repetition_penalty": 1.1, "stop_tokens": [5]}),
    ],
)  # fmt: skip
def test_how_it_is_sampled(llama: Path, settings: Any, expected: dict[str, Any]) -> None:
    retell(llama, eos_token_id=5)
    (llama / "generation_config.json").write_text(json.dumps(settings))
    assert read_hf(llama).generation == expected


@pytest.mark.parametrize("start", [False, True])
def test_a_text_begins_as_its_tokenizer_begins_it(llama: Path, start: bool) -> None:
    retell(llama, bos_token_id=7)
    write_tokenizer(llama, 50, start)
    expected = {"start_token": 1} if start else {"bos_token": 7}  # only a template writes it
    assert read_hf(llama).generation == expected


@pytest.mark.parametrize("special", [{}, {"s": {"id": "s", "ids": [], "tokens": []}}])
def test_a_start_that_is_no_token_is_none(llama: Path, special: dict[str, Any]) -> None:
    start_with(llama, special)
    assert read_hf(llama).generation == {}


def test_a_start_beyond_the_vocabulary_is_refused(llama: Path) -> None:
    start_with(llama, {"s": {"id": "s", "ids": [97], "tokens": ["s"]}})
    assert "post_processor: the first token = 97: expected an id" in refusal(llama)


def start_with(folder: Path, special: dict[str, Any]) -> None:
    write_tokenizer(folder, 50)
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    single = [{"SpecialToken": {"id": "s", "type_id": 0}}]
    processor = {"type": "TemplateProcessing", "single": single, "pair": []}
    path.write_text(
        json.dumps(document | {"post_processor": processor | {"special_tokens": special}})
    )


ODD: dict[str, list[Any]] = {
    "eos_token_id": [-1, 97, "3", True, 2.0, [True], [], [None], {}, [[3]], 50256],
    "temperature": ["hot", -1, 10**40, float("nan"), float("inf"), True, [], {}, [0.5], "0.5"],
    "top_k": [-1, 1.5, 50.0, "50", True, 1 << 40],
    "top_p": [0, 0.0, -0.5, 1.5, True, "0.9"],
    "min_p": [-0.1, 1.1, "x"],
    "repetition_penalty": [0, -1.0, "1.1", float("inf")],
    "do_sample": ["false", 0, 1, []],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, odd in ODD.items() for v in odd])
def test_an_odd_setting_is_off_and_told(llama: Path, name: str, value: Any) -> None:
    (llama / "generation_config.json").write_text(
        json.dumps({name: value, "top_p": 0.5} | {name: value})
    )
    found = read_hf(llama)
    assert found.generation == ({} if name == "top_p" else {"top_p": 0.5})
    (told,) = (line for line in found.notices if "generation_config.json: " in line)
    assert f"{name} = " in told
    assert "expected" in told


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"3", b"\xff", b'{"a": 1' + b"0" * 5000 + b"}", b"[" * 10**5]
)
def test_a_damaged_generation_config_costs_no_import(llama: Path, content: bytes) -> None:
    retell(llama, eos_token_id=5)
    (llama / "generation_config.json").write_bytes(content)
    found = read_hf(llama)
    assert found.generation == {"stop_tokens": [5]}
    assert any("generation_config.json: passed over" in line for line in found.notices)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, {"temperature": 0.0}),
        ({"do_sample": False, "repetition_penalty": 1.5},
         {"temperature": 0.0, "repetition_penalty": 1.5}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"do_sample": True, "temperature": 0.6}, {"temperature": 0.6}),
        ({"do_sample": None, "temperature": None, "top_p": None}, {}),
        ({"top_k": 20}, {"top_k": 20}),
    ],
)  # fmt: skip
def test_without_sampling_it_is_greedy(
    llama: Path, settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    (llama / "generation_config.json").write_text(json.dumps(settings))
    assert read_hf(llama).generation == expected


@pytest.mark.parametrize(
    ("first", "second", "stops", "is_told"),
    [
        ([3, 9], 5, [3, 9], True),
        ([3, 5], 5, [3, 5], False),
        (3, [3], [3], False),
        ("3", 5, [5], True),
        (None, 5, None, False),
        (96, 97, [96], False),
    ],
)
def test_the_generation_config_counts_before_the_config(
    llama: Path, first: Any, second: Any, stops: list[int] | None, is_told: bool
) -> None:
    retell(llama, eos_token_id=second)
    (llama / "generation_config.json").write_text(json.dumps({"eos_token_id": first}))
    found = read_hf(llama)
    assert found.generation.get("stop_tokens") == stops
    assert any("eos_token_id" in line for line in found.notices) == is_told


TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (TEMPLATE, TEMPLATE),
        ([{"name": "tool", "template": "x"}, {"name": "default", "template": TEMPLATE}], TEMPLATE),
        ([{"name": "tool", "template": "x"}], None),
        (None, None),
    ],
)
def test_the_chat_template(llama: Path, told: Any, expected: str | None) -> None:
    (llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": told}))
    assert read_hf(llama).chat_template == expected
    (llama / "chat_template.jinja").write_text("newer")
    assert read_hf(llama).chat_template == "newer"


def test_hostile_templates_are_refused(llama: Path) -> None:
    (llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": 3}))
    assert "chat_template: expected" in refusal(llama)
    (llama / "chat_template.jinja").write_bytes(b"\xff")
    assert "in UTF-8" in refusal(llama)
    (llama / "chat_template.jinja").write_bytes(b"x" * (2 << 20))
    assert "more than 1,048,576 bytes" in refusal(llama)


# The hub.


Asked = list[tuple[str, str | None, list[str]]]


def hub_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Let `folder` be what the hub has under any name; return what will be asked for."""
    asked: Asked = []

    def snapshot_download(
        name: str, revision: str | None, allow_patterns: list[str], max_workers: int
    ) -> str:
        assert max_workers == 1, "a kill costs one file at most"
        asked.append((name, revision, allow_patterns))
        return str(folder)

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return asked


def test_a_name_is_fetched_and_only_what_is_read(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub_of(llama, monkeypatch)
    assert fetch_hub("owner/model-1.0") == llama
    ((name, revision, patterns),) = asked
    assert (name, revision) == ("owner/model-1.0", None)
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in patterns)


def test_weights_are_fetched_last_and_of_the_same_commit(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hub_of(llama, monkeypatch)
    found = open_pretrained("owner/model-1.0@v2", trust_pickle=False).source
    assert (found.name, found.revision) == ("owner/model-1.0", llama.name)
    (first, second) = asked
    assert first[:2] == ("owner/model-1.0", "v2")
    assert "model.safetensors" not in first[2]
    assert second == ("owner/model-1.0", llama.name, [*WEIGHT_FILES])


@pytest.mark.parametrize(
    ("changes", "has_tokenizer", "said"),
    [
        ({"model_type": "mamba"}, True, "mamba"),
        ({"hidden_act": "tanh"}, True, "hidden_act"),
        ({}, False, "owner/model has no tokenizer.json; give one with --tokenizer"),
    ],
)
def test_what_its_config_refuses_costs_no_weights(
    llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    has_tokenizer: bool,
    said: str,
) -> None:
    asked = hub_of(llama, monkeypatch)
    (llama / "tokenizer.json").unlink(missing_ok=True)
    retell(llama, **changes)
    with pytest.raises(GroundupError, match=said):
        open_pretrained("owner/model", trust_pickle=False, has_tokenizer=has_tokenizer)
    assert len(asked) == 1


def test_without_a_network_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route\nto the hub")

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(RunError, match=r"owner/model: .*\(no route to the hub\)") as error:
        fetch_hub("owner/model")
    assert "\n" not in str(error.value)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="pip install huggingface_hub"):
        fetch_hub("owner/model")


@pytest.mark.parametrize(
    "name",
    ["gpt2", "a/b/c", "../x", "a/..", "é/x", "a/b c", "/a", "a/" + "b" * 99, "a/b@", "a/b@c d"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected owner/name"):
        fetch_hub(name)
