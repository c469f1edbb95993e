"""lm-eval asks our runs what we ask them ourselves, by its own definitions of the tasks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.config import as_table
from groundup.evaluate import TASKS, Candidate, evaluate_task, evaluate_text, read_questions
from groundup.generate import generate
from groundup.runs import RunFolder
from groundup.runs.checkpoint import save_checkpoint
from groundup.runs.load import load
from groundup.runs.manifest import Manifest
from groundup.tokenizer import Tokenizer
from tests.evaluate.test_tasks import DOCUMENTS
from tests.model.helpers import FAMILIES, random_gpt
from tests.tokenizer.families import llama2, ours
from tests.tokenizer.helpers import SPEECH, small_bpe

lm_eval = pytest.importorskip("lm_eval", reason="needs the extra lm-eval")

VARIED: dict[str, list[dict[str, Any]]] = {
    "lambada": [{"text": text} for text in ("resolved rather to die", "we proceed  any further")],
    "hellaswag": [{"ctx_a": " Speak [substeps] it", "ctx_b": "", "label": "1"}, {"label": "0"}],
    "arc_easy": [{"question": "Why [title]  not? "}, {"answerKey": "2"}],
    "arc_challenge": [{"answerKey": "A"}, {"question": "3"}],
    "piqa": [{"goal": "famish ", "label": 1}, {"sol1": " to die", "sol2": "resolved'"}],
    "winogrande": [{"sentence": "Is it _'s or not _?", "answer": "2"}, {"option1": "a Bea"}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_with(small_bpe(), tmp_path_factory.mktemp("run"))


def run_with(tokenizer: Tokenizer, path: Path) -> Path:
    folder = RunFolder(path)
    sizes = {"vocab_size": tokenizer.vocab_size, "context_length": 64}
    model = random_gpt(**FAMILIES["qwen3"] | sizes)
    tokenizer.save(folder.tokenizer)
    data = {"tokenizer_fingerprint": tokenizer.fingerprint}
    tables = {"model": as_table(model.config), "train": {}, "data": data, "request": {}}
    folder.write(Manifest.of(tables))
    tensors = dict(model.named_parameters())
    save_checkpoint(folder.checkpoints, 0, tensors, {}, {"step": 0})
    return folder.path


@pytest.fixture(scope="module")
def adapter(run: Path) -> Any:
    from groundup.harness import HarnessModel

    return HarnessModel(run=str(run))


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_the_harness_own(name: str, run: Path, adapter: Any, tmp_path: Path) -> None:
    harness = pytest.importorskip("benchmarks.peers.harness", reason="needs lm-eval[hf]")
    documents = [DOCUMENTS[name] | change for change in ({}, *VARIED[name])]
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    (tmp_path / f"{name}.jsonl").write_text(lines)
    task = harness.write_definition(tmp_path, name, tmp_path)
    done = lm_eval.simple_evaluate(
        model=adapter,
        tasks=[task],
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tmp_path), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    loaded = load(run)
    journal = tmp_path / "journal.jsonl"
    questions = read_questions(name, tmp_path)[1]
    result = evaluate_task(
        Candidate(loaded.model, loaded.tokenizer), name, questions, journal=journal
    )
    for metric, score in result.scores.items():
        assert done["results"][task][f"{metric},none"] == pytest.approx(score, rel=1e-5)
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    ours = {r["document"]: r["log_likelihoods"] for r in records if "document" in r}
    for sample in done["samples"][task]:
        asked = [tuple(arguments) for arguments in sample["arguments"]]
        assert asked == questions[sample["doc_id"]].pairs
        theirs = [answer[0][0] for answer in sample["resps"]]
        assert theirs == pytest.approx(ours[sample["doc_id"]], abs=1e-4)


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=a, idx=0) for a in arguments]


def test_whole_texts(run: Path, adapter: Any) -> None:
    loaded = load(run)
    candidate = Candidate(loaded.model, loaded.tokenizer)
    texts = [SPEECH, "All: " * 60]
    asked = instances("loglikelihood_rolling", *((text,) for text in texts))
    for text, found in zip(texts, adapter.loglikelihood_rolling(asked), strict=True):
        expected = evaluate_text(candidate, text, stride=64)
        assert found == pytest.approx(-expected.loss * expected.tokens, rel=1e-5)


def test_writing(run: Path, adapter: Any) -> None:
    loaded = load(run)
    prompts = [SPEECH[:20], SPEECH[30:36], SPEECH[:500]]
    settings = {"until": ["e", "\n\n"], "max_gen_toks": 16, "do_sample": False}
    found = adapter.generate_until(instances("generate_until", *((p, settings) for p in prompts)))
    kept = loaded.tokenizer.decode(loaded.tokenizer.encode(prompts[2])[-48:])
    expected = generate(
        loaded.model,
        loaded.tokenizer,
        [*prompts[:2], kept],
        max_tokens=16,
        temperature=0.0,
        stop=["e", "\n\n"],
    )
    assert found == expected


def test_writing_keeps_the_space_behind_a_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundup.harness import HarnessModel

    tokenizer = ours(llama2())
    adapter = HarnessModel(run=str(run_with(tokenizer, tmp_path)))

    def write(model: Any, rows: list[list[int]], *_: Any, **__: Any) -> Iterator[list[int]]:
        return ([token] * len(rows) for token in tokenizer.encode("of\nit"))

    module = sys.modules["groundup.generate.generate"]  # its name is the function's, too
    monkeypatch.setattr(module, "generate_tokens", write)
    settings = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
    asked = instances("generate_until", ("the end", settings), ("a", settings))
    assert adapter.generate_until(asked) == [" of", " of"]


def test_special_tokens_and_contexts_that_are_empty(adapter: Any) -> None:
    end = adapter.eot_token_id
    assert adapter.tok_encode("<|endoftext|>") == [end]
    assert adapter.prefix_token_id == end
    (alone, _), (same, _) = adapter.loglikelihood(
        instances("loglikelihood", ("", " hear me"), ("<|endoftext|>", " hear me"))
    )
    assert alone == pytest.approx(same)


def test_the_start_token_stands_before_every_text(run: Path, tmp_path: Path) -> None:
    import shutil

    from groundup.harness import HarnessModel

    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "generation.toml").write_text("start_token = 65\n")
    (copy / "chat_template.jinja").write_text(
        "{% for m in messages %}<|endoftext|>{{ m.content }}{% endfor %}"
    )
    adapter = HarnessModel(run=str(copy), batch_tokens=50)
    plain = small_bpe().encode("hear me")
    assert adapter.tok_encode("hear me") == [65, *plain]
    assert adapter.tok_encode("hear me", add_special_tokens=False) == plain
    spoken = adapter.apply_chat_template([{"role": "user", "content": "hear me"}])
    assert adapter.tok_encode(spoken) == [65, small_bpe().end_of_text, *plain]
    assert isinstance(adapter.device, torch.device)
