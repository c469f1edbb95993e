"""Longrope has one list of factors for short texts and one for long ones: a context chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.base.errors import GroundupError, RunError, UsageError
from groundup.generate import KVCache
from groundup.runs import RunFolder
from groundup.tokenizer import CharTokenizer
from groundup.weights import export_model, import_model
from groundup.weights.formats import open_pretrained
from groundup.weights.hf import read_hf, write_hf
from groundup.weights.pretrained import Exported, Pretrained
from tests.weights.hf.conftest import Pair
from tests.weights.hf.models import CONTEXT, MODELS, VOCABULARY, filled, loaded, saved
from tests.weights.hf.test_parity import assert_close, greedy

LONG = 4 * CONTEXT


@pytest.fixture(scope="module", params=[name for name in MODELS if name.endswith("longrope")])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp(request.param)
    theirs = saved(request.param, folder)
    found = read_hf(folder, context=LONG)
    return Pair(theirs, folder, found, filled(found))


@pytest.mark.parametrize("length", [CONTEXT + 1, 100, LONG])
@torch.no_grad()
def test_logits_of_long_texts(long: Pair, length: int) -> None:
    tokens = torch.randint(VOCABULARY, (2, length))
    expected = long.theirs(tokens).logits
    cache = KVCache(long.ours.config, n_rows=2, capacity=length)
    pieces = [long.ours(piece, cache) for piece in tokens.split([50, 1, 1, length - 52], dim=1)]
    assert_close(long.ours(tokens), expected)
    assert_close(torch.cat(pieces, dim=1), expected)
    short = filled(read_hf(long.folder))
    both = (model(tokens[:, :CONTEXT]) for model in (long.ours, short))
    assert (next(both) - next(both)).abs().max() > 0.01


@torch.no_grad()
def test_greedy_texts_beyond_the_first_context(long: Pair) -> None:
    prompt = torch.randint(1, VOCABULARY, (1, CONTEXT + 1))
    theirs = long.theirs.generate(prompt, max_new_tokens=30, do_sample=False, pad_token_id=0)
    assert greedy(long.ours, prompt.tolist(), 30) == theirs[:, CONTEXT + 1 :].tolist()


def out(found: Pretrained, folder: Path, family: str) -> Path:
    plain: dict[str, Any] = {"chat_template": None, "generation": {}, "name": "again"}
    model = Exported(
        config=found.config,
        tensors=found.tensors,
        tokenizer=CharTokenizer("abc"),
        family=family,
        **plain,
    )
    assert write_hf(model, folder) == []
    return folder


@pytest.mark.parametrize("context", [CONTEXT - 20, CONTEXT, CONTEXT + 20, LONG])
@torch.no_grad()
def test_out_again_it_is_the_same_at_every_length(long: Pair, tmp_path: Path, context: int) -> None:
    kind = long.theirs.config.model_type
    found = read_hf(long.folder, context=context)
    folder = out(found, tmp_path / "out", kind)
    ours, theirs = filled(found), loaded(folder)
    assert theirs.config.model_type == kind
    for length in (1, context // 2, context - 1, context):
        tokens = torch.randint(VOCABULARY, (2, length))
        assert_close(ours(tokens), theirs(tokens).logits)
    again = read_hf(folder)
    assert again.config == found.config
    assert again.notices == read_hf(folder, context=context).notices  # nothing was cut


def test_a_cut_context_is_told_and_can_be_chosen(tmp_path: Path) -> None:
    saved("phi3-longrope", tmp_path / "in")
    given: dict[str, Any] = {"tokenizer": CharTokenizer("abc")}
    short = import_model(tmp_path / "in", tmp_path / "short", **given)
    (notice,) = [line for line in short.notices if "longrope" in line]
    assert f"its context is {CONTEXT} here" in notice
    assert f"--set context_length={LONG}" in notice
    long = import_model(
        tmp_path / "in", tmp_path / "long", settings={"context_length": LONG}, **given
    )
    (notice,) = [line for line in long.notices if "longrope" in line]
    assert "short texts have the factors of long ones" in notice
    for name, context, first in (("short", CONTEXT, 1.02), ("long", LONG, 1.5)):
        folder = RunFolder(tmp_path / name)
        config = folder.model_config(folder.read())
        assert (config.context_length, config.rope_factors[0]) == (context, first)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"context_length": LONG + 1}, f"--set context_length={LONG + 1}: .* has up to {LONG}"),
        ({"context_length": 0}, "--set context_length=0"),
        ({"context_length": LONG, "n_heads": 4}, "says its own shape"),
    ],
)
def test_a_context_that_it_does_not_have_is_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    saved("phi3-longrope", tmp_path)
    with pytest.raises(UsageError, match=said):
        open_pretrained(tmp_path, False, settings)


def test_no_other_model_leaves_the_choice(tmp_path: Path) -> None:
    saved("phi3", tmp_path / "phi3")
    saved("phi3-longrope", tmp_path / "in")
    import_model(tmp_path / "in", tmp_path / "run", tokenizer=CharTokenizer("abc"))
    export_model(tmp_path / "run", tmp_path / "own", "safetensors")  # has the one list it chose
    for name in ("phi3", "own"):
        with pytest.raises(UsageError, match="says its own shape"):
            open_pretrained(tmp_path / name, False, {"context_length": 10})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"short_factor": None}, "rope_parameters.short_factor = None: expected a list of numbers"),
        ({"long_factor": [1.0, "2", 3.0]}, "rope_parameters.long_factor = 2"),
        ({"short_factor": [1.0, 2.0]}, "has 2 factors for short texts and 3 for long ones"),
        ({"long_factor": [1.0, 2.0]}, "has 3 factors for short texts and 2 for long ones"),
        (
            {"short_factor": [1.0, 2.0], "long_factor": [1.0, 2.0]},
            "rope_factors = .*3 numbers above 0",
        ),
        ({"short_factor": [1.0, 0.0, 2.0]}, "rope_factors = .*3 numbers above 0"),
        ({"attention_factor": 0}, "attention_factor = 0: expected above 0"),
        ({"factor": "4"}, "rope_parameters.factor = 4"),
        ({"original_max_position_embeddings": 30}, "original_max_position_embeddings = 64"),
        ({"rope_type": "linear"}, "rope_type = linear: expected one of default, longrope, su"),
    ],
)
def test_damaged_tables_are_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    saved("phi3-longrope", tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    values["rope_parameters"] |= changes
    path.write_text(json.dumps(values))
    with pytest.raises(GroundupError, match=said) as error:
        read_hf(tmp_path)
    assert "\n" not in str(error.value)


def test_a_context_of_one_token_before_is_refused(tmp_path: Path) -> None:
    saved("phi3-longrope", tmp_path)
    text = (tmp_path / "config.json").read_text()
    one = text.replace(f'embeddings": {CONTEXT},', 'embeddings": 1,')
    (tmp_path / "config.json").write_text(one)
    with pytest.raises(RunError, match="longrope of 1 tokens of context: expected 2 or more"):
        read_hf(tmp_path)


@pytest.mark.parametrize("name", ["su", "yarn"])
def test_older_names_of_it_are_known(tmp_path: Path, name: str) -> None:
    """Phi 3 called it so, and `transformers` knows it in that family."""
    theirs = saved("phi3-longrope", tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    values["rope_parameters"]["rope_type"] = name
    path.write_text(json.dumps(values))
    tokens = torch.randint(VOCABULARY, (2, CONTEXT))
    with torch.no_grad():
        expected = loaded(tmp_path)(tokens).logits
        assert_close(filled(read_hf(tmp_path))(tokens), expected)
        assert_close(theirs(tokens).logits, expected)
