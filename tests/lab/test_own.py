"""Experiments of one's own: what is wrong with one is a line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.base.errors import ConfigError, UsageError
from groundup.lab import run_experiment
from groundup.lab.own import compare_arms, own_experiment
from groundup.lab.own_file import read_own_toml

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = {"context_length": 8, "emb_dim": 8, "n_heads": 1, "n_layers": 1}
ARMS = "[arms.a]\nffn_dim = 8\n[arms.b]\nffn_dim = 16\n"
QUESTION = 'question = "Which?"\n'
GOOD = QUESTION + ARMS


def with_lines(lines: str) -> str:
    return f"{QUESTION}{lines}\n{ARMS}"


# what is written, what the line must say
FILES: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("question = ", ["expected TOML"]),
    "no question": ("[arms.a]\n[arms.b]\n", ["no question"]),
    "no arms": ('question = "?"', ["no arms", "[arms.NAME]"]),
    "one arm": ('question = "?"\n[arms.a]\n', ["1 arm;", "two or more"]),
    "arms that do not differ": (
        'question = "?"\n[arms.a]\n[arms.b]\n',
        ["a and b do not differ", "leave it out"],
    ),
    "arms of equal settings": (
        'question = "?"\n[arms.a]\nffn_dim = 256\n[arms.b]\n',
        ["a and b do not differ"],
    ),
    "an unknown key": (with_lines("seed_count = 3"), ["unknown key 'seed_count'", "seeds"]),
    "a setting at the top": (with_lines("n_layers = 3"), ["n_layers", "[model]"]),
    "a setting in the wrong table": (
        with_lines("[train]\nn_layers = 3"),
        ["train: n_layers belongs into the table [model]"],
    ),
    "an unknown setting": (
        GOOD.replace("ffn_dim = 8", "fnn_dim = 8"),
        ["arms.a", "unknown key 'fnn_dim'", "ffn_dim"],
    ),
    "a part that does not exist": (
        GOOD.replace("ffn_dim = 8", 'norm = "rmsnrm"'),
        ["arms.a", "norm = 'rmsnrm'", "rmsnorm"],
    ),
    "a number that no model can have": (
        GOOD.replace("ffn_dim = 8", "n_heads = 7"),
        ["arms.a", "n_heads = 7 does not divide"],
    ),
    "the vocabulary": (GOOD.replace("ffn_dim = 8", "vocab_size = 8"), ["vocab_size", "the text"]),
    "a time": (with_lines("[train]\nminutes = 1"), ["minutes", "write steps"]),
    "an unknown metric": (with_lines('metric = "loss"'), ["metric = 'loss'", "val_loss"]),
    "against no arm": (with_lines('against = "c"'), ["against = 'c'", "a, b"]),
    "one seed": (with_lines("seeds = 1"), ["seeds = 1", "2 to 1000"]),
    "seeds that are none": (with_lines('seeds = "5"'), ["seeds = '5'", "whole number"]),
    "steps that are none": (with_lines("steps = 0"), ["arms.a: steps = 0"]),
    "an arm without a name": ('question = "?"\n[arms." "]\n[arms.b]\n', ["an arm is called ' '"]),
    "an arm that is no table": (
        'question = "?"\n[arms]\na = 1\nb = 2\n',
        ["arms.a = 1", "table of settings"],
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_meant(tmp_path: Path, case: str) -> None:
    content, expected = FILES[case]
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(Exception, match=r"mine\.toml: ") as raised:
        read_own_toml(path)
    said = str(raised.value)
    assert "\n" not in said
    for part in expected:
        assert part in said


def test_a_good_file_and_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "My arms.toml"
    path.write_text(with_lines('metric = "train_loss"\nseeds = 3\n[model]\nn_layers = 1'))
    experiment = own_experiment(path)
    (study,) = experiment.studies(2)
    assert experiment.name == "my-arms"
    assert [arm.name for arm in study.arms] == ["a", "b"]
    assert len(study.seeds) == 6
    assert study.train["optimizer"] == "adamw"
    with pytest.raises(UsageError, match="no such file"):
        own_experiment(tmp_path / "none.toml")
    path = tmp_path / "norm.toml"
    path.write_text(GOOD)
    with pytest.raises(UsageError, match="called norm, as one of groundup's"):
        own_experiment(path)


PYTHON = {
    "x = 1\n": "it has no EXPERIMENT; write EXPERIMENT = compare_arms",
    "EXPERIMENT = 3\n": "it has a int as EXPERIMENT",
    "x = 1\nx +\n": "line 2: SyntaxError: invalid syntax",
    "x = 1\n\nnone.at_all\n": "line 3: NameError: name 'none' is not defined",
    "from groundup.lab import compare_arms as c\nEXPERIMENT = c('a', '?', {})": "no arms; expected",
}


@pytest.mark.parametrize("content", PYTHON)
def test_a_python_file_that_holds_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        own_experiment(path)
    assert str(raised.value).startswith(str(path))
    assert PYTHON[content] in str(raised.value)


def test_what_a_python_file_prints_is_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text((EXAMPLES / "lab_squash.py").read_text() + "\nprint('hello')\n")
    assert own_experiment(path).name == "squash"
    assert capsys.readouterr().out == ""


def test_parts_of_ones_own_need_to_be_given() -> None:
    arms = {"a": {}, "b": {"norm": "mine"}}
    with pytest.raises(ConfigError, match=r"arms.b: norm = 'mine'"):
        compare_arms("own", "?", arms)


@pytest.mark.parametrize("name", ["lab_activation.toml", "lab_squash.py"])
def test_the_examples_run(tmp_path: Path, story: str, name: str) -> None:
    source = (EXAMPLES / name).read_text()
    for long, short in (
        ("steps = 300", "steps = 2"),
        ("steps=300", "steps=2"),
        ("seeds = 5", "seeds = 2"),
        ("seeds=5", "seeds=2"),
        ("emb_dim = 48", "emb_dim = 8"),
        ('"emb_dim": 48', '"emb_dim": 8'),
        ("context_length = 64", "context_length = 16"),
        ('"context_length": 64', '"context_length": 16'),
    ):
        source = source.replace(long, short)
    path = tmp_path / name
    path.write_text(source)
    experiment = own_experiment(path)
    report = run_experiment(experiment, text=story, folder=tmp_path / "out")
    ((study, finding),) = report.concluded
    assert len(study.seeds) == 2
    assert len(finding.differences) == len(study.arms) - 1
    assert report.verdict
    assert study.prediction.says in (tmp_path / "out" / "report.html").read_text()
