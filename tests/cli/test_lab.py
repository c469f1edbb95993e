"""`groundup lab`: what it lists, what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from groundup.lab.running import workers as workers_module
from tests.cli.conftest import Groundup
from tests.texts import text_file

TOY = Path(__file__).parents[1] / "lab" / "toy.py"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a file beside a story, of an experiment that is measured in this process."""
    shutil.copy(TOY, tmp_path / "toy.py")
    text_file(tmp_path, 1500)
    monkeypatch.setattr(
        "groundup.lab.running.run.Workers", lambda size: workers_module.InThisProcess()
    )
    return "toy.py"


def test_the_list_of_experiments(groundup: Groundup) -> None:
    shown = groundup("lab")
    assert shown.status == 0
    listed = json.loads(groundup("lab", "--json").out)
    for one in listed:
        assert one["name"] in shown.out
        assert all(word in shown.out for word in one["question"].split())
    assert max(map(len, shown.out.splitlines())) <= 80, "a table to be read, also where piped"
    by_name = {one["name"]: one for one in listed}
    assert by_name["control"]["least"] == 1
    assert by_name["scaling"]["least"] > 1
    assert "with --budget" in shown.out


def test_the_prediction_stands_before_the_first_run(groundup: Groundup, toy: str) -> None:
    done = groundup("lab", toy, "--text", "story.txt")
    assert done.status == 0
    order = [
        "Does the machinery run?",
        "Before (start, at initialisation)",
        "all will be well (ours)",
        "AdamW at a fixed rate of 0.001; 3 steps of 2 sequences of 8 tokens",
        "13 of 16 cells are left to measure",
        "There are 12 norms.",
        "Verdict     There are 12 norms. ",
        "Predictions 1 of 2 predictions came out; left open: end.",
        "lab/toy/report.html",
        "lab/toy/results.csv",
    ]
    places = [done.out.index(part) for part in order]
    assert places == sorted(places)
    again = groundup("lab", toy, "--text", "story.txt")
    assert "All 16 cells were measured before" in again.out
    assert again.out.split("Verdict")[1] == done.out.split("Verdict")[1]


def test_json_has_the_verdict_first(groundup: Groundup, toy: str) -> None:
    done = groundup("lab", toy, "--text", "story.txt", "--only", "start", "--json")
    told = json.loads(done.out, parse_constant=lambda name: pytest.fail(name))
    assert list(told)[:2] == ["verdict", "predictions"]
    assert told["predictions"] == "The prediction came out."
    assert told["came_out"] is True
    assert told["folder"] == "lab/toy"
    assert json.loads(Path("lab/toy/verdict.json").read_text()) == told


BUDGET = "such as 90s, 30m or 1h"
# words after `lab`, what the line must say
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "an unknown name": (["nrom"], ["no experiment 'nrom'", "'norm'"]),
    "a name of others": (["--budjet", "1h"], ["--budjet", "--budget"]),
    "no such file": (["none.py"], ["none.py: no such file"]),
    "no such table": (["none.toml"], ["none.toml: no such file"]),
    "a malformed budget": (["norm", "--budget", "soon"], ["--budget soon", BUDGET]),
    "a budget without a unit": (["norm", "--budget", "10"], ["--budget 10", BUDGET]),
    "no process": (["norm", "--processes", "0"], ["processes = 0", "1 to 1024"]),
    "standard input": (["norm", "--text", "-"], ["--text -", "give a file"]),
    "a pipe": (["norm", "--text", "/dev/stdin"], ["--text /dev/stdin", "give a file"]),
    "flags without a name": (["--budget", "1h"], ["which experiment?"]),
    "a text that is not there": (["norm", "--text", "no.txt"], ["no.txt"]),
    "a text too short": (["norm", "--text", "short.txt"], ["short.txt: 6 characters", "20,000"]),
    "a part that does not exist": (["bad.toml"], ["bad.toml: arms.b: norm = 'x'", "rmsnorm"]),
    "arms that do not differ": (["same.toml"], ["same.toml: the arms a and b do not differ"]),
}


@pytest.mark.parametrize("case", WORDS)
def test_words_that_cannot_be_meant(groundup: Groundup, tmp_path: Path, case: str) -> None:
    words, expected = WORDS[case]
    (tmp_path / "short.txt").write_text("To be.")
    (tmp_path / "bad.toml").write_text('question = "?"\n[arms.a]\n[arms.b]\nnorm = "x"\n')
    (tmp_path / "same.toml").write_text('question = "?"\n[arms.a]\n[arms.b]\n')
    done = groundup("lab", *words)
    assert done.status in (1, 2)
    assert done.out == ""
    for part in expected:
        assert part in done.error
    assert not (tmp_path / "lab").exists()


