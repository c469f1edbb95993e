"""Assistants in training, in a chat and elsewhere: the same ids, and the same end of a reply."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader, TokenType
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from groundup.finetune.assistant.reply_loss import evaluate_replies
from groundup.finetune.replies.run import InstructRun
from groundup.generate import CHATML, CHATML_TOKENS, encode_dialogues, open_chat, run_template
from groundup.generate.quantize import quantize_run
from groundup.generate.replies import DialogueIds
from groundup.generate.template import plain_dialogue
from groundup.runs.load import LoadedRun, load
from groundup.runs.merge import merge_run
from groundup.tokenizer import with_special_tokens
from groundup.weights import export_adapter, export_model, import_adapter, import_model
from tests.data.dialoguing import said
from tests.data.labelling import jsonl
from tests.finetune.answering import LLAMA, TURNS, request, stored, train, with_base
from tests.generate.test_replies import dialogues
from tests.weights.gguf.making import byte_level, scored

Talk = list[dict[str, str]]
ODD: list[Talk] = [
    [{"role": "system", "content": ""}, *said("?", "ok")],
    [{"role": "system", "content": " \n"}, *said(" \n\t", "\u00a0x\u2003", "\n\n", "  \n y \n ")],
    said("e\u0301 \u200b\ufeff", "🏳️‍🌈 \u0336"),
]
REPLY = "ok"

BASES: dict[str, dict[str, Any]] = {
    "plain": {"tokenizer": byte_level("smollm"), "tie_embeddings": True},
    "starts": {
        "tokenizer": byte_level("llama-bpe", ("<|endoftext|>", "<|begin|>")),
        "generation": {"start_token": 1}, "vocab_size": 440, **LLAMA,
    },
    "chatty": {
        "tokenizer": byte_level("smollm", ("<|endoftext|>", "<s>", "</s>")), "template": TURNS,
        "generation": {"start_token": 1, "stop_tokens": [2]}, "vocab_size": 440, **LLAMA,
    },
    "sentencepiece": {
        "tokenizer": scored(), "generation": {"start_token": 1, "stop_tokens": [2]}, **LLAMA,
    },
}  # fmt: skip
"""Tied and untied, padded or not, with what begins texts or without, with a template or ours."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    records = [{"messages": said(f"Is it {k}?", REPLY)} for k in range(60)]
    (folder / "dialogues.jsonl").write_text(jsonl(*records))
    for name, how in BASES.items():
        with_base(folder, name, **how)
    return folder


def made(folder: Path, base: str, steps: int = 1, **how: Any) -> Path:
    """Return the assistant of a base, trained by the first test that asks."""
    run = folder / "-".join([base, str(steps), *map(str, how.values())])
    if not run.exists():
        train(run, base, **{"steps": steps, "batch_size": 4, "eval_every": 60, **how})
    return run


def prompts_of(run: LoadedRun, talks: list[Talk]) -> list[list[int]]:
    """Return what a chat reads, where each dialogue is one up to a question."""
    template = run_template(run)
    assert template is not None
    plain = [plain_dialogue(talk, run.tokenizer) for talk in talks]
    texts = template.render_all(plain, add_generation_prompt=True)
    ids = [run.tokenizer.encode_markup(text) for text in texts]
    assert template.encode(run.tokenizer, talks[0]) == ids[0], "one process for all, as for each"
    return ids


def learnt(run: Path, base: str, talks: list[Talk]) -> list[DialogueIds]:
    """Return what the training of a run makes of dialogues."""
    job = InstructRun(request(run, base))
    return list(encode_dialogues(job.template, job.tokenizer, talks))


@pytest.mark.parametrize("base", BASES)
def test_training_chat_and_transformers_read_the_same(
    base: str, folder: Path, tmp_path: Path
) -> None:
    run = made(folder, base)
    loaded, talks = load(run), dialogues() + ODD
    export_model(run, tmp_path / "hf", verify=False)
    start = BASES[base].get("generation", {}).get("start_token")
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / "hf")
    asked = [messages[:-1] for messages in talks]
    prompts, rows = prompts_of(loaded, asked), learnt(run, base, talks)
    for messages, prompt, row in zip(talks, prompts, rows, strict=True):
        whole = theirs.apply_chat_template(messages, return_dict=False)
        assert row.ids.tolist() == whole
        assert prompt == theirs.apply_chat_template(
            messages[:-1], add_generation_prompt=True, return_dict=False
        )
        assert row.n_straddling or whole[: len(prompt)] == prompt
        assert whole.count(start) == (start is not None)
        assert start is None or whole[0] == start
    auto = AutoTokenizer.from_pretrained(tmp_path / "hf")
    for messages, row in zip(talks[:5], rows, strict=False):
        assert auto.apply_chat_template(messages, return_dict=False) == row.ids.tolist()


