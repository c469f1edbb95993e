"""An assistant under every verb: it works, or one line says what to do instead."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import typer

from groundup.optim.step import TrainStep
from tests.cli.conftest import Groundup
from tests.finetune.answering import LLAMA, TURNS, train, with_base, with_dialogues
from tests.finetune.making import with_records
from tests.weights.gguf.making import byte_level

Words = tuple[str, ...]
SPECIALS = ("<|endoftext|>", "<s>", "</s>")
RECORDS = ("--records", "runs/dialogues.jsonl")
SHORT = ("--steps", "2", "--set", "threads=1", "--set", "sample_tokens=4")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bases, an assistant made of each, and one of them as others have it."""
    from groundup.weights import export_adapter, export_model

    folder = tmp_path_factory.mktemp("made")
    (runs := folder / "runs").mkdir()
    with_dialogues(runs)
    with_records(runs, 60)
    with_base(runs)
    tokenizer = byte_level("smollm", SPECIALS)
    chatty = {"template": TURNS, "generation": {"start_token": 1, "stop_tokens": [2]}, **LLAMA}
    with_base(runs, "chatty", tokenizer, vocab_size=tokenizer.vocab_size + 7, **chatty)
    train(runs / "a")
    train(runs / "l", "chatty", method="lora", lora_rank=2)
    export_model(runs / "l", folder / "hf")
    export_model(runs / "l", folder / "in.gguf", "gguf")
    export_adapter(runs / "l", folder / "peft")
    (folder / "a.txt").write_text("It was so. " * 200)
    return folder


@pytest.fixture
def here(made: Path, groundup: Groundup) -> Groundup:
    """Calls a verb in a copy of that folder."""
    shutil.copytree(made, Path.cwd(), dirs_exist_ok=True)
    return groundup


