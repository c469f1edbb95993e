"""A run that goes on by its own record ends bit for bit as its command would have ended it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import RunError, UsageError
from groundup.config import TrainConfig
from groundup.runs import RunFolder
from groundup.runs.manifest import Manifest
from groundup.runs.own import PathsElsewhere, allow, sealed
from groundup.train import TrainRequest, TrainRun, train_run
from groundup.train.pretraining import steps_of
from groundup.train.request import recorded_request
from tests.train.test_run import StopAt, assert_same_bits, folder, lines, quiet, request


def going_on(stopped: TrainRun, **others: Any) -> TrainRequest:
    return recorded_request(stopped.folder, **others)


@pytest.mark.parametrize("changes", [{}, {"drop_rate": 0.1}, {"minutes": 0.01}], ids=str)
def test_a_run_goes_on_by_its_own_record(tmp_path: Path, changes: dict[str, Any]) -> None:
    ask = request(folder(tmp_path, "a"), **changes)
    stopped = train_run(ask, StopAt(9))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    whole = train_run(ask, quiet())
    moved = RunFolder(tmp_path / "b" / "runs" / ask.name())
    (tmp_path / "a" / "story.txt").unlink()  # the shards of the text are enough
    again = recorded_request(moved)
    assert again.command == ask.command
    resumed = train_run(again, quiet())
    assert stopped.folder.path != resumed.folder.path
    if "minutes" not in changes:  # of which the speed decides
        assert_same_bits(whole, resumed)
        assert lines(whole) == lines(resumed)
    assert resumed.progress.finished
    assert train_run(recorded_request(moved), quiet()).was_finished


def test_what_is_recorded_is_what_was_asked(tmp_path: Path) -> None:
    ask = dataclasses.replace(
        request(tmp_path), run="other", text_options={"encoding": "latin-1", "split_on": "\n\n"}
    )
    stopped = train_run(ask, StopAt(7))
    shutil.rmtree(tmp_path / "data")
    again = going_on(stopped)
    assert again.prepared is None
    assert (again.sources, again.text_options) == (ask.sources, ask.text_options)
    assert (again.tokenizer, again.train, again.name()) == ("bpe", ask.train, "other")
    resumed = train_run(again, quiet())
    other = dataclasses.replace(ask, run="whole")
    assert_same_bits(train_run(other, quiet()), resumed)


def test_a_run_goes_on_from_within_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = train_run(request(tmp_path), StopAt(7))
    monkeypatch.chdir(stopped.folder.path)
    assert recorded_request(RunFolder(Path())).folder.path == stopped.folder.path.resolve()


def test_a_text_that_was_piped_in_is_asked_for_again(tmp_path: Path) -> None:
    stopped = train_run(request(tmp_path), StopAt(7))
    tables = stopped.folder.read().as_table()
    tables["request"]["text"]["sources"] = ["-"]
    stopped.folder.write(sealed(Manifest.of(tables)))
    going_on(stopped).check()
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(UsageError, match="it was piped in; repeat its command"):
        going_on(stopped)


def test_a_run_that_was_lengthened_goes_on_too(tmp_path: Path) -> None:
    done = train_run(request(tmp_path), quiet())
    stopped = train_run(going_on(done, extend=40), StopAt(30))
    assert not stopped.progress.finished
    resumed = train_run(going_on(stopped), quiet())
    assert (resumed.progress.step, resumed.progress.finished) == (40, True)
    with pytest.raises(UsageError, match="already trains to step 40"):
        going_on(resumed, extend=30).check()


def test_a_run_that_trains_on_goes_on_without_its_base(tmp_path: Path) -> None:
    base = train_run(dataclasses.replace(request(tmp_path), run="base"), quiet()).folder.path
    ask = dataclasses.replace(request(tmp_path), base=base, model_changes={}, run="more")
    whole = train_run(dataclasses.replace(ask, run="whole"), quiet())
    stopped = train_run(ask, StopAt(9))
    shutil.move(base, tmp_path / "elsewhere")
    assert_same_bits(whole, train_run(going_on(stopped), quiet()))


def test_a_run_of_an_older_version_goes_on_from_its_shards(tmp_path: Path) -> None:
    ask = request(tmp_path)
    whole = train_run(dataclasses.replace(ask, run="whole"), quiet())
    stopped = train_run(dataclasses.replace(ask, run="old", command="groundup train x"), StopAt(7))
    tables = stopped.folder.read().as_table()
    for key in ("changes", "text"):
        del tables["request"][key]
    stopped.folder.write(Manifest.of({name: tables[name] for name in tables if name != "own"}))
    with pytest.raises(PathsElsewhere, match="its token shards"):
        going_on(stopped)
    allow(stopped.folder)
    resumed = train_run(going_on(stopped), quiet())
    assert_same_bits(whole, resumed)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(UsageError, match="repeat its command: groundup train x"):
        going_on(stopped)


def test_only_what_was_said_is_listed(tmp_path: Path) -> None:
    train_run(request(tmp_path), StopAt(7))
    other = dataclasses.replace(request(tmp_path, preset="gpt2-pico"), run="story-pico")
    with pytest.raises(UsageError) as caught:
        other.check()
    assert "(preset was pico, now gpt2-pico)" in str(caught.value)
    with pytest.raises(UsageError, match=r"\(minutes was not set, now 1\.0; steps was 24, now not"):
        request(tmp_path, minutes=1).check()
    chars = dataclasses.replace(request(tmp_path), tokenizer="chars")
    with pytest.raises(UsageError, match="tokenizer was bpe, now chars"):
        train_run(chars, quiet())


def test_the_size_of_a_vocabulary_that_follows_from_the_text_is_told_once(tmp_path: Path) -> None:
    ask = dataclasses.replace(request(tmp_path), tokenizer="chars", run="letters")
    train_run(ask, StopAt(7))
    (tmp_path / "other.txt").write_text("a b c d e f g h i j\n" * 200)
    other = dataclasses.replace(ask, sources=(str(tmp_path / "other.txt"),))
    with pytest.raises(UsageError, match="sources") as caught:
        train_run(other, quiet())
    assert str(caught.value).count("vocab_size") == 1


def test_passes_over_the_text_become_steps_and_stay(tmp_path: Path) -> None:
    ask = request(tmp_path, epochs=0.15)
    stopped = train_run(ask, StopAt(7))
    tables = stopped.folder.read().as_table()
    steps = steps_of(0.15, tables["data"]["train_tokens"], 4 * 16)
    assert tables["train"]["steps"] == steps > 7
    assert (tables["train"]["epochs"], tables["request"]["train"]["epochs"]) == (0.15, 0.15)
    resumed = train_run(ask, quiet())
    assert (resumed.progress.step, resumed.progress.finished) == (steps, True)
    known = dataclasses.replace(request(tmp_path, steps=steps), run="steps")
    assert_same_bits(train_run(known, quiet()), resumed)


def test_what_is_not_there_cannot_go_on(tmp_path: Path) -> None:
    train_run(request(tmp_path, steps=1), quiet())
    with pytest.raises(RunError, match=r"did you mean .*runs/story-pico\?"):
        recorded_request(RunFolder(tmp_path / "runs" / "storypico"))
    new = dataclasses.replace(request(tmp_path, extend=9), run="storypico")
    for refused in (new.check, lambda: train_run(new, quiet())):
        with pytest.raises(UsageError, match=r"no run .*storypico to lengthen; did you mean"):
            refused()


@pytest.mark.parametrize(
    ("minutes", "given", "n_layers"),
    [(0.5, {}, 2), (3.9, {}, 2), (4.0, {}, 3), (10.0, {}, None), (None, {}, None),
     (2.0, {"n_layers": 6}, 6)],
)  # fmt: skip
def test_little_time_takes_fewer_layers(
    tmp_path: Path, minutes: float | None, given: dict[str, int], n_layers: int | None
) -> None:
    ask = TrainRequest(
        train=TrainConfig(minutes=minutes), model_changes=given, runs_folder=tmp_path
    )
    assert ask.with_layers_for_its_time().model_changes.get("n_layers") == n_layers


def test_a_run_that_is_there_keeps_its_layers(tmp_path: Path) -> None:
    stopped = train_run(request(tmp_path, n_layers=1), StopAt(7))
    ask = dataclasses.replace(request(tmp_path, minutes=2.0), model_changes={})
    assert ask.folder.path == stopped.folder.path
    assert ask.with_layers_for_its_time().model_changes == {"n_layers": 1}