STUDIES = {
    "arms that do not differ": (
        ('options={"nap": 0.0}', 'model={"feed_forward": "gelu"}'),
        "the arms gelu and relu do not differ",
    ),
    "no arms": (('"arms": ARMS', '"arms": ()'), "start: it has no arms; give one or more"),
    "two arms of a name": (('name="relu"', 'name="gelu"'), "start: two arms are gelu"),
    "two studies of a name": (('name="end"', 'name="start"'), "two studies are called start"),
    "no seeds": (("range(1, 4)", "()"), "start: it has no seeds"),
    "a value twice": (("(1.0, 2.0)", "(1.0, 1.0)"), "start: two values are 1.0"),
    "a part that does not exist": (
        ('{"feed_forward": "gelu"}', '{"feed_forward": "gulu"}'),
        "start: gelu: feed_forward = 'gulu'",
    ),
    "a setting that does not exist": (('"emb_dim": 8', '"emb_dm": 8'), "unknown key 'emb_dm'"),
}


@pytest.mark.parametrize("case", STUDIES)
def test_studies_that_tell_nothing(groundup: Groundup, toy: str, case: str) -> None:
    (old, new), expected = STUDIES[case]
    source = Path(toy).read_text()
    assert old in source
    Path(toy).write_text(source.replace(old, new))
    done = groundup("lab", toy, "--text", "story.txt")
    assert done.status == 2
    assert expected in done.error


def test_folders_that_hold_something_else(groundup: Groundup, toy: str) -> None:
    Path("novel").mkdir()
    Path("novel/chapter.txt").write_text("Once")
    held, file = "it holds chapter.txt", "a file; expected a folder"
    for out, said in (("novel", held), ("story.txt", file)):
        done = groundup("lab", toy, "--text", "story.txt", "--out", out)
        assert done.status == 2
        assert f"--out {out}: {said}" in done.error
    assert [path.name for path in Path("novel").iterdir()] == ["chapter.txt"]
    words = ("--text", "story.txt", "--only", "start")
    assert groundup("lab", toy, *words, "--out", "mine").status == 0
    Path(toy).write_text(Path(toy).read_text().replace('name="toy"', 'name="toy-two"'))
    done = groundup("lab", toy, *words, "--out", "mine")
    assert "--out mine: it holds the experiment toy, not toy-two" in done.error
    Path("mine/lab.json").write_text("{}")
    done = groundup("lab", toy, *words, "--out", "mine")
    assert "lab.json: expected format = 1" in done.error


def test_a_budget_that_is_needed_or_too_small(groundup: Groundup, toy: str) -> None:
    words = ("lab", toy, "--text", "story.txt")
    done = groundup(*words, "--budget", "0.01s")
    assert done.status == 2
    assert "is too small: it takes about" in done.error
    assert "0 of 2 seeds of the study 'end' would fit, too few to show a difference" in done.error
    source = Path(toy).read_text()
    Path(toy).write_text(source.replace("studies=studies)", "studies=studies, least=2)"))
    done = groundup(*words)
    assert done.status == 2
    assert "toy takes more time than others: give --budget" in done.error


def test_words_of_others(groundup: Groundup) -> None:
    for word in ("experiment", "ablation", "ablate"):
        assert "'groundup lab NAME'" in groundup(word).error
    assert "--processes" in groundup("lab", "norm", "--jobs", 2).error
    assert "--out" in groundup("lab", "norm", "--output-dir", "x").error


