"""The model card of an assistant: what its test showed, where it was of the weights that go out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from groundup.runs.assistant import write_assistant
from groundup.runs.folder import RunFolder
from groundup.runs.record import read_run
from groundup.weights.card import _results
from tests.runs.answered import judgement, of_pairs, record, with_task
from tests.runs.conftest import make_run  # noqa: F401


def test_an_assistant_s_test_stands_on_its_card(make_run: Callable[..., Path]) -> None:  # noqa: F811
    run = make_run()
    write_assistant(RunFolder(run).assistant, record())
    rows = dict(_results(read_run(run), record().step))
    assert rows["Test loss before training, nats a token of the replies"] == "3.2500"
    assert rows["Test loss after, nats a token of the replies"] == "0.5120"
    exact = rows["Test, exact match after"]
    assert exact == "0.7500 (95% interval: 0.5981 to 0.8581) of 40 questions of 2 kinds"
    assert rows["Replies that end by themselves before training"].startswith("0.0750 (95%")
    assert rows["Bits per byte on the validation part of factbook after"] == "1.0200"
    assert not any("Test" in name for name, _ in _results(read_run(run), record().step + 1))
    write_assistant(RunFolder(run).assistant, record(before=None))
    names = dict(_results(read_run(run), record().step))
    assert not any("before" in name for name in names)
    write_assistant(RunFolder(run).assistant, of_pairs())
    rows = dict(_results(read_run(run), record().step))
    right = rows["Test, the chosen reply preferred after"]
    assert right == "0.7500 (95% interval: 0.5980 to 0.8590) of 40 pairs"
    assert rows["Test loss of dpo before training"] == "0.6931"
    assert rows["Test loss after, nats a token of the chosen replies"] == "2.5000"
    write_assistant(RunFolder(run).assistant, with_task(judgement=judgement(model="wise|\n")))
    rows = dict(_results(read_run(run), record().step))
    assert rows["piqa, acc before training"].startswith("0.7500 (95% interval: 0.4090")
    assert rows["piqa, acc after"].startswith("0.6250 (95%")
    (name,) = (name for name in rows if name.startswith("Replies preferred"))
    assert "\n" not in name
    said = "0.7250 (95% interval: 0.5720 to 0.8390) of 40 questions, ties counting half"
    assert rows[name] == said
