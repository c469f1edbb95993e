"""An assistant is judged beside the model that it was made from: the same questions of both."""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from groundup import GPT, ByteTokenizer, GPTConfig, load, save
from groundup.cli.training import _result
from groundup.evaluate.loss import evaluate_loss
from groundup.finetune.assistant import dialogue_run
from groundup.finetune.assistant.exam import Exam
from groundup.finetune.assistant.request import InstructRequest, recorded_instruct
from groundup.finetune.replies.run import InstructRun
from groundup.generate.generate import stream_from
from groundup.generate.replies import encode_dialogues
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import CHATML, CHATML_TOKENS
from groundup.model import grown
from groundup.runs import RunFolder
from groundup.runs.assistant import AssistantRecord, ModelFigures, read_assistant
from groundup.runs.merge import merge_run
from groundup.tokenizer import with_special_tokens
from groundup.train import ConsoleScreen, Recorder, TrainRun, drive
from tests.finetune.asking import HERE, asked_of

CONFIG = GPTConfig(vocab_size=257, context_length=160, emb_dim=16, n_heads=2, n_layers=1)
SHORT: dict[str, Any] = {**HERE, "learning_rate": 0.01, "batch_size": 4}
WORDS = [f"{a}{b}{c}" for a in "abcdef" for b in "uvwx" for c in ("y", "zzz")]
TEXT = "A text that has nothing to do with it, and goes on for a while. " * 40