OWN_CODE = {
    "it leaves while it is read": (
        ("import math\n", "import math\n\nraise SystemExit(0)\n"),
        2,
        ["toy.py", "SystemExit: 0"],
    ),
    "its studies cannot be made": (
        ("    words: dict[str, Any] =", "    1 / 0\n    words: dict[str, Any] ="),
        1,
        ["toy: making its studies failed: ZeroDivisionError", "(toy.py, line"],
    ),
    "a study that is none": (("    return [\n", "    return [\n        3,\n"), 2, ["a study is 3"]),
    "seeds that are no list": (("range(1, 4)", "iter([1, 2])"), 2, ["start: seeds = <"]),
    "it leaves while it measures": (
        ("weight.norm()", "exit(0)"),
        1,
        ["start: gelu, 1, seed 1: SystemExit: 0"],
    ),
    "more numbers than can be kept": (
        ("math.nan}", "[0.0] * 100_001}"),
        2,
        ["numbers; expected at most 100,000"],
    ),
    "a number without end": (("math.nan}", "10**5000}"), 2, ["none is int too large to show"]),
    "its conclusion fails": (
        ('results.numbers("norm"', 'results.numbers("nrm"'),
        1,
        ["start: concluding failed: KeyError: 'nrm'", "line"],
    ),
    "its conclusion leaves": (("    n = sum", "    exit(0)\n    n = sum"), 1, ["SystemExit: 0"]),
    "its conclusion is none": (
        ("    n = sum", "    return 3\n    n = sum"),
        2,
        ["it returned 3; expected a Finding"],
    ),
    "figures that are none": (
        ('figures={"lost": math.inf}', 'figures={"lost": object()}'),
        2,
        ["its figures: Object of type object"],
    ),
    "a name that is a path": (('name="toy"', 'name="../../evil"'), 2, ["'../../evil'; expected"]),
    "a name that is none": (('name="toy"', "name=3"), 2, ["an experiment is called 3"]),
    "a question that is none": (('"Does the machinery run?"', '" "'), 2, ["toy: question = ' '"]),
    "a scale that is none": (
        ("studies=studies)", 'studies=studies, least="2")'),
        2,
        ["least = '2'"],
    ),
    "an answer of no study": (
        ("studies=studies)", 'studies=studies, answered_by=["strat"])'),
        2,
        ["toy: answered_by = 'strat': no such study; did you mean 'start'"],
    ),
    "parts that are none": (
        ('options={"nap": 0.0}', "parts={}"),
        2,
        ["start: relu: parts = {}: expected Parts"],
    ),
    "a kind that is none": (
        ("kind=AT_INITIALISATION", 'kind="untrained"'),
        2,
        ["start: kind = 'u"],
    ),
    "a prediction that is none": (
        ('Prediction(says="all will be well", source="ours")', '"all will be well"'),
        2,
        ["start: prediction = 'all", "expected a groundup.lab.Prediction"],
    ),
    "an outcome that is none": (("came_out=n > 0", 'came_out="yes"'), 2, ["came_out = 'yes'"]),
    "notes that are none": (("came_out=n > 0", 'came_out=None, notes="no"'), 2, ["notes = 'no'"]),
}


@pytest.mark.parametrize("case", OWN_CODE)
def test_code_of_ones_own_that_fails_is_one_line(groundup: Groundup, toy: str, case: str) -> None:
    (old, new), status, expected = OWN_CODE[case]
    source = Path(toy).read_text()
    assert old in source
    Path(toy).write_text(source.replace(old, new))
    done = groundup("lab", toy, "--text", "story.txt", "--only", "start", "--json")
    assert (done.status, done.out) == (status, "")
    for part in expected:
        assert part in done.error


def test_what_a_conclusion_prints_is_no_verdict_and_figures_of_numpy_are_plain(
    groundup: Groundup, toy: str
) -> None:
    source = Path(toy).read_text()
    source = source.replace("    n = sum", "    print('hello')\n    n = sum")
    source = source.replace('"lost": math.inf', '"some": __import__("numpy").arange(2)')
    Path(toy).write_text(source)
    done = groundup("lab", toy, "--text", "story.txt", "--only", "at initialisation", "--json")
    assert json.loads(done.out)["studies"][0]["figures"] == {"some": [0, 1]}


def test_files_of_somebody_that_are_called_as_ours(groundup: Groundup, toy: str) -> None:
    for name in ("results.csv", "report.html"):
        folder = Path("mine", name)
        folder.mkdir(parents=True)
        (folder / name).write_text("mine")
        done = groundup("lab", toy, "--text", "story.txt", "--out", folder)
        assert done.status == 2
        assert f"it holds {name}, which is no experiment's" in done.error
        assert (folder / name).read_text() == "mine"
    damaged = Path("damaged")
    damaged.mkdir()
    (damaged / "lab.json").write_text('{"format": 1, "experiment": "toy", "scales": [1]}')
    words = ("--only", "start", "--out", damaged, "--budget", "20s")
    done = groundup("lab", toy, "--text", "story.txt", *words)
    assert (done.status, done.err) == (0, "")