@pytest.mark.parametrize("base", BASES)
def test_contents_that_spell_special_tokens_stay_text(base: str, folder: Path) -> None:
    run = made(folder, base)
    loaded, talks = load(run), dialogues(forged=True)
    special = set(loaded.tokenizer.special_tokens.values())
    harmless = [[m | {"content": "x"} for m in messages] for messages in talks]
    prompts = prompts_of(loaded, [messages[:-1] for messages in talks])
    rows = learnt(run, base, talks + harmless)
    for prompt, row, other in zip(prompts, rows, rows[len(talks) :], strict=False):
        assert row.n_straddling or row.ids[: len(prompt)].tolist() == prompt
        counts = [[n for n in one.ids.tolist() if n in special] for one in (row, other)]
        assert counts[0] == counts[1]


def as_llama_cpp(
    fields: dict[str, Any], run: LoadedRun, messages: Talk, prompting: bool
) -> list[int]:
    """Return what llama.cpp makes of messages, in a few lines of Python.

    Its templates always have a `bos_token` and an `eos_token`; of a text that begins with the
    former, where it puts one before every text, it takes one away.
    """
    tokens = fields["ggml.tokens"]
    begin, end = (tokens[fields[f"ggml.{name}_token_id"]] for name in ("bos", "eos"))
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(fields["chat_template"]).render(
        messages=messages, bos_token=begin, eos_token=end, add_generation_prompt=prompting
    )
    if not fields["ggml.add_bos_token"]:
        return run.tokenizer.encode_markup(text)
    return [fields["ggml.bos_token_id"], *run.tokenizer.encode_markup(text.removeprefix(begin))]


@pytest.mark.parametrize("base", BASES)
def test_a_gguf_has_the_template_and_the_tokens_that_give_the_same_ids(
    base: str, folder: Path, tmp_path: Path
) -> None:
    run = made(folder, base)
    loaded, talks = load(run), dialogues() + ODD
    path = export_model(run, tmp_path / "a.gguf", "gguf", verify=False).path
    read = GGUFReader(path).fields
    fields = {
        key.removeprefix("tokenizer."): field.contents()
        for key, field in read.items()
        if key.startswith("tokenizer.")
    }
    asked = [messages[:-1] for messages in talks]
    prompts, rows = prompts_of(loaded, asked), learnt(run, base, talks)
    for messages, prompt, row in zip(talks, prompts, rows, strict=True):
        assert as_llama_cpp(fields, loaded, messages, False) == row.ids.tolist()
        assert as_llama_cpp(fields, loaded, messages[:-1], True) == prompt
    ends = [fields[key] for key in ("ggml.eos_token_id", "ggml.eot_token_id") if key in fields]
    stops = loaded.generation["stop_tokens"]
    assert sorted(ends) == sorted(stops)
    assert {fields["ggml.token_type"][n] for n in stops} == {TokenType.CONTROL}
    back = load(import_model(path, tmp_path / "back", verify=False).path)
    assert back.chat_template == loaded.chat_template
    assert sorted(back.generation["stop_tokens"]) == sorted(stops)
    assert prompts_of(back, asked[:1]) == prompts[:1]


