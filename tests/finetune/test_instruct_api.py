"""An assistant made in Python: what it learns, what is refused, what is left of the model given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from groundup import GPT, ByteTokenizer, load
from groundup.base.errors import GroundupError, UsageError
from groundup.data import prepare_dialogues
from groundup.finetune import Assistant, instruct, load_assistant
from groundup.generate import Conversation
from groundup.generate.template import CHATML, CHATML_TOKENS
from groundup.tokenizer import with_special_tokens
from tests.finetune.instructing import (
    CONFIG,
    SHORT,
    carry_out,
    request,
    with_base,
    with_records,
)

QUICK: dict[str, Any] = {**SHORT, "steps": 3, "show": False}
TALKS = [{"prompt": f"{n} {chr(97 + n % 26)}?", "completion": chr(97 + n % 26)} for n in range(30)]
TALK = {"prompt": "Hi", "completion": "Hello"}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def made(dialogues: Any = TALKS, model: GPT | None = None, **settings: Any) -> Assistant:
    given = GPT(CONFIG) if model is None else model
    return instruct(given, ByteTokenizer(), dialogues, **{**QUICK, **settings})


def test_a_copy_learns_and_the_model_stays_as_it_was() -> None:
    model = GPT(CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assistant = made(model=model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert assistant.model.config.vocab_size == CONFIG.vocab_size + len(CHATML_TOKENS)
    learnt = assistant.model.state_dict()
    assert any(not torch.equal(learnt[name], before[name]) for name in before if "blocks" in name)
    assert [record["step"] for record in assistant.metrics if "train_loss" in record] == [1, 2, 3]


def test_it_learns_as_the_command_does(tmp_path: Path) -> None:
    """The same dialogues, which train on the one side, and validate on the other."""
    folder = with_records(with_base(tmp_path))
    asked = request(folder / "run", steps=3)
    data = prepare_dialogues(asked.records, tmp_path / "data")
    rows = [
        {"messages": list(one.messages), "split": split}
        for split in ("train", "val")
        for one in data.dialogues(split)
    ]
    base = load(folder / "base")
    assistant = instruct(base.model, base.tokenizer, rows, **{**QUICK, "steps": 3})
    run = carry_out(asked).folder
    theirs = load(run.path, "latest").model.state_dict()
    ours = assistant.model.state_dict()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-6)


def test_it_talks_and_is_a_run_once_it_is_saved(tmp_path: Path) -> None:
    assistant = made()
    said = assistant.reply("3 d?", max_tokens=5)
    chat = assistant.chat(temperature=0.0, max_tokens=5)
    assert isinstance(chat, Conversation)
    assert "".join(chat.say("3 d?")) == said
    with pytest.raises(TypeError, match="is no text"):
        assistant.reply(3)  # type: ignore[arg-type]
    again = load_assistant(assistant.save(tmp_path / "run"))
    assert again.reply("3 d?", max_tokens=5) == said
    assert again.generation["stop_tokens"] == assistant.generation["stop_tokens"]
    assert again.chat_template == CHATML


def test_adapters_are_merged_and_a_template_that_is_there_is_kept() -> None:
    tokenizer = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
    model = GPT(CONFIG.replace(vocab_size=tokenizer.vocab_size))
    settings = {**QUICK, "method": "lora", "chat_template": CHATML}
    assistant = instruct(model, tokenizer, TALKS, **settings)
    learnt, before = assistant.model.state_dict(), model.state_dict()
    assert learnt.keys() == before.keys()
    assert not torch.equal(
        learnt["blocks.0.attn.query.weight"], before["blocks.0.attn.query.weight"]
    )
    assert torch.equal(learnt["token_embedding.weight"], before["token_embedding.weight"])


def test_what_is_not_learnt_is_told() -> None:
    talks = [*TALKS, TALKS[0], {"prompt": "x" * 80, "completion": "y"}, {"prompt": ""}]
    with pytest.warns(UserWarning, match="skipped") as told:
        made(talks, on_bad_record="skip")
    lines = [str(one.message) for one in told]
    assert "skipped records without 'completion': 1 (dialogue 33)" in lines
    assert "skipped repeated records (the first stays): 1 (dialogue 31)" in lines
    assert any("1 dialogue left out, as all replies are cut off" in line for line in lines)


def test_a_template_that_asks_for_a_reply_by_other_words_is_told() -> None:
    tokenizer = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
    model = GPT(CONFIG.replace(vocab_size=tokenizer.vocab_size))
    thinking = CHATML.replace("assistant\\n' }}", "assistant\\n<think>' }}")
    assert thinking != CHATML
    with pytest.warns(
        UserWarning, match="writes '<think>' before a reply that it asks for, and not"
    ):
        instruct(model, tokenizer, TALKS, **QUICK, chat_template=thinking)


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "one dialogue alone": (TALK, {}, "expected a list of dictionaries, but got dict"),
    "no dialogue": ([], {}, "dialogues: no records"),
    "one": ([TALK], {}, "1 dialogue left to learn from: expected 2 at least"),
    "the same one twice": ([TALK, TALK], {}, "1 dialogue left to learn from: expected 2"),
    "an empty reply": ([*TALKS, {**TALK, "completion": " "}], {}, "dialogue 31: "),
    "two formats": ([TALK, {"messages": [{"role": "user", "content": "x"}]}], {}, "two|several"),
    "preferences": ([{"prompt": "a", "chosen": "b", "rejected": "c"}], {}, "1: a preference, but"),
    "an unknown format": (TALKS, {"format": "alpacka"}, "did you mean 'alpaca'"),
    "another word": (TALKS, {"on_bad_record": "drop"}, "expected stop or skip"),
    "a length beyond the model": (TALKS, {"max_length": 65}, "sees at most 64 tokens"),
    "an objective": (TALKS, {"method": "dpo"}, "method = dpo: says which weights learn"),
    "what only the command learns": (TALKS, {"objective": "dpo"}, "objective: a setting of 'gr"),
    "what only the command mixes in": (TALKS, {"mix_text": "a.txt"}, "mix_text: a setting of 'gr"),
    "adapters for new tokens": (TALKS, {"method": "lora"}, "which adapters leave as they are"),
    "an unknown setting": (TALKS, {"learning_rat": 1.0}, "did you mean 'learning_rate'"),
    "two lengths": (TALKS, {"epochs": 1.0}, "epochs"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_learnt_from_is_refused_in_one_line(bad: str) -> None:
    dialogues, settings, says = BAD[bad]
    with pytest.raises(GroundupError, match=says) as error:
        made(dialogues, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"chat_template": 3}, {"generation": [1]}])
def test_another_type_is_named(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(TypeError, match=f"{name}: expected a.* or None; got a (int|list)"):
        made(TALKS, **given)


def test_a_run_without_a_template_is_no_assistant(tmp_path: Path) -> None:
    with_base(tmp_path)
    with pytest.raises(UsageError, match="base has no chat template: it continues texts"):
        load_assistant(tmp_path / "base")