def with_base(folder: Path, has_template: bool = False) -> Path:
    torch.manual_seed(1)
    tokenizer, template = ByteTokenizer(), None
    if has_template:
        known, template = with_special_tokens(tokenizer, CHATML_TOKENS), CHATML
        model = GPT(CONFIG.replace(vocab_size=known.vocab_size))
        save(model, known, folder / "base", chat_template=template)
    else:
        save(GPT(CONFIG), tokenizer, folder / "base")
    talks = [
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "yes?"},
                {"role": "user", "content": f"say {word}"},
                {"role": "assistant", "content": word},
            ]
        }
        for word in WORDS
    ]
    (folder / "talks.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    (folder / "text.txt").write_text(TEXT)
    return folder


def request(folder: Path, own: dict[str, Any] | None = None, **settings: Any) -> InstructRequest:
    asked = {"general_text": str(folder / "text.txt"), "n_replies": 3, **SHORT, "steps": 8}
    asked |= (own or {}) | settings
    return asked_of(folder / "run", str(folder / "talks.jsonl"), **asked)


def train(asked: InstructRequest) -> TrainRun:
    screen = ConsoleScreen(Console(quiet=True))
    return drive(InstructRun(asked), Recorder(asked.folder), screen)


def judged(folder: Path) -> AssistantRecord:
    record = read_assistant(RunFolder(folder / "run").assistant)
    assert record is not None
    return record


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and an assistant that learnt with all its weights."""
    folder = with_base(tmp_path_factory.mktemp("made"))
    train(request(folder))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The same for a test alone, where it lay."""
    yield from lent(made, tmp_path / "kept")


def lent(made: Path, kept: Path) -> Iterator[Path]:
    """Yield a folder, and make it what it was again."""
    shutil.copytree(made, kept)
    yield made
    shutil.rmtree(made)
    shutil.copytree(kept, made)


def test_both_models_are_asked_the_same_and_scored_as_alone(made: Path) -> None:
    job, found = InstructRun(request(made)), judged(made)
    assert found.before is not None
    after = load(made / "run")
    before = grown(load(made / "base").model, 2)
    assert found.step == after.step
    for model, figures in ((before, found.before), (after.model, found.after)):
        assert figures.loss == pytest.approx(plain_loss(model, job), rel=1e-5)
        assert job.general.tokens is not None
        expected = evaluate_loss(model, job.general.tokens).bits_per_byte
        assert figures.bits_per_byte == pytest.approx(expected, rel=1e-5)
        assert_answers(model, job, figures, found)
    assert found.after.loss < found.before.loss
    assert found.asked.questions == 3
    assert found.asked.dialogues == found.asked.loss_dialogues == 5
    assert [one.earlier for one in found.examples] == [2, 2, 2]
    source, n_rows = job.source(job.settings), job.settings.batch_size
    batches = [source.rows(n_rows * n, n_rows) for n in range(job.settings.steps)]
    n_places = sum(batch.arrays["tokens"].size for batch in batches)
    padding = 1 - sum(batch.n_tokens for batch in batches) / n_places
    assert found.padding == pytest.approx(padding)
    assert padding > 0


def plain_loss(model: GPT, job: InstructRun) -> float:
    """Return the mean loss of the replies of the test, each dialogue by itself."""
    losses = []
    talks = [one.messages for one in job.data.dialogues("test")]
    for row in encode_dialogues(job.template, job.tokenizer, talks):
        ids = torch.from_numpy(row.ids.astype("int64"))
        with torch.no_grad():
            logits = model.eval()(ids[None, :-1])[0]
        losses.append(F.cross_entropy(logits, ids[1:], reduction="none")[row.counts[1:]])
    return float(torch.cat(losses).mean())


def assert_answers(
    model: GPT, job: InstructRun, figures: ModelFigures, found: AssistantRecord
) -> None:
    """Check what the model is said to have answered against it, asked alone."""
    name = "before" if figures is found.before else "after"
    stops = (*job.template.turn_ends(job.tokenizer), job.tokenizer.end_of_text or 0)
    n_right = n_ended = 0
    for example, dialogue in zip(found.examples, job.questions.dialogues, strict=True):
        ids = job.template.encode(job.tokenizer, dialogue.messages[:-1])
        most = min(found.asked.max_tokens, CONFIG.context_length - len(ids))
        sampling = SamplingConfig(max_tokens=most, temperature=0.0, stop_tokens=stops)
        text = "".join(stream_from(model, job.tokenizer, ids, sampling, lookup=False))
        assert vars(example)[name] == text
        assert example.expected == dialogue.messages[-1]["content"]
        n_right += text.strip().lower() == example.expected
        n_ended += bool(vars(example)[f"{name}_ended"])
    assert figures.replies is not None
    assert figures.ended is not None
    assert (figures.replies.questions, figures.replies.right) == (3, n_right)
    assert (figures.ended.replies, figures.ended.ended) == (3, n_ended)


def test_it_is_judged_once_and_again_where_that_was_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, path = request(folder), RunFolder(folder / "run").assistant
    found, written = judged(folder), path.stat().st_mtime_ns
    outcome = train(asked)
    assert outcome.was_finished
    assert path.stat().st_mtime_ns == written
    assert _result(outcome)["test"] == found.as_dict()  # as --json prints it
    path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(dialogue_run, "judge_assistant", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(asked)
    assert not path.exists()
    assert train(asked).was_finished
    assert judged(folder) == found


def interrupted(*given: object) -> None:
    raise KeyboardInterrupt


def test_a_base_that_is_gone_or_has_learnt_on_is_told(folder: Path) -> None:
    path, found = RunFolder(folder / "run").assistant, judged(folder)
    path.unlink()
    shutil.rmtree(folder / "base")
    train(recorded_instruct(RunFolder(folder / "run")))
    alone = judged(folder)
    assert (alone.before, alone.after) == (None, found.after)
    assert alone.before_missing == f"{folder / 'base'}, which it was made from, is gone"
    assert [one.before for one in alone.examples] == [None] * 3
    save(GPT(CONFIG), ByteTokenizer(), folder / "base")
    said = InstructRun(request(folder)).before(RunFolder(folder / "run"))
    assert said == f"{folder / 'base'}, which it was made from, has other weights by now"


def test_what_has_learnt_is_gone_while_one_model_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters: the model before is the base that they stand on; both are never there together."""
    folder = with_base(tmp_path, has_template=True)
    before, held = set(map(id, tensors())), list[int]()
    plain = Exam.taken_by

    def taken_by(exam: Any, model: GPT, show: Callable[..., None]) -> Any:
        known = before | {id(parameter) for parameter in model.parameters()}
        new = [t for t in tensors() if id(t) not in known and t.numel() >= 256]
        held.append(sum(t.numel() for t in new))
        return plain(exam, model, show)

    monkeypatch.setattr(Exam, "taken_by", taken_by)
    train(request(folder, {"n_replies": 1}, method="lora", steps=2))
    assert held == [0, 0]
    found = judged(folder)
    assert found.before is not None
    merge_run(folder / "run", folder / "merged")
    carried = read_assistant(RunFolder(folder / "merged").assistant)
    assert carried is not None
    assert carried.after == found.after
    assert carried.chosen_by.endswith(f"; tested as {folder / 'run'}, before it was merged")
    job = InstructRun(request(folder, method="lora"))
    assert found.before.loss == pytest.approx(plain_loss(load(folder / "base").model, job), 1e-5)
    assert found.after.loss == pytest.approx(plain_loss(load(folder / "run").model, job), 1e-5)


def tensors() -> list[torch.Tensor]:
    gc.collect()
    return [
        found
        for found in gc.get_objects()
        if type(found) is torch.Tensor or type(found) is torch.nn.Parameter
    ]


def test_without_questions_and_without_a_text_the_rest_is_judged(tmp_path: Path) -> None:
    folder = with_base(tmp_path)
    train(request(folder, {"n_replies": 0, "general_text": None}, steps=1))
    found = judged(folder)
    assert (found.after.replies, found.after.ended, found.after.bits_per_byte) == (None,) * 3
    assert found.asked.unanswered == "none was asked for (n_replies = 0)"
    assert "base keeps no text of its own" in found.asked.general_missing
    assert math.isfinite(found.after.loss)
