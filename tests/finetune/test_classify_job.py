"""Making a classifier: it stops, goes on, is shared and judged as any training."""

from __future__ import annotations

import gc
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup import GPT, CharTokenizer, load, save
from groundup.base.errors import DataError, RunError, UsageError
from groundup.finetune import TextClassifier, load_classifier
from groundup.finetune.classifier.rows import labelled_rows
from groundup.finetune.classifier.run import ClassifyRun
from groundup.finetune.classifier.text_classifier import scores_of
from groundup.finetune.classifier.vectors import vectors_of
from groundup.runs import RunFolder
from groundup.runs.checkpoint import newest_intact
from groundup.train import Recorder, drive
from groundup.train.listener import Screen
from tests.finetune.asking import Told
from tests.finetune.making import CONFIG, request, train, with_base, with_records
from tests.processes import starting
from tests.train.test_second_job import assert_same_bits, kept

WAYS = [("full", "all"), ("full", "last"), ("full", "head"), ("lora", "all"), ("dora", "all")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_records(with_base(tmp_path))


@pytest.mark.parametrize(("method", "layers"), WAYS)
def test_what_learns_is_kept_and_the_loaded_classifier_scores_as_the_trained_one(
    folder: Path, method: str, layers: str
) -> None:
    done = train(folder / "run", layers, method=method, steps=12)
    assert done.progress.finished
    base, own = load(folder / "base").model.state_dict(), kept(folder / "run")
    learnt = {name for name in own if ":" not in name}
    adapters = {name for name in learnt if "lora_" in name or name.endswith("magnitude")}
    expected = {
        "all": set(base) - {"lm_head.weight"},
        "last": {n for n in base if n.startswith(("blocks.1.", "final_norm."))},
        "head": set(),
    }
    if method == "full":
        assert learnt - {"lm_head.weight"} == expected[layers] | {"head.weight"}
    else:
        assert learnt == adapters | {"head.weight"}
        assert len(adapters) == 2 * 6 * (3 if method == "dora" else 2)
    for name in learnt & base.keys() - {"lm_head.weight"}:
        assert not torch.equal(own[name], base[name]), name
    manifest = done.folder.read()
    assert (manifest.base is None) == (method == "full" and layers == "all")
    classifier = load_classifier(folder / "run", "latest")
    last = [x["val_loss"] for x in starting.lines(done.folder) if x.get("event") == "finished"]
    assert classifier.labels == ("a", "b")
    assert mean_loss(classifier, ClassifyRun(request(folder / "run", layers))) == pytest.approx(
        last[0], rel=1e-5
    )


def test_the_last_validation_is_what_the_classifier_says_whatever_it_learnt_in(
    folder: Path,
) -> None:
    run = train(folder / "run", steps=4, precision="bf16", pooling="last").folder
    found = mean_loss(load_classifier(run.path, "latest"), ClassifyRun(request(folder / "run")))
    last = [x for x in starting.lines(run) if x.get("event") == "finished"]
    assert last[0]["val_loss"] == pytest.approx(found, rel=1e-5)


def test_all_texts_validate_a_head_as_their_vectors_are_there(folder: Path) -> None:
    run = train(folder / "run", "head", steps=4, pooling="last", eval_tokens=50).folder
    losses = [line["val_loss"] for line in starting.lines(run) if "val_loss" in line]
    assert losses[-1] == losses[-2]  # of the last step, and of the whole split


@pytest.mark.parametrize(("layers", "differs"), [("last", True), ("head", False)])
def test_balance_loss_moves_the_routers_that_learn(
    tmp_path: Path, layers: str, differs: bool
) -> None:
    folder = with_records(with_base(tmp_path, n_experts=3, n_active_experts=1, drop_rate=0.0))
    own = {"pooling": "last", "steps": 2}
    with_it, without = (
        kept(train(folder / f"run-{weight}", layers, balance_loss=weight, **own).folder.path)
        for weight in (5.0, 0.0)
    )
    name = "blocks.1.ffn.router.weight"
    assert (name in with_it) == differs
    assert with_it.keys() == without.keys()
    assert differs == any(not torch.equal(with_it[name], without[name]) for name in with_it)


def test_that_a_head_s_texts_are_read_is_told_also_where_the_run_goes_on(folder: Path) -> None:
    for steps in (4, 6):
        told = Told()
        asked = request(folder / "run", "head", steps=4, pooling="last")
        asked = replace(asked, extend=steps if steps > 4 else None)
        drive(ClassifyRun(asked), Recorder(asked.folder), told)
        assert [line for line in told.lines if line.startswith("Vectors")] == [
            "Vectors: of 180 texts, read now; a run that goes on reads them again"
        ]
        assert "vectors" in told.stages


def mean_loss(classifier: TextClassifier, job: ClassifyRun) -> float:
    examples = job.examples("val")
    rows = labelled_rows(examples, classifier.labels, classifier.tokenizer, classifier.max_length)
    scores = scores_of(classifier.model, rows.ids).astype(np.float64)
    likely = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return float(-likely[np.arange(len(likely)), rows.labels].mean())


@pytest.mark.parametrize(("method", "layers"), [("full", "all"), ("lora", "all"), ("full", "head")])
def test_it_is_killed_and_goes_on_bit_for_bit(folder: Path, method: str, layers: str) -> None:
    steps, run = 400 if layers == "head" else 150, RunFolder(folder / "run")
    words = [str(run.path), method, layers, str(steps)]
    process = starting.Training(folder, words, module="tests.finetune.making")
    process.wait_for(lambda: len(list(run.checkpoints.glob("step-*"))) > 1)
    process.kill()
    assert process.ranks[0].returncode == -signal.SIGKILL
    if run.report.exists():
        pytest.fail("it was not killed in time")
    train(run.path, layers, method=method, steps=steps)
    train(folder / "whole", layers, method=method, steps=steps)
    assert_same_bits(run.path, folder / "whole")
    assert starting.lines(run) == starting.lines(RunFolder(folder / "whole"))
    assert judged(run) == judged(RunFolder(folder / "whole"))


def judged(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.classification.read_text())
    found.pop("seconds")
    return found


def test_two_processes_share_it(tmp_path: Path) -> None:
    folder = with_records(with_base(tmp_path, drop_rate=0.0))  # each draws its own dropout
    words = [str(folder / "run"), "full", "all", "8"]
    starting.Training(folder, words, ranks=2, module="tests.finetune.making").finish()
    train(folder / "alone", steps=8)
    shared, alone = (starting.losses(RunFolder(folder / name)) for name in ("run", "alone"))
    assert shared == pytest.approx(alone, rel=1e-5)


def test_it_learns_and_is_judged_once_on_texts_it_has_not_seen(folder: Path) -> None:
    run = train(folder / "run", steps=150).folder
    found = judged(run)
    assert found["test"]["accuracy"] > 0.8
    assert found["test"]["examples"] == 20
    assert set(found["baselines"]) == {"majority", "tf_idf"}
    assert "Confusion" in run.report.read_text()
    classifier = load_classifier(run.path)
    assert [p.label for p in classifier.predict(["aaaaaaaaaa", "bbbbbbbbbb"])] == ["a", "b"]
    before = run.classification.stat().st_mtime_ns
    assert train(folder / "run", steps=150).was_finished
    assert run.classification.stat().st_mtime_ns == before
    run.classification.unlink()
    assert train(folder / "run", steps=150).was_finished
    assert judged(run) == found


@pytest.mark.parametrize(("method", "layers"), WAYS)
def test_what_has_learnt_is_gone_while_the_run_is_judged(
    folder: Path, method: str, layers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, held = set(map(id, tensors())), list[tuple[int, ...]]()

    def judge(*given: object) -> None:
        held.extend(tuple(t.shape) for t in tensors() if id(t) not in before and t.numel() > 256)

    monkeypatch.setattr("groundup.finetune.classifier.run.judge", judge)
    train(folder / "run", layers, method=method, steps=2)
    assert held == [], "neither weights nor gradients nor the optimizer's averages"


def tensors() -> list[torch.Tensor]:
    gc.collect()
    # By their types: asking others what they are may warn.
    return [
        found
        for found in gc.get_objects()
        if type(found) is torch.Tensor or type(found) is torch.nn.Parameter
    ]


def test_the_pooling_is_chosen_once_with_its_reason(folder: Path) -> None:
    run = train(folder / "run", "last", steps=5).folder
    job = run.read().job
    assert job is not None
    assert job.settings is not None
    assert job.reasons is not None
    assert job.settings["pooling"] in ("last", "mean")
    assert "macro F1 on the validation texts last 0." in job.reasons["pooling"]
    said = train(folder / "said", "last", steps=5, pooling="last").folder.read().job
    assert said is not None
    assert said.settings is not None
    assert (said.settings["pooling"], said.reasons) == ("last", {})


def test_other_settings_other_records_and_another_base_are_refused(folder: Path) -> None:
    train(folder / "run", steps=5)
    with pytest.raises(UsageError, match="layers was all, now last"):
        train(folder / "run", "last", steps=5)
    with pytest.raises(UsageError, match="balance was none, now weights"):
        train(folder / "run", steps=5, balance="weights")
    records = folder / "records.csv"
    records.write_text(records.read_text() + "b,bbbb and one more\n")
    with pytest.raises(UsageError, match="fingerprint was"):
        train(folder / "run", steps=5)


def test_it_goes_on_without_its_records_and_its_base_where_it_holds_all(folder: Path) -> None:
    from rich.console import Console

    from groundup.finetune.classifier.request import recorded_classify
    from groundup.train import ConsoleScreen, Recorder, drive

    train(folder / "run", steps=5)
    (folder / "records.csv").unlink()
    shutil.rmtree(folder / "base")
    again = recorded_classify(RunFolder(folder / "run"), extend=8)
    again.check()
    done = drive(ClassifyRun(again), Recorder(again.folder), ConsoleScreen(Console(quiet=True)))
    assert (done.progress.step, done.progress.finished) == (8, True)
    assert load_classifier(folder / "run").labels == ("a", "b")


def test_a_base_that_is_gone_is_told_where_it_is_needed(folder: Path) -> None:
    train(folder / "run", "last", steps=5)
    shutil.rmtree(folder / "base")
    with pytest.raises(RunError, match="base, which is gone"):
        load_classifier(folder / "run")


def test_a_classifier_is_no_base(folder: Path) -> None:
    train(folder / "run", steps=5)
    shutil.rmtree(folder / "base")
    (folder / "run").rename(folder / "base")
    with pytest.raises(UsageError, match=r"base is a classifier \(a, b\)"):
        train(folder / "other", steps=5)


def test_weights_make_a_rare_class_count_and_the_loss_stays_comparable(folder: Path) -> None:
    plain = ClassifyRun(request(folder / "one"))
    weighted = ClassifyRun(request(folder / "two", balance="weights"))
    rows = [job.source(job.settings).rows(0, 160).arrays for job in (plain, weighted)]
    assert set(rows[0]["weights"].tolist()) == {1.0}
    assert rows[1]["weights"].mean() == pytest.approx(1, rel=0.05)
    rare = rows[1]["labels"] == 1
    assert rows[1]["weights"][rare].sum() == pytest.approx(rows[1]["weights"][~rare].sum(), rel=0.1)


def test_a_test_text_that_cannot_be_read_is_refused_before_training(folder: Path) -> None:
    tokenizer = CharTokenizer.train(["label,text abcd 0123456789"])
    save(GPT(CONFIG.replace(vocab_size=tokenizer.vocab_size)), tokenizer, folder / "chars")
    (folder / "test.csv").write_text("label,text\na,aaaa\nb,bb é\n")
    reading = {"test_sources": [str(folder / "test.csv")]}
    asked = replace(request(folder / "run", steps=5), base=folder / "chars", reading=reading)
    with pytest.raises(DataError, match=r"test\.csv, record 2: "):
        drive(ClassifyRun(asked), Recorder(asked.folder), Screen())
    assert not (folder / "run").exists()


def test_all_is_computed_with_the_threads_of_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: dict[str, set[int]] = {"vectors": set(), "scores": set()}

    def noted(what: str, function: Any) -> Any:
        def call(*given: Any) -> Any:
            used[what].add(torch.get_num_threads())
            return function(*given)

        return call

    monkeypatch.setattr("groundup.finetune.classifier.job.vectors_of", noted("vectors", vectors_of))
    monkeypatch.setattr("groundup.finetune.classifier.judge.scores_of", noted("scores", scores_of))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = train(folder / "run", "head", steps=5).folder
        run.report.unlink()  # as if it had been killed before that was written
        train(folder / "run", "head", steps=5)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == {"vectors": {1}, "scores": {1}}


def test_weights_count_in_the_validation_that_chooses_as_well(folder: Path) -> None:
    run = train(folder / "run", "head", steps=4, pooling="last", balance="weights").folder
    classifier, job = load_classifier(run.path, "latest"), ClassifyRun(request(folder / "run"))
    rows = job.val_rows
    scores = torch.from_numpy(scores_of(classifier.model, rows.ids))
    counts = torch.from_numpy(np.bincount(job.train_rows.labels)).float()
    truth, weights = torch.from_numpy(rows.labels), counts.sum() / (2 * counts)
    expected = torch.nn.functional.cross_entropy(scores, truth, weights)
    last = [x["val_loss"] for x in starting.lines(run) if x.get("event") == "finished"]
    assert last[0] == pytest.approx(float(expected), rel=1e-5)
    assert judged(run)["chosen_by"].endswith("every class counts alike")


def test_newest_checkpoint_is_whole(folder: Path) -> None:
    train(folder / "run", "head", steps=5)
    checkpoint, damaged = newest_intact(folder / "run/checkpoints")
    assert checkpoint is not None
    assert not damaged
    assert set(checkpoint.model_tensors()) == {"head.weight"}