def asking(path: Path) -> Callable[..., Any]:
    """Return what posts to llama.cpp's own server, which has loaded a file."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    how = xllamacpp.CommonParams()
    how.model.path, how.n_ctx, how.n_parallel, how.cpuparams.n_threads = str(path), 512, 1, 1
    how.port, how.warmup, how.prefill_assistant, how.verbosity = 0, False, False, 0
    server = xllamacpp.Server(how)

    def post(verb: str, **fields: Any) -> Any:
        request = urllib.request.Request(
            f"{server.listening_address}/{verb}",
            json.dumps(fields).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    return post


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_llama_cpp_itself_reads_and_answers_the_same(
    base: str, folder: Path, tmp_path: Path
) -> None:
    run = made(folder, base, 60)
    post = asking(export_model(run, tmp_path / "a.gguf", "gguf", verify=False).path)
    talks = dialogues() + ODD
    prompts = prompts_of(load(run), [messages[:-1] for messages in talks])
    for messages, prompt in zip(talks, prompts, strict=True):
        text = post("apply-template", messages=messages[:-1])["prompt"]
        assert post("tokenize", content=text, add_special=True, parse_special=True) == {
            "tokens": prompt
        }
    for question in ("Is it 99?", "Is it 7?"):
        answer = post(
            "v1/chat/completions",
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=20,
        )["choices"][0]
        talk = open_chat(load(run), temperature=0.0, max_tokens=20)
        assert answer["message"]["content"] == "".join(talk.say(question)) == REPLY
        assert answer["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("base", "how"),
    [("plain", {}), ("starts", {}), ("chatty", {"method": "lora", "learning_rate": 0.03})],
)
def test_a_reply_ends_by_itself_here_there_and_back_again(
    base: str, how: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    run = made(folder, base, 60, **how)
    question = [{"role": "user", "content": "Is it 99?"}]
    export_model(run, tmp_path / "hf")
    export_model(run, tmp_path / "a.gguf", "gguf")
    came = [import_model(tmp_path / n, tmp_path / f"{n}-in") for n in ("hf", "a.gguf")]
    runs = [run, *(one.path for one in came)]
    if how:
        runs.append(merge_run(run, tmp_path / "merged").path)
    for path in runs:
        talk = open_chat(load(path), temperature=0.0, max_tokens=20)
        assert "".join(talk.say(question[0]["content"])) == REPLY
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "hf")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    asked: Any = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    whole = model.generate(**asked, max_new_tokens=20, do_sample=False, pad_token_id=0)
    written = whole[0, asked["input_ids"].shape[1] :].tolist()
    assert tokenizer.decode(written, skip_special_tokens=True) == REPLY
    stops = load(run).generation["stop_tokens"]
    assert written[-1] in stops
    assert stored(tmp_path / "hf" / "generation_config.json")["eos_token_id"] == (
        stops if len(stops) > 1 else stops[0]
    )


def test_an_adapter_tells_what_its_base_lacks(folder: Path, tmp_path: Path) -> None:
    tokenizer = with_special_tokens(byte_level("smollm"), CHATML_TOKENS)
    with_base(folder, "mute", tokenizer, template=CHATML, **LLAMA)
    run = made(folder, "mute", method="lora")
    ends = [0, tokenizer.special_tokens["<|im_end|>"]]
    assert load(run).generation["stop_tokens"] == ends
    notices = export_adapter(run, tmp_path / "peft", verify=False).notices
    assert f"give generate eos_token_id={ends}" in notices[-1]
    other = export_adapter(made(folder, "chatty", method="lora"), tmp_path / "other", verify=False)
    assert not any("eos_token_id" in notice or "template" in notice for notice in other.notices)
    beside = import_adapter(other.path, tmp_path / "in", made(folder, "chatty"), verify=False).path
    found = evaluate_replies(load(beside))
    assert found is not None, "beside an assistant, it is one"
    assert found.tokens == 6 * len(REPLY) + 6


def test_the_card_says_on_what_and_how_it_was_tuned(folder: Path, tmp_path: Path) -> None:
    thin = made(folder, "chatty", method="lora")
    whole = merge_run(thin, tmp_path / "whole").path
    narrow = quantize_run(thin, tmp_path / "narrow", 8, lambda run: 1.0).path
    records = f"on 48 records of {folder / 'dialogues.jsonl'}"
    says = {
        made(folder, "plain"): f"{records}, by all of its weights.",
        thin: f"{records}, by adapters (lora of rank 16).",
        whole: f"{records}, by adapters that were merged with it.",
        narrow: f"{records}.",
    }
    for n, (run, how) in enumerate(says.items()):
        export_model(run, tmp_path / str(n), verify=False)
        card = (tmp_path / str(n) / "README.md").read_text()
        assert f"It was tuned to answer, {how}" in card
        assert "pipeline_tag: text-generation" in card
        assert "chat_template.jinja" in card
        assert "`</s>`" in card if run != made(folder, "plain") else "`<|im_end|>`" in card
        for wrong in ("None", "nats a token:", "- Texts", "bits per byte", "0 bytes"):
            assert wrong not in card
    card = (tmp_path / "1" / "README.md").read_text()
    assert "- Validation loss, nats a token of the replies: " in card
    assert "- Training records: " in card
    export_model(folder / "chatty", tmp_path / "base", verify=False)
    assert "tuned" not in (tmp_path / "base" / "README.md").read_text()