REFUSED: list[tuple[Words, str]] = [
    (("merge", "a"), "runs/a holds all of its weights already"),
    (("replay", "a"), "has kept no batch"),
    (("classify", "a", "a text"), "is no classifier (a training of the kind assistant)"),
    (("export", "a", "out", "--format", "peft"), "holds no adapters"),
    (("export", "a", "out.gguf"), "llama.cpp does not know"),
    (("import", "hf", "again", "--from", "l"), "no adapter_config.json"),
    (("finetune", "instruct", "base", *RECORDS, "--method", "lora"), "has no chat template"),
    (("finetune", "instruct", "a", *RECORDS, "--run", "l"), "runs/chatty, now runs/a; "),
]
WORKS: list[tuple[Words, str]] = [
    (("generate", "a", "It was", "--max-tokens", "3"), "It was"),
    (("generate", "a", "Hello", "--chat", "--max-tokens", "3"), ""),
    (("chat", "a", "--max-tokens", "3"), ""),
    (("chat", "l", "--max-tokens", "3", "--system", "Be brief."), ""),
    (("evaluate", "a"), "The replies that validate the run: their losses are no text's"),
    (("evaluate", "l"), "The replies that validate the run"),
    (("evaluate", "a", "--text", "a.txt"), "bits/byte"),
    (("quantize", "a"), "groundup chat runs/a-int8"),
    (("quantize", "l", "--bits", "4", "--limit", "90"), "4 bits"),
    (("merge", "l"), "groundup chat runs/l-merged"),
    (("plan", "a"), "Memory for training"),
    (("plan", "l", "--method", "lora"), "Memory for training"),
    (("runs",), "assistant"),
    (("report", "a"), "report.html"),
    (("compare", "a", "a"), "finished"),
    (("compare", "a", "l"), "as different tokens"),
    (("compare", "a", "base"), "several kinds (pretraining, assistant by sft)"),
    (("resume", "a"), "finished already"),
    (("resume", "l", "--extend", "6"), "at step 4 of 6"),
    (("train", "a.txt", "--from", "a", *SHORT), "bits/byte"),
    (("train", "a.txt", "--from", "l", "--method", "lora", *SHORT), "bits/byte"),
    (("finetune", "instruct", "a", *RECORDS, *SHORT), "that of runs/a"),
    (("finetune", "instruct", "l", *RECORDS, "--method", "lora", *SHORT), "that of runs/l"),
    (("finetune", "classify", "a", "--records", "runs/records.csv", *SHORT[:4]), "accuracy"),
    (("export", "a", "out"), "Verified"),
    (("export", "l", "out"), "Verified"),
    (("export", "l", "out.gguf"), "Verified"),
    (("export", "l", "out", "--format", "safetensors"), "Verified"),
    (("export", "l", "out", "--format", "peft"), "its base goes with it"),
    (("import", "hf", "runs/in"), "groundup chat runs/in"),
    (("import", "in.gguf", "runs/in"), "groundup chat runs/in"),
    (("import", "peft", "runs/in", "--from", "chatty"), "groundup chat runs/in"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[" ".join(w) for w, _ in REFUSED])
def test_what_is_not_for_assistants_says_what_is(here: Groundup, words: Words, says: str) -> None:
    answer = here(*words)
    assert answer.status in (1, 2)
    assert says in answer.error
    assert not Path("out").exists()


def test_a_template_by_which_it_has_not_learnt_is_told(here: Groundup) -> None:
    template = Path("runs/l/chat_template.jinja")
    template.write_text(template.read_text() + "\n")
    told = "chat_template.jinja is not the one by which the run learnt to answer"
    for words in (("chat", "l", "--max-tokens", "3"), ("evaluate", "l"), ("export", "l", "out")):
        answer = here(*words, stdin="Hello\n")
        assert answer.status == 0, answer.err
        assert told in answer.err + answer.out
        other = here(*[{"l": "a", "out": "other"}.get(word, word) for word in words])
        assert told not in other.err + other.out


def test_an_assistant_is_nothing_without_its_template(here: Groundup) -> None:
    Path("runs/l/chat_template.jinja").unlink()
    for words in (
        ("chat", "l"),
        ("generate", "l", "It was"),
        ("evaluate", "l"),
        ("quantize", "l"),
        ("merge", "l"),
        ("export", "l", "out"),
        ("finetune", "instruct", "l", *RECORDS, *SHORT),
    ):
        answer = here(*words)
        assert answer.status == 1
        assert answer.error.endswith(
            "is an assistant, but runs/l/chat_template.jinja is gone; restore it"
        )
        assert not list(Path().glob("runs/*-l*"))


@pytest.mark.parametrize(("words", "shows"), WORKS, ids=[" ".join(w) for w, _ in WORKS])
def test_what_is_for_all_runs_works(here: Groundup, words: Words, shows: str) -> None:
    answer = here(*words, stdin="Hello\n")
    assert answer.status == 0, answer.err
    assert shows in " ".join(answer.out.split())


def test_every_verb_that_takes_a_run_is_tried() -> None:
    import groundup.cli  # the verbs register themselves
    from groundup.cli.app import app

    verbs = typer.main.get_command(app).commands.keys()  # type: ignore[attr-defined]
    assert groundup.cli
    assert verbs - {words[0] for words, _ in [*WORKS, *REFUSED]} == {"data", "lab"}


def test_the_loss_of_its_replies_is_that_of_its_training_however_it_is_kept(here: Groundup) -> None:
    here("merge", "l")
    here("quantize", "l", "--limit", "90")
    lines = [json.loads(line) for line in Path("runs/l/metrics.jsonl").read_text().splitlines()]
    trained = next(line for line in lines if line.get("event") == "finished")["val_loss"]
    for run, apart in (("l", 1e-5), ("l-merged", 1e-5), ("l-int8", 0.05)):
        found = json.loads(here("evaluate", run, "--json").out)["validation"]
        assert found["loss"] == pytest.approx(trained, abs=apart)
        assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
        assert "bits_per_byte" not in found
    kinds = {row["name"]: row["kind"] for row in json.loads(here("runs", "--json").out)}
    assert kinds == {
        "a": "assistant", "base": "pretraining", "chatty": "pretraining", "l": "assistant",
        "l-int8": "assistant", "l-merged": "assistant",
    }  # fmt: skip


def test_its_dialogues_are_asked_for_where_they_are_gone(here: Groundup) -> None:
    path = Path("runs/a/run.toml")
    folder = next(line for line in path.read_text().splitlines() if line.startswith("folder"))
    path.write_text(path.read_text().replace(folder, 'folder = "gone"'))
    assert here("evaluate", "a").error.startswith("gone")
    assert here("evaluate", "a", "--text", "a.txt").status == 0


def test_its_page_says_that_its_losses_are_of_replies(here: Groundup) -> None:
    here("report", "l")
    page = Path("runs/l/report.html").read_text()
    assert "An assistant: a GPT" in page
    assert "nats per token of the replies" in page
    assert "per token of the replies, at the end" in page
    assert " over the records<" in page
    for wrong in ("Bits per byte", "bits/byte", "next token.", "None", "the text<", "exactly"):
        assert wrong not in page
    here("compare", "l", "l")
    assert "nats per token of the replies" in Path("comparison.html").read_text()


def test_a_batch_that_stopped_it_is_looked_into(
    here: Groundup, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, passes = TrainStep.loss_of, [0]

    def loss_of(self: TrainStep, *given: object) -> object:
        passes[0] += 1
        loss_sum, n_targets = genuine(self, *given)  # type: ignore[arg-type]
        return loss_sum * (math.nan if passes[0] == 2 else 1.0), n_targets

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "loss_of", loss_of)
        words = ("--method", "lora", "--run", "b", *SHORT[2:], "--set", "batch_size=2")
        stopped = here("finetune", "instruct", "chatty", *RECORDS, "--steps", "4", *words)
    assert stopped.status == 4
    assert "groundup replay" in stopped.error
    told = here("replay", "b")
    assert told.status == 0, told.err
    assert "Numbers break nowhere" in told.out
    values = json.loads(here("replay", "b", "--json").out)
    assert len(values["losses"]) == len(values["tokens"]) == 2
    assert all(math.isfinite(loss) for loss in values["losses"])
