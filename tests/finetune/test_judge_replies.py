"""A judge compares the replies that were kept: of a finished run, too, and goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup import load
from groundup.base.errors import RunError, UsageError
from groundup.evaluate import Candidate, evaluate_task, read_questions
from groundup.evaluate.endpoint import Endpoint
from groundup.finetune.assistant import dialogue_run
from groundup.finetune.assistant.choose import assistant_run
from groundup.finetune.assistant.request import InstructRequest, recorded_instruct
from groundup.finetune.replies.run import InstructRun
from groundup.model import grown
from groundup.runs import RunFolder, read_lines
from groundup.runs.kept_replies import read_replies
from groundup.train import Recorder, drive
from groundup.train.listener import Screen
from tests.evaluate.judging import both, judging
from tests.finetune.asking import Told
from tests.finetune.making_pairs import with_pairs
from tests.finetune.test_judge_assistant import judged, lent, request, train, with_base


def documents(n: int = 12) -> str:
    words = ["river", "house", "garden"]
    made = [
        {"goal": f"go {i}", "sol1": words[i % 3], "sol2": words[-i % 2], "label": i // 2 % 2}
        for i in range(n)
    ]
    return "".join(json.dumps(one) + "\n" for one in made)


def asked(folder: Path, judge: Endpoint | None = None, **own: Any) -> InstructRequest:
    task = {"general_task": "piqa", "task_data": str(folder / "piqa.jsonl"), "task_limit": 10}
    return replace(request(folder, task | own), judge=judge)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and a finished assistant that no judge has seen."""
    folder = with_base(tmp_path_factory.mktemp("made"))
    (folder / "piqa.jsonl").write_text(documents())
    train(asked(folder))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The same for a test alone, where it lay."""
    yield from lent(made, tmp_path / "kept")


def test_a_task_is_asked_of_both_models_as_evaluate_asks_it(made: Path) -> None:
    found = judged(made)
    assert found.before is not None
    labels, questions = read_questions("piqa", made / "piqa.jsonl", 10)
    outcomes = []
    base = load(made / "base")
    for model, figures in (
        (grown(base.model, 2), found.before.task),
        (load(made / "run").model, found.after.task),
    ):
        assert figures is not None
        plain = evaluate_task(
            Candidate(model, load(made / "run").tokenizer), "piqa", questions, labels=labels
        )
        assert figures.accuracy == pytest.approx(plain.scores["acc"])
        assert figures.normalised == pytest.approx(plain.scores["acc_norm"])
        assert figures.interval[0] < figures.accuracy < figures.interval[1]
        assert (len(figures.outcomes), figures.outcomes.count("1")) == (10, figures.right)
        outcomes.append(figures.outcomes)
    pairs = list(zip(*outcomes, strict=True))
    assert found.task_change is not None
    assert found.task_change.only_before == pairs.count(("1", "0"))
    assert found.task_change.only_after == pairs.count(("0", "1"))
    assert (found.asked.general_task, found.asked.task_documents) == ("piqa", 10)


def test_a_finished_run_is_judged_by_its_command_with_a_judge(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = RunFolder(folder / "run")
    found, kept = judged(folder), read_replies(path.replies, 3)
    monkeypatch.setattr(dialogue_run, "judge_assistant", None)  # no model is asked again
    with judging() as judge:
        assert train(asked(folder, judge.endpoint())).was_finished
        first = judged(folder)
        for _ in range(2):
            assert train(asked(folder, judge.endpoint())).was_finished
        train(asked(folder))
    assert first == replace(found, judgement=first.judgement) == judged(folder)
    assert first.judgement is not None
    n_same = sum((one.before or "").strip() == one.after.strip() for one in kept)
    assert (first.judgement.tied, first.judgement.same) == (3 - n_same, n_same)
    assert len(judge.bodies) == 2 * (3 - n_same) > 0
    assert {(one.before, one.after) for one in kept} >= {both(p) for p in judge.prompts[::2]}
    for one in kept:
        assert [message["role"] for message in one.messages] == ["user", "assistant", "user"]
    assert "<conversation>\nuser: hi\nassistant: yes?\nuser: say " in judge.prompts[0]
    assert "asked by a judge" not in (page := path.report.read_text())
    assert f"wise at {judge.url}" in page


class Stopped(Screen):
    def preparing(self, stage: str, done: int, total: int) -> None:
        if stage == "asking the judge" and done:
            raise KeyboardInterrupt


def test_killed_in_the_middle_the_same_command_asks_for_the_rest(folder: Path) -> None:
    found = judged(folder)
    with judging() as judge:
        again = asked(folder, judge.endpoint())
        with pytest.raises(KeyboardInterrupt):
            drive(InstructRun(again), Recorder(again.folder), Stopped())
        assert judged(folder) == found
        n_asked = len(judge.bodies)
        train(again)
    assert n_asked == 1
    judgement = judged(folder).judgement
    assert judgement is not None
    assert len(judge.bodies) == 2 * (3 - judgement.same)
    assert len({str(body) for body in judge.bodies}) == len(judge.bodies), "none is asked twice"


def test_killed_before_the_report_the_same_command_writes_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with judging() as judge:
        again = asked(folder, judge.endpoint())
        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "report", lambda keeper, is_finished: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                train(again)
        train(again)
    assert f"wise at {judge.url}" in again.folder.report.read_text()


def test_a_judge_that_refuses_everything_costs_nothing_but_its_verdicts(folder: Path) -> None:
    found = judged(folder)
    with judging(states=[403] * 3) as judge:
        assert train(asked(folder, judge.endpoint())).was_finished
        told = judged(folder)
        assert told.judgement is not None
        assert (told.judgement.failed, told.judgement.stopped) == (3 - told.judgement.same, True)
        assert replace(told, judgement=None) == found
        train(asked(folder, judge.endpoint()))
    told = judged(folder)
    assert told.judgement is not None
    assert told.judgement.failed == 0


def test_a_run_that_learns_on_is_judged_anew(folder: Path) -> None:
    with judging() as judge:
        train(asked(folder, judge.endpoint()))
        before = judged(folder)
        longer = replace(asked(folder, judge.endpoint(asked_model=None)), extend=9)
        judge.models = ()
        with pytest.raises(UsageError, match="which model"):  # before it learns on
            longer.check()
        train(replace(asked(folder), extend=9))
        assert judged(folder).judgement is None
        train(replace(asked(folder, judge.endpoint()), extend=9))
    assert judged(folder).judgement is not None
    assert judged(folder).seconds != before.seconds


def test_without_the_model_as_it_was_there_is_nothing_to_compare(folder: Path) -> None:
    for file in (RunFolder(folder / "run").assistant, RunFolder(folder / "run").replies):
        file.unlink()
    shutil.rmtree(folder / "base")
    told = Told()
    with judging() as judge:
        again = replace(recorded_instruct(RunFolder(folder / "run")), judge=judge.endpoint())
        drive(InstructRun(again), Recorder(again.folder), told)
    assert judge.bodies == []
    assert any("to compare: " in line and "is gone" in line for line in told.lines)
    assert judged(folder).judgement is None


def test_damaged_replies_are_one_line(folder: Path) -> None:
    path = RunFolder(folder / "run").replies
    path.write_bytes(path.read_bytes()[:-5])
    with judging() as judge, pytest.raises(RunError, match="it has 2 of 3 replies; remove the"):
        train(asked(folder, judge.endpoint()))
    path.unlink()
    with judging() as judge:
        train(asked(folder, judge.endpoint()))
    assert judged(folder).judgement is not None


def test_a_task_that_is_gone_is_not_measured_in_a_run_that_has_begun(folder: Path) -> None:
    (folder / "piqa.jsonl").unlink()
    RunFolder(folder / "run").assistant.unlink()
    train(asked(folder))
    found = judged(folder)
    assert (found.after.task, found.task_change) == (None, None)
    assert "no such file or folder" in found.asked.task_missing
    with pytest.raises(UsageError, match="no such file or folder"):
        replace(asked(folder), run="new").check()


def test_preferences_have_no_judge(tmp_path: Path) -> None:
    folder = with_pairs(with_base(tmp_path, has_template=True))
    of_pairs = replace(asked(folder), records=(str(folder / "pairs.jsonl"),))
    with judging() as judge, pytest.raises(UsageError, match="preferences, which are judged by"):
        assistant_run(replace(of_pairs, judge=judge.endpoint()))
    assert judge.paths == []


def test_the_key_is_written_nowhere(folder: Path) -> None:
    with judging(lambda prompt: "I know sk-secret") as judge:
        train(asked(folder, judge.endpoint(key="sk-secret")))
    assert set(judge.keys) == {"Bearer sk-secret"}
    answers = [
        one["answer"] for one in read_lines(RunFolder(folder / "run").judgements) if "answer" in one
    ]
    assert answers == ["I know [the key]"] * len(judge.bodies)
    for path in folder.rglob("*"):
        assert not path.is_file() or b"sk-secret" not in path.read_bytes(), path
